/**
 * Torrent files and info dictionaries (BEP 3; hybrids of BEP 52 by their v1 side). Every field is checked before anything is made of it. Names are only ever shown: data
 * lies in numbered files (protocol.ts), so that no name from a torrent reaches the file system.
 */
import { createHash } from 'node:crypto';
import { type Bencoded, BencodeError, bytesField, type Dictionary, decode, decodeFirst } from './bencode.ts';
import type { InfoHash } from './protocol.ts';
import { type Tracker, trackerOf } from './tracker-url.ts';
import { MOST_WEB_SEEDS, webSeedOf } from './web-seed-url.ts';

/** One file of a torrent, at `[offset, offset + length)` of torrent space. */
export interface TorrentFile {
  /** Position in the torrent's list, padding counted: what clients call `fileIdx`. */
  readonly index: number;
  /** Folders and name, without the torrent's own name; of a torrent of one file, that name. Made fit to be shown, never empty, and never a path to open. */
  readonly path: readonly string[];
  readonly offset: number;
  readonly length: number;
  /** Zeros that align the next file with a piece (BEP 47). */
  readonly isPadding: boolean;
}

/** A checked info dictionary. */
export interface Metainfo {
  readonly name: string;
  /** Bytes. */
  readonly pieceLength: number;
  readonly pieceCount: number;
  /** Bytes: the sum of the files. */
  readonly length: number;
  readonly files: readonly TorrentFile[];
  /** Its files lie in a folder of its name; else it is one file. */
  readonly hasFolder: boolean;
  /** Peers may come from its trackers only (BEP 27). */
  readonly isPrivate: boolean;
}

/** A checked torrent file. */
export interface TorrentDocument {
  readonly infoHash: InfoHash;
  /** The info dictionary as it stood in the file. */
  readonly info: Uint8Array;
  readonly metainfo: Metainfo;
  readonly trackers: readonly Tracker[];
  /** `url-list` (BEP 19). */
  readonly webSeeds: readonly string[];
}

/** The message is a sentence that names the field. */
export class MetainfoError extends Error {
  readonly unsupported: boolean;

  constructor(message: string, options?: { readonly unsupported?: boolean; readonly cause?: unknown }) {
    super(message, options);
    this.name = 'MetainfoError';
    this.unsupported = options?.unsupported ?? false;
  }
}

const HASH_BYTES = 20;
const MOST_FILES = 100_000;
const MOST_PATH_PARTS = 64;
const MOST_NAME_BYTES = 4_096;
const UNNAMED = 'unnamed';
/** From the root, or by ".." as any of its parts. */
const LEADS_OUT = /^\/|(?:^|\/)\.\.(?:$|\/)/;
/** Made once: making one costs as much as to decode a name, and a torrent may have hundreds of thousands. */
const UTF_8 = new TextDecoder('utf-8', { fatal: true });
const WINDOWS_1252 = new TextDecoder('windows-1252');
/** No program makes smaller ones: a piece has its price. */
const SMALLEST_PIECE = 1024;
/** The largest in use are 64 MiB; a piece must fit into memory. */
const LARGEST_PIECE = 256 * 1024 * 1024;
const MOST_TRACKERS = 100;

/** @throws MetainfoError. */
export function parseTorrent(bytes: Uint8Array): TorrentDocument {
  const { root, info } = readRoot(bytes);
  return {
    infoHash: createHash('sha1').update(info).digest('hex'),
    info,
    metainfo: metainfoOf(root.get('info')),
    trackers: trackersOf(root),
    webSeeds: webSeedsOf(root),
  };
}

function readRoot(bytes: Uint8Array): { root: Dictionary; info: Uint8Array } {
  const { value, spans, end } = bencoded(() => decodeFirst(bytes), 'The torrent file');
  // Some programs end the file with a line break.
  if (!(value instanceof Map) || end < bytes.length - 2) {
    throw new MetainfoError('The torrent file is not a bencoded dictionary.');
  }
  const span = spans.get('info');
  if (span === undefined) throw new MetainfoError('The torrent file has no field "info".');
  return { root: value, info: bytes.subarray(span.start, span.end) };
}

function bencoded<T>(read: () => T, what: string): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof BencodeError)) throw cause;
    throw new MetainfoError(`${what} is not bencoded: it has ${cause.message}.`, { cause });
  }
}

/** @param bytes an info dictionary. @throws MetainfoError. */
export function parseInfo(bytes: Uint8Array): Metainfo {
  return metainfoOf(bencoded(() => decode(bytes), 'The field "info"'));
}

function metainfoOf(info: Bencoded | undefined): Metainfo {
  if (!(info instanceof Map)) throw wrong('info', 'is not a dictionary');
  const pieces = info.get('pieces');
  if (pieces === undefined && (info.get('meta version') === 2 || info.has('file tree'))) {
    throw new MetainfoError(
      'This is a BitTorrent v2 torrent without a v1 side; only v1 and hybrid torrents are supported.',
      { unsupported: true },
    );
  }
  const pieceLength = wholeNumber(info.get('piece length'), 'info.piece length', 1);
  if (pieceLength < SMALLEST_PIECE) throw wrong('info.piece length', `is less than ${SMALLEST_PIECE} bytes`);
  if (pieceLength > LARGEST_PIECE) throw wrong('info.piece length', `is more than ${LARGEST_PIECE} bytes`);
  if (!(pieces instanceof Uint8Array)) throw wrong('info.pieces', 'is not a string');
  if (pieces.length === 0 || pieces.length % HASH_BYTES !== 0) {
    throw wrong('info.pieces', `has ${pieces.length} bytes, which is not a number of SHA-1 hashes`);
  }
  const name = nameOf(info.get('name.utf-8') ?? info.get('name'), 'info.name') ?? UNNAMED;
  const files = info.has('files') ? filesOf(info.get('files'), name) : [onlyFile(info, name)];
  const length = files.reduce((sum, file) => sum + file.length, 0);
  const pieceCount = pieces.length / HASH_BYTES;
  if (length === 0) throw wrong('info.length', 'is 0: there is nothing in this torrent');
  if (Math.ceil(length / pieceLength) !== pieceCount) {
    throw wrong(
      'info.pieces',
      `has ${pieceCount} hashes, but ${length} bytes in pieces of ${pieceLength} need ${Math.ceil(length / pieceLength)}`,
    );
  }
  const hasFolder = info.has('files');
  return { name, pieceLength, pieceCount, length, files, hasFolder, isPrivate: info.get('private') === 1 };
}

