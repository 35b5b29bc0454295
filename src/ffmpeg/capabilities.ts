/** What the installed FFmpeg can do, asked once at start. */
import { basename } from 'node:path';
import { allEnded } from '../lib/abort.ts';
import { findBinaries, type Places } from './binaries.ts';
import { lackingForPictures } from './picture.ts';
import { runProcess } from './process.ts';

/** Milliseconds that each question may take. */
const TIMEOUT_MS = 5_000;
/** The longest answer, the list of filters, is below 60 kB. */
const ANSWER_LIMIT = 1024 * 1024;
/** The first version whose `aresample` takes channel layouts by `ochl`. */
const OLDEST = { major: 5, minor: 1 };
/** libavutil of FFmpeg 5.1: for builds from the repository, whose version is a date or a commit. */
const OLDEST_LIBAVUTIL = { major: 57, minor: 28 };

export interface Binary {
  /** Absolute. */
  readonly path: string;
  /** As it calls itself, such as `5.1.9-0+deb12u1`. */
  readonly version: string;
}

export interface Capabilities {
  readonly ffmpeg?: Binary;
  readonly ffprobe?: Binary;
  /** Names, here and below, as FFmpeg lists them; empty when it could not be asked. */
  readonly encoders: ReadonlySet<string>;
  readonly filters: ReadonlySet<string>;
  readonly muxers: ReadonlySet<string>;
  readonly demuxers: ReadonlySet<string>;
  readonly canTranscodeVideo: boolean;
  readonly canTranscodeAudio: boolean;
  /** Loudness can be measured and brought to a target. */
  readonly canLevelAudio: boolean;
  /** Bitmap subtitles into the picture. */
  readonly canBurnInPictures: boolean;
  /** Text subtitles into the picture. */
  readonly canBurnInText: boolean;
  /** What is not there, one sentence each; empty when all is well. */
  readonly missing: readonly string[];
}

const LISTS = ['encoders', 'filters', 'muxers', 'demuxers'] as const;
type List = (typeof LISTS)[number];
type Lists = Readonly<Record<List, ReadonlySet<string>>>;

/** Filters for loudness. */
const LEVELLING = ['ebur128', 'ametadata', 'volume'];

const NEEDED: Readonly<Record<'video' | 'audio', Partial<Readonly<Record<List, readonly string[]>>>>> = {
  video: {
    encoders: ['libx264'],
    filters: ['scale', 'settb', 'trim', 'format', 'setsar', 'setparams', 'select', 'transpose', 'hflip', 'vflip'],
    muxers: ['mp4'],
    demuxers: ['mp4', 'matroska'],
  },
  audio: { encoders: ['aac'], filters: ['aresample', 'alimiter', 'apad', 'asetpts', 'atrim'], muxers: ['adts'] },
};

/** `subtitles` is there only where FFmpeg was built with libass. */
const BURN_IN_FILTERS = { pictures: 'overlay', text: 'subtitles' } as const;

function describeFilter(name: string): string {
  return name === BURN_IN_FILTERS.text ? `the filter ${name} (libass), for text` : `the filter ${name}, for pictures`;
}

/**
 * One line of each list. In each, flags in columns come first; the lines above the list proper explain the flags and have no name where these want one.
 */
const LINES: Readonly<Record<List, RegExp>> = {
  encoders: /^ [VAS][F.][S.][X.][B.][D.] ([^\s=]+) /gm,
  filters: /^ [T.][S.][C.]? (\S+) +\S+->\S+/gm,
  muxers: /^ [D ]E[d ]? +(\S+)/gm,
  demuxers: /^ D[E ][d ]? +(\S+)/gm,
};

/**
 * Finds ffmpeg and ffprobe and asks them what they can do. A command that hangs, crashes or answers nonsense is one that is missing, and `missing` says why.
 * @throws the signal's reason.
 */
export async function detectCapabilities(
  places: { readonly ffmpeg: Places; readonly ffprobe: Places },
  signal: AbortSignal,
): Promise<Capabilities> {
  const missing: string[] = [];
  const [ffmpeg, ffprobe] = await allEnded([
    findCommand('ffmpeg', places.ffmpeg, missing, signal),
    findCommand('ffprobe', places.ffprobe, missing, signal),
  ]);
  let lists: Lists = { encoders: new Set(), filters: new Set(), muxers: new Set(), demuxers: new Set() };
  const can = { video: false, audio: false };
  if (typeof ffmpeg === 'string') missing.push(`${ffmpeg} What cannot be copied does not play. ${REMEDY}`);
  else {
    const [encoders, filters, muxers, demuxers] = await allEnded([
      askForList(ffmpeg, 'encoders', missing, signal),
      askForList(ffmpeg, 'filters', missing, signal),
      askForList(ffmpeg, 'muxers', missing, signal),
      askForList(ffmpeg, 'demuxers', missing, signal),
    ]);
    lists = { encoders, filters, muxers, demuxers };
    for (const kind of ['video', 'audio'] as const) {
      const lacking = lackingFor(kind, lists);
      can[kind] = lacking.length === 0;
      if (lacking.length > 0)
        missing.push(`${ffmpeg.path} lacks what transcoding ${kind} needs: ${lacking.join(', ')}.`);
    }
    const quiet = LEVELLING.filter((name) => !filters.has(name));
    if (can.audio && quiet.length > 0)
      missing.push(`${ffmpeg.path} lacks what loudness needs: the filter ${quiet.join(', the filter ')}.`);
    if (can.video) missing.push(...lackingForPictures(filters));
  }
  if (typeof ffmpeg !== 'string' && can.video) {
    const lacking = Object.values(BURN_IN_FILTERS).filter((name) => !lists.filters.has(name));
    if (lacking.length > 0)
      missing.push(`${ffmpeg.path} lacks what burning in subtitles needs: ${lacking.map(describeFilter).join(', ')}.`);
  }
  if (typeof ffprobe === 'string') missing.push(`${ffprobe} Containers that only FFmpeg knows are not described.`);
  return {
    ...(typeof ffmpeg === 'string' ? {} : { ffmpeg }),
    ...(typeof ffprobe === 'string' ? {} : { ffprobe }),
    ...lists,
    canTranscodeVideo: can.video,
    canTranscodeAudio: can.audio,
    canLevelAudio: can.audio && LEVELLING.every((name) => lists.filters.has(name)),
    canBurnInPictures: can.video && lists.filters.has(BURN_IN_FILTERS.pictures),
    canBurnInText: can.video && lists.filters.has(BURN_IN_FILTERS.text),
    missing,
  };
}

