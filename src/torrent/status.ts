/** What clients are told of a torrent. Pure. */
import type { AppError } from '../errors.ts';
import type { Content } from './content.ts';
import type { AnnounceReport } from './discovery/announcer.ts';
import { fileKind } from './file-choice.ts';
import type { TorrentFile } from './metainfo.ts';
import type { ByteRange, InfoHash, TorrentStats } from './protocol.ts';
import type { TorrentSource } from './torrent-source.ts';

export interface SwarmStatus {
  readonly infoHash: InfoHash;
  readonly name: string;
  /** `metadata`: nobody has told what is in it; `downloading`: its beginning is not here yet; `ready`: it can be read. */
  readonly stage: 'metadata' | 'downloading' | 'ready' | 'error';
  readonly error: AppError | undefined;
  /** What is going on, a sentence. */
  readonly message: string;
  readonly stats: TorrentStats | undefined;
  readonly piecesComplete: number;
  readonly piecesTotal: number;
  /** Of the file, 0 to 1. */
  readonly progress: number;
  readonly file: TorrentFile | undefined;
  readonly files: readonly FileStatus[];
  readonly fileCount: number;
  /** How much of each of 100 parts of the file is at hand, a digit each. */
  readonly sketch: string | undefined;
  /** Bytes of the file at which it is being read. */
  readonly positions: readonly number[];
  /** Seconds until what is waited for is there; undefined: can't be told. */
  readonly startsInSeconds: number | undefined;
  /** Whether it comes as fast as it plays; undefined: can't be told yet. */
  readonly keepsUp: boolean | undefined;
  /** Bytes per second. */
  readonly playsAt: number | undefined;
  readonly tried: readonly AnnounceReport[];
}

interface FileStatus {
  readonly index: number;
  readonly name: string;
  readonly size: number;
  readonly kind: 'video' | 'audio' | 'other';
}

export interface StatusInput {
  readonly infoHash: InfoHash;
  readonly name: string;
  readonly content: Content | undefined;
  readonly file: TorrentFile | undefined;
  readonly stats: TorrentStats | undefined;
  readonly failure: AppError | undefined;
  readonly tried: readonly AnnounceReport[];
  readonly sources: readonly TorrentSource[];
  /** What the swarm has been able to give, bytes per second. */
  readonly capacity: number;
}

const SKETCH_PARTS = 100;
const MOST_FILES = 200;
const OPENING_BYTES = 2 * 1024 * 1024;
/** Faster than it plays by this, so that what speeds do in between is no stall. */
const MARGIN = 1.1;

export function swarmStatus(input: StatusInput): SwarmStatus {
  const { infoHash, name, content, file, stats, failure, tried, sources, capacity } = input;
  const range = file && { start: file.offset, end: file.offset + file.length };
  const atHand = content && range ? content.pieces.bytesAtHand(range) : 0;
  const stage = stageOf(input, range);
  const read = sources.filter((source) => source.file.index === file?.index);
  const playsAt = read.find(({ rate }) => rate > 0)?.rate;
  const isWhole = file !== undefined && atHand === file.length;
  const needed = [
    ...read.flatMap(({ waiting }) => waiting),
    ...(range && playsAt === undefined ? openingRanges(range) : []),
  ];
  const missing = content ? missingBytes(content, needed) : undefined;
  return {
    infoHash,
    name,
    stage,
    error: failure,
    message: failure?.detail ?? sentence(input, stage, isWhole),
    stats,
    piecesComplete: content?.pieces.complete ?? 0,
    piecesTotal: content?.pieces.count ?? 0,
    progress: file && file.length > 0 ? atHand / file.length : 0,
    file,
    files: content ? listed(content.metainfo.files) : [],
    fileCount: content?.metainfo.files.length ?? 0,
    sketch: content && range && file.length > 0 ? content.pieces.sketch(range, SKETCH_PARTS) : undefined,
    positions: file ? read.flatMap(({ positions }) => positions.map((position) => position - file.offset)) : [],
    startsInSeconds: missing === 0 ? 0 : missing !== undefined && capacity > 1_000 ? missing / capacity : undefined,
    keepsUp: isWhole ? true : playsAt === undefined || capacity === 0 ? undefined : capacity >= playsAt * MARGIN,
    playsAt,
    tried,
  };
}

function stageOf({ content, failure }: StatusInput, range: ByteRange | undefined): SwarmStatus['stage'] {
  if (failure) return 'error';
  if (content === undefined) return 'metadata';
  if (range === undefined || range.end === range.start) return 'downloading';
  return content.pieces.isComplete({ start: range.start, end: range.start + 1 }) ? 'ready' : 'downloading';
}

/** What will be read before anything is shown, roughly: the beginning, which may be a first segment, and an index at the end. */
function openingRanges({ start, end }: ByteRange): ByteRange[] {
  return [
    { start, end: Math.min(end, start + OPENING_BYTES) },
    { start: Math.max(start, end - 1), end },
  ];
}

/** A piece is of use only when it is whole. */
function missingBytes({ pieces }: Content, ranges: readonly ByteRange[]): number {
  const missing = new Set<number>();
  for (const range of ranges) {
    const { first, end } = pieces.piecesOf(range);
    for (let piece = first; piece < end; piece++) if (!pieces.has(piece)) missing.add(piece);
  }
  return [...missing].reduce((sum, piece) => sum + pieces.lengthOf(piece), 0);
}

function sentence({ stats, tried }: StatusInput, stage: SwarmStatus['stage'], isWhole: boolean): string {
  if (isWhole) return 'All of it is here.';
  const peers = stats?.peers ?? 0;
  if (peers === 0) {
    const known = stats?.knownPeers ?? 0;
    if (known > 0) return `No peer is connected; ${known} are known and being tried.`;
    const asking = tried.filter(({ state }) => state !== 'failed').length;
    return asking > 0 || tried.length === 0 ? 'Looking for peers.' : 'No peers found yet; the search goes on.';
  }
  const who = peers === 1 ? '1 peer' : `${peers} peers`;
  if (stage === 'metadata') return `Asking ${who} what is in the torrent.`;
  const { unavailablePieces = 0 } = stats ?? {};
  if (unavailablePieces > 0) return `${who} connected; nobody of them has all of it.`;
  return `Downloading from ${who}.`;
}

/** By the files that they describe, which never change: describing 60,000 takes 50 ms. */
const lists = new WeakMap<readonly TorrentFile[], readonly FileStatus[]>();

function listed(files: readonly TorrentFile[]): readonly FileStatus[] {
  const list = lists.get(files) ?? describe(files);
  lists.set(files, list);
  return list;
}

/** All, or, of a long list, what may be played. */
function describe(files: readonly TorrentFile[]): readonly FileStatus[] {
  const described = files
    .filter(({ isPadding }) => !isPadding)
    .map((file) => ({ index: file.index, name: file.path.join('/'), size: file.length, kind: fileKind(file) }));
  if (described.length <= MOST_FILES) return described;
  return described.filter(({ kind }) => kind !== 'other').slice(0, MOST_FILES);
}
