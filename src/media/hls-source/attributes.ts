/** Attribute lists: RFC 8216 section 4.2. */

export type Attributes = ReadonlyMap<string, string>;

/** The blanks behind a value that is not quoted belong to it, and are trimmed off: two patterns that both take them would take quadratic time. */
const ATTRIBUTE = /\s*([A-Z0-9-]+)=("[^"]*"\s*|[^",]*)(?:,|$)/y;

/** Names to values, quotes taken off. What follows the first fault is left out. */
export function parseAttributes(text: string): Attributes {
  const found = new Map<string, string>();
  ATTRIBUTE.lastIndex = 0;
  for (let match = ATTRIBUTE.exec(text); match !== null; match = ATTRIBUTE.exec(text)) {
    const [, name, value] = match as unknown as [string, string, string];
    if (!found.has(name)) found.set(name, value.startsWith('"') ? value.trim().slice(1, -1) : value.trim());
    if (ATTRIBUTE.lastIndex >= text.length) break;
  }
  return found;
}

/** A decimal integer; undefined for anything else. */
export function decimalInteger(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A hexadecimal sequence of 16 bytes at most, as an initialization vector: leading zeros may be left out. */
export function initializationVector(text: string): Uint8Array | undefined {
  const digits = /^0x([0-9a-f]{1,32})$/i.exec(text)?.[1];
  return digits === undefined ? undefined : Buffer.from(digits.padStart(32, '0'), 'hex');
}

/** `1920x1080`, `n@o` and the like: two integers, the second where it is there. */
export function integerPair(text: string | undefined, between: string): [number, number | undefined] | undefined {
  const [first, second, ...more] = (text ?? '').split(between);
  const a = decimalInteger(first?.trim());
  const b = decimalInteger(second?.trim());
  if (a === undefined || more.length > 0 || (second !== undefined && b === undefined)) return undefined;
  return [a, b];
}
