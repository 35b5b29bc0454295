/** Media playlists: RFC 8216 sections 4.3.2 and 4.3.3. */
import { decimalInteger, initializationVector, integerPair, parseAttributes } from './attributes.ts';
import { type KeyTag, type MapTag, type MediaPlaylist, PlaylistError, type PlaylistSegment } from './playlist.ts';

const MAX_SEGMENTS = 100_000;
/** A longer segment is a damaged number. Seconds. */
const MAX_DURATION = 24 * 3600;
const IDENTITY = 'identity';

interface State {
  readonly segments: PlaylistSegment[];
  /** By KEYFORMAT: what encrypts the segments from here on, in as many ways as there are. */
  readonly keys: Map<string, KeyTag>;
  /** How many segments there were when they were told: keys of several formats stand together before one segment. */
  keysSince: number;
  map: MapTag | undefined;
  duration: number | undefined;
  range: readonly [length: number, offset: number | undefined] | undefined;
  gap: boolean;
  sequence: number;
  region: number;
  isComplete: boolean;
  isHls: boolean;
}

/** @param lines trimmed. @throws PlaylistError. */
export function parseMediaPlaylist(lines: readonly string[]): MediaPlaylist {
  const state: State = {
    segments: [],
    keys: new Map(),
    keysSince: 0,
    map: undefined,
    duration: undefined,
    range: undefined,
    gap: false,
    sequence: 0,
    region: 0,
    isComplete: false,
    isHls: false,
  };
  for (const [n, line] of lines.entries()) {
    if (line === '') continue;
    try {
      if (line.startsWith('#EXT')) takeTag(state, line);
      else if (!line.startsWith('#')) takeUri(state, line);
    } catch (error) {
      if (error instanceof PlaylistError && error.kind === 'damaged') {
        throw new PlaylistError(`${error.message} (line ${n + 1})`);
      }
      throw error;
    }
  }
  if (!state.isHls) throw new PlaylistError('is a list of links (M3U) and no HLS playlist', 'unplayable');
  if (!state.isComplete) throw new PlaylistError('is a live stream', 'live');
  if (state.segments.length === 0) throw new PlaylistError('lists no segment');
  return { kind: 'media', segments: state.segments };
}

function takeTag(state: State, line: string): void {
  const colon = line.indexOf(':');
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? '' : line.slice(colon + 1).trim();
  if (name.startsWith('#EXT-X-')) state.isHls = true;
  switch (name) {
    case '#EXTINF':
      state.duration = parseDuration(value);
      return;
    case '#EXT-X-BYTERANGE':
      state.range = integerPair(value, '@');
      if (state.range === undefined) throw new PlaylistError('has a byte range (EXT-X-BYTERANGE) that is none');
      return;
    case '#EXT-X-DISCONTINUITY':
      state.region += 1;
      return;
    case '#EXT-X-DISCONTINUITY-SEQUENCE':
      state.region = decimalInteger(value) ?? 0;
      return;
    case '#EXT-X-MEDIA-SEQUENCE':
      state.sequence = decimalInteger(value) ?? 0;
      return;
    case '#EXT-X-KEY':
      takeKey(state, value);
      return;
    case '#EXT-X-MAP':
      state.map = parseMap(value, keyOf(state));
      return;
    case '#EXT-X-GAP':
      state.gap = true;
      return;
    case '#EXT-X-ENDLIST':
      state.isComplete = true;
      return;
    case '#EXT-X-PLAYLIST-TYPE':
      if (value === 'VOD') state.isComplete = true;
      return;
    case '#EXT-X-I-FRAMES-ONLY':
      throw new PlaylistError('lists key frames only (EXT-X-I-FRAMES-ONLY), for trick play', 'unplayable');
    default:
  }
}

function takeUri(state: State, uri: string): void {
  const { duration } = state;
  // A line without EXTINF is no segment (4.3.2.1); lists of links have them.
  if (duration === undefined) return;
  if (state.segments.length >= MAX_SEGMENTS) throw new PlaylistError(`lists more than ${MAX_SEGMENTS} segments`);
  const range = subRange(state, uri);
  const key = keyOf(state);
  state.segments.push({
    uri,
    duration,
    ...(range && { range }),
    ...(state.map && { map: state.map }),
    ...(key && { key }),
    sequence: state.sequence + state.segments.length,
    region: state.region,
    gap: state.gap,
  });
  state.duration = undefined;
  state.range = undefined;
  state.gap = false;
}

/** 4.3.2.2: without an offset, it goes on where the one before ends, of the same resource. */
function subRange(state: State, uri: string): PlaylistSegment['range'] {
  if (state.range === undefined) return undefined;
  const [length, told] = state.range;
  const before = state.segments.at(-1);
  const follows = before?.uri === uri ? before.range : undefined;
  const offset = told ?? (follows && follows.offset + follows.length);
  if (offset === undefined) throw new PlaylistError('has a byte range (EXT-X-BYTERANGE) that begins nowhere');
  if (length === 0 || !Number.isSafeInteger(offset + length)) {
    throw new PlaylistError('has a byte range (EXT-X-BYTERANGE) that is none');
  }
  return { offset, length };
}

function parseDuration(value: string): number {
  const text = value.split(',', 1)[0]!.trim();
  const duration = /^-?\d{1,12}(?:\.\d{0,20})?$/.test(text) ? Number(text) : Number.NaN;
  // Lists of links write -1 for what they do not know.
  if (duration < 0) return 0;
  if (!(duration <= MAX_DURATION)) throw new PlaylistError('has a segment without a duration (EXTINF)');
  return duration;
}

function takeKey(state: State, value: string): void {
  const attributes = parseAttributes(value);
  const method = attributes.get('METHOD') ?? '';
  const before = state.segments.length;
  if (method === 'NONE' || state.keysSince < before) state.keys.clear();
  if (method === 'NONE') return;
  const iv = attributes.get('IV');
  const parsed = iv === undefined ? undefined : initializationVector(iv);
  if (iv !== undefined && parsed === undefined) throw new PlaylistError('has a key (EXT-X-KEY) with a damaged IV');
  const uri = attributes.get('URI');
  if (!uri) throw new PlaylistError('has a key (EXT-X-KEY) without a URI');
  const keyFormat = attributes.get('KEYFORMAT') ?? IDENTITY;
  state.keys.set(keyFormat, { method, keyFormat, uri, ...(parsed && { iv: parsed }) });
  state.keysSince = before;
}

/** The plain key where there is one: the others are the same content's for other systems. */
function keyOf({ keys }: State): KeyTag | undefined {
  return keys.get(IDENTITY) ?? keys.values().next().value;
}

function parseMap(value: string, key: KeyTag | undefined): MapTag {
  const attributes = parseAttributes(value);
  const uri = attributes.get('URI');
  if (uri === undefined || uri === '')
    throw new PlaylistError('has an initialization section (EXT-X-MAP) without a URI');
  const told = attributes.get('BYTERANGE');
  const range = told === undefined ? undefined : integerPair(told, '@');
  if (told !== undefined && (range === undefined || range[0] === 0)) {
    throw new PlaylistError('has an initialization section (EXT-X-MAP) with a byte range that is none');
  }
  return { uri, ...(range && { range: { length: range[0], offset: range[1] ?? 0 } }), ...(key && { key }) };
}
