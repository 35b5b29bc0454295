/** Stremio's add-on descriptors (`{transportUrl, transportName, manifest}`), as catalogues list them: other people's words, checked one by one. Pure. */

/** One that is well-formed. */
export interface Descriptor {
  /** Equal for addresses that differ in spelling only. */
  readonly address: string;
  readonly manifestId: string;
  /** All its fields, and `name`, `url` and `description` beside them, as JSON. */
  readonly json: string;
}

export interface CheckedEntries {
  readonly descriptors: readonly Descriptor[];
  /** What was left out: how many entries, by why. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** Characters of one entry as JSON. Real ones have some thousands. */
const LONGEST_ENTRY = 128 * 1024;
const MOST_ENTRIES = 20_000;
/** Levels of one entry. Real ones have five; some clients' parsers take no more than a hundred or so, and refuse the whole list for one. */
const DEEPEST_ENTRY = 32;
const LONGEST_URL = 2_048;
const LONGEST_NAME = 500;

/**
 * The add-ons in a catalogue's answer: a list, or an object that has one as `addons`.
 * @returns undefined when it is neither.
 */
export function checkCatalogue(answer: unknown): CheckedEntries | undefined {
  const list = Array.isArray(answer) ? answer : isObject(answer) ? answer.addons : undefined;
  if (!Array.isArray(list)) return undefined;
  const descriptors: Descriptor[] = [];
  const dropped: Record<string, number> = {};
  for (const [index, entry] of list.entries()) {
    const checked = index < MOST_ENTRIES ? checkEntry(entry) : `beyond the ${MOST_ENTRIES}th`;
    if (typeof checked === 'string') dropped[checked] = (dropped[checked] ?? 0) + 1;
    else descriptors.push(checked);
  }
  return { descriptors, dropped };
}

/** The first of each transport URL, then of each manifest id, in order. */
export function withoutDuplicates(descriptors: Iterable<Descriptor>): Descriptor[] {
  const addresses = new Set<string>();
  const ids = new Set<string>();
  return [...descriptors].filter(({ address, manifestId }) => {
    if (addresses.has(address) || ids.has(manifestId)) return false;
    addresses.add(address);
    ids.add(manifestId);
    return true;
  });
}

/** @returns why it is none. */
function checkEntry(entry: unknown): Descriptor | string {
  if (!isObject(entry)) return 'no object';
  if (isDeeper(entry, DEEPEST_ENTRY)) return 'nested too deeply';
  const { transportUrl, manifest, name, url, description } = entry;
  const address = webAddress(transportUrl);
  if (address === undefined) return 'no http(s) transportUrl';
  if (!isObject(manifest)) return 'no manifest';
  if (!isName(manifest.id)) return 'no manifest.id';
  if (!isName(manifest.name)) return 'no manifest.name';
  const json = jsonOf({
    ...entry,
    name: isName(name) ? name : manifest.name,
    url: webAddress(url) === undefined ? transportUrl : url,
    description: [description, manifest.description].find((text) => typeof text === 'string') ?? '',
  });
  if (json === undefined) return 'too large';
  return { address, manifestId: manifest.id, json };
}

/** A link that a page may show: whatever else a URL can be, it is http or https. */
function webAddress(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > LONGEST_URL) return undefined;
  const url = URL.parse(value);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return undefined;
  url.hash = '';
  return url.href.replace(/\/$/, '');
}

function jsonOf(entry: object): string | undefined {
  // Half a character would be valid JSON, which many parsers refuse.
  const json = JSON.stringify(entry, (_, value: unknown) => (typeof value === 'string' ? value.toWellFormed() : value));
  return json.length <= LONGEST_ENTRY ? json : undefined;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= LONGEST_NAME;
}