const VARIABLE = { ffmpeg: 'RAFFI_FFMPEG_BIN', ffprobe: 'RAFFI_FFPROBE_BIN' } as const;
const REMEDY = `It belongs on PATH or beside the executable, or its path into ${VARIABLE.ffmpeg}.`;

/** What to tell of it in one line. */
export function describeCapabilities({ ffmpeg, ffprobe, missing }: Capabilities): string {
  const found = [ffmpeg && `ffmpeg ${ffmpeg.version}`, ffprobe && `ffprobe ${ffprobe.version}`].filter(Boolean);
  return [found.length > 0 ? `Found ${found.join(' and ')}.` : '', ...missing].filter(Boolean).join(' ');
}

/**
 * The first command that works, or the sentences that say why there is none.
 * @param missing gets a sentence for each that was passed over for a later one.
 */
async function findCommand(
  name: 'ffmpeg' | 'ffprobe',
  places: Places,
  missing: string[],
  signal: AbortSignal,
): Promise<Binary | string> {
  const paths = await findBinaries(name, places);
  const { configured } = places;
  const isThere =
    configured === undefined || paths.some((path) => path === configured || basename(path) === configured);
  const useless = isThere ? [] : [`${configured}, as ${VARIABLE[name]} says, is no program that can be run.`];
  for (const path of paths) {
    const found = await examine(name, path, signal);
    if (typeof found === 'string') {
      useless.push(found);
      continue;
    }
    missing.push(...useless.map((sentence) => `${sentence} ${path} is used instead.`));
    return found;
  }
  return useless.length === 0 ? `${name} is not installed.` : useless.join(' ');
}

/** What a file that can be run is, or the sentence that says why it is of no use. */
async function examine(name: 'ffmpeg' | 'ffprobe', path: string, signal: AbortSignal): Promise<Binary | string> {
  const answer = await ask(path, '-version', signal);
  if (answer.failure !== undefined) return `${path} cannot be used: ${answer.failure}.`;
  const version = new RegExp(`^${name} version (\\S{1,100})`).exec(answer.text)?.[1];
  if (version === undefined) return `${path} cannot be used: it does not say which version of ${name} it is.`;
  if (name === 'ffmpeg' && isOld(version, answer.text))
    return `${path} cannot be used: it is version ${version}, and ${OLDEST.major}.${OLDEST.minor} is the oldest that can.`;
  return { path, version };
}

/** By the number in the version; a version without one (a build from the repository) by that of libavutil. */
function isOld(version: string, text: string): boolean {
  const release = /^n?(\d{1,3})\.(\d{1,3})/.exec(version);
  const library = /^\s*libavutil\s+(\d{1,5})\.\s*(\d{1,5})\./m.exec(text);
  const [found, oldest] = release ? [release, OLDEST] : [library, OLDEST_LIBAVUTIL];
  if (!found) return true;
  const major = Number(found[1]);
  return major < oldest.major || (major === oldest.major && Number(found[2]) < oldest.minor);
}

/** The names in a list; none, and a sentence in `missing`, when FFmpeg cannot tell. */
async function askForList(
  { path }: Binary,
  list: List,
  missing: string[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const { text, failure } = await ask(path, `-${list}`, signal);
  if (failure !== undefined) {
    missing.push(`${path} cannot list its ${list}: ${failure}.`);
    return new Set();
  }
  // Several names of one format are listed as one: `mov,mp4,m4a`.
  return new Set([...text.matchAll(LINES[list])].flatMap(([, names]) => (names as string).split(',')));
}

function lackingFor(kind: 'video' | 'audio', lists: Lists): string[] {
  return LISTS.flatMap((list) =>
    (NEEDED[kind][list] ?? [])
      .filter((name) => !lists[list].has(name))
      .map((name) => `the ${list.slice(0, -1)} ${name}`),
  );
}

/** Standard output of one question, or why there is none, in words that follow a colon. */
async function ask(
  path: string,
  question: string,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly failure?: string }> {
  const result = await runProcess({
    command: path,
    args: ['-hide_banner', question],
    signal,
    timeoutMs: TIMEOUT_MS,
    stdoutLimit: ANSWER_LIMIT,
  });
  const { outcome, exitCode, exitSignal } = result;
  const text = result.stdout.toString('utf8');
  if (outcome === 'timeout') return { text, failure: `it does not answer within ${TIMEOUT_MS / 1000} s` };
  if (outcome === 'output-limit') return { text, failure: 'its answer has no end' };
  if (outcome === 'not-started') return { text, failure: 'it cannot be started' };
  if (exitSignal) return { text, failure: `it was ended by ${exitSignal}` };
  if (exitCode !== 0) return { text, failure: `it ends with exit code ${exitCode}` };
  return { text };
}