function onlyFile(info: Dictionary, name: string): TorrentFile {
  const length = wholeNumber(info.get('length'), 'info.length', 0);
  return { index: 0, path: [name], offset: 0, length, isPadding: false };
}

/** @param name the torrent's: of files that have none. */
function filesOf(list: Bencoded | undefined, name: string): TorrentFile[] {
  if (!Array.isArray(list) || list.length === 0) throw wrong('info.files', 'is not a list of files');
  if (list.length > MOST_FILES) throw wrong('info.files', `names more than ${MOST_FILES} files`);
  let offset = 0;
  return (list as readonly Bencoded[]).map((entry, index) => {
    const field = `info.files[${index}]`;
    if (!(entry instanceof Map)) throw wrong(field, 'is not a dictionary');
    const attributes = bytesField(entry, 'attr');
    const isPadding = attributes?.includes(0x70) ?? false; // p
    // A symbolic link (BEP 47) has no bytes in the torrent, whatever length it names.
    const isLink = attributes?.includes(0x6c) ?? false; // l
    const length = isLink ? 0 : wholeNumber(entry.get('length'), `${field}.length`, 0);
    const shown = pathOf(entry.get('path.utf-8') ?? entry.get('path'), `${field}.path`);
    const path = shown.length > 0 ? shown : [name];
    const file = { index, path, offset, length, isPadding };
    offset += length;
    if (!Number.isSafeInteger(offset)) throw wrong(`${field}.length`, 'makes the torrent larger than can be counted');
    return file;
  });
}

/** Empty when none of its parts names anything. */
function pathOf(list: Bencoded | undefined, field: string): string[] {
  if (!Array.isArray(list) || list.length === 0) throw wrong(field, 'is not a list of names');
  if (list.length > MOST_PATH_PARTS) throw wrong(field, `has more than ${MOST_PATH_PARTS} parts`);
  return (list as readonly Bencoded[]).map((part) => nameOf(part, field)).filter((part) => part !== undefined);
}

/**
 * A name that is fit to be shown and to stand in a link; undefined: it says nothing (empty or "."). Mistakes of the program that made the torrent are mended as other
 * clients do it; what nobody writes by mistake is refused.
 */
function nameOf(value: Bencoded | undefined, field: string): string | undefined {
  if (!(value instanceof Uint8Array)) throw wrong(field, 'is not a string');
  if (value.length > MOST_NAME_BYTES) throw wrong(field, `is longer than ${MOST_NAME_BYTES} bytes`);
  if (value.includes(0)) throw wrong(field, 'contains a NUL byte');
  const name = decodeName(value);
  if (name === '' || name === '.') return undefined;
  if (LEADS_OUT.test(name)) throw wrong(field, 'would lead out of its folder');
  // A slash would be taken for a folder where the parts are shown as one path.
  const part = name.replaceAll('/', '_');
  // Control characters and marks of direction could make a name look like another.
  return part.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}

/** UTF-8, as BEP 3 demands; what is not comes from times before, mostly Windows-1252. */
function decodeName(bytes: Uint8Array): string {
  try {
    return UTF_8.decode(bytes);
  } catch {
    return WINDOWS_1252.decode(bytes);
  }
}

function wholeNumber(value: Bencoded | undefined, field: string, least: number): number {
  if (typeof value !== 'number') throw wrong(field, 'is not a number');
  if (!Number.isSafeInteger(value) || value < least) throw wrong(field, `is ${value}`);
  return value;
}

function wrong(field: string, what: string): MetainfoError {
  return new MetainfoError(`The torrent's field "${field}" ${what}.`);
}

/** What can be used of `announce-list` (BEP 12), else of `announce`; all tiers are asked at once. */
function trackersOf(root: Dictionary): Tracker[] {
  const tiers = root.get('announce-list');
  const listed = usableTrackers(Array.isArray(tiers) ? (tiers as readonly Bencoded[]).flat(1) : []);
  return listed.length > 0 ? listed : usableTrackers([root.get('announce')]);
}

function usableTrackers(urls: readonly (Bencoded | undefined)[]): Tracker[] {
  const found = new Map<string, Tracker>();
  for (const url of urls) {
    if (found.size === MOST_TRACKERS) break;
    const tracker = url instanceof Uint8Array ? trackerOf(Buffer.from(url).toString('utf8')) : undefined;
    if (tracker) found.set(tracker.url, tracker);
  }
  return [...found.values()];
}

/** What can be used of `url-list`, one URL or several. */
function webSeedsOf(root: Dictionary): string[] {
  const value = root.get('url-list');
  const urls = Array.isArray(value) ? (value as readonly Bencoded[]) : [value];
  const seeds = urls.map((url) =>
    url instanceof Uint8Array ? webSeedOf(Buffer.from(url).toString('utf8')) : undefined,
  );
  return [...new Set(seeds)].filter((url) => url !== undefined).slice(0, MOST_WEB_SEEDS);
}
