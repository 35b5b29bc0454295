/** TrackEntry elements as they stand in the file (RFC 9559, section 5.1.4). */
import type { ColourInfo } from '../types.ts';
import type { ElementCursor } from './ebml.ts';
import { type ContentEncodings, NO_ENCODINGS, parseEncodings } from './encodings.ts';
import { ID } from './ids.ts';

export const TYPE_VIDEO = 1;
export const TYPE_AUDIO = 2;
export const TYPE_SUBTITLE = 17;
/** More tracks than any writer makes; a bound for hostile files. */
const MAX_TRACKS = 512;

export interface TrackEntry {
  number: number;
  uid: string;
  type: number;
  codecId: string;
  /** As stored: content encodings not undone. */
  codecPrivate?: Uint8Array;
  isDefault: boolean;
  isForced: boolean;
  name?: string;
  /** Without the spec's default: `und` is left out. */
  language?: string;
  /** Nanoseconds per frame. */
  defaultDuration?: number;
  timestampScale: number;
  /** Nanoseconds. */
  codecDelay: number;
  encodings: ContentEncodings;
  dolbyVision: boolean;
  video?: VideoEntry;
  audio?: { sampleRate: number; channels: number; bitDepth: number };
}

export interface VideoEntry {
  width: number;
  height: number;
  displayWidth: number;
  displayHeight: number;
  rotation: 0 | 90 | 180 | 270;
  bitDepth?: number;
  colour?: ColourInfo;
}

/** @param at a cursor over the children of Tracks. The first of two entries with one number wins. */
export function parseTracks(at: ElementCursor): TrackEntry[] {
  const tracks: TrackEntry[] = [];
  const numbers = new Set<number>();
  while (at.next()) {
    if (at.id !== ID.TrackEntry || tracks.length >= MAX_TRACKS) continue;
    const track = parseEntry(at.enter());
    if (track.number < 1 || track.number > 0x0fffffff || numbers.has(track.number)) continue;
    numbers.add(track.number);
    tracks.push(track);
  }
  return tracks;
}

function parseEntry(at: ElementCursor): TrackEntry {
  const track: TrackEntry = {
    number: 0,
    uid: '',
    type: 0,
    codecId: '',
    isDefault: true,
    isForced: false,
    timestampScale: 1,
    codecDelay: 0,
    encodings: NO_ENCODINGS,
    dolbyVision: false,
  };
  // "eng" is the element's default value (section 5.1.4.1.19).
  let language = 'eng';
  let bcp47 = '';
  while (at.next()) {
    if (at.id === ID.Language) language = at.text(64);
    else if (at.id === ID.LanguageBCP47) bcp47 = at.text(64);
    else parseField(track, at);
  }
  const tag = bcp47 || language;
  if (tag !== '' && tag !== 'und') track.language = tag;
  if (track.type === TYPE_AUDIO) track.audio ??= { sampleRate: 8000, channels: 1, bitDepth: 0 };
  return track;
}

function parseField(track: TrackEntry, at: ElementCursor): void {
  switch (at.id) {
    case ID.TrackNumber:
      track.number = at.uint();
      break;
    case ID.TrackUID:
      track.uid = at.uid();
      break;
    case ID.TrackType:
      track.type = at.uint();
      break;
    case ID.CodecID:
      track.codecId = at.text(128).trim();
      break;
    case ID.CodecPrivate:
      track.codecPrivate = at.bytes();
      break;
    case ID.FlagDefault:
      track.isDefault = at.uint() !== 0;
      break;
    case ID.FlagForced:
      track.isForced = at.uint() !== 0;
      break;
    case ID.Name:
      if (at.stop > at.start) track.name = at.text();
      break;
    case ID.DefaultDuration:
      if (at.uint() > 0) track.defaultDuration = at.uint();
      break;
    case ID.TrackTimestampScale:
      track.timestampScale = usableScale(at.float());
      break;
    case ID.CodecDelay:
      track.codecDelay = Math.min(at.uint(), 1e10);
      break;
    case ID.ContentEncodings:
      track.encodings = parseEncodings(at);
      break;
    case ID.BlockAdditionMapping:
      if (isDolbyVision(at.enter())) track.dolbyVision = true;
      break;
    case ID.Video:
      track.video = parseVideo(at.enter());
      break;
    case ID.Audio:
      track.audio = parseAudio(at.enter());
      break;
  }
}

/** Values that would fold or explode the track's times are writers' mistakes. */
function usableScale(scale: number): number {
  return scale >= 0.01 && scale <= 100 ? scale : 1;
}

/** BlockAddIDType is the four-character code of an ISO-BMFF configuration box. */
function isDolbyVision(at: ElementCursor): boolean {
  while (at.next()) {
    if (at.id !== ID.BlockAddIDType) continue;
    const type = at.uint();
    return type === 0x64766343 || type === 0x64767643 || type === 0x64767743; // dvcC, dvvC, dvwC
  }
  return false;
}

function parseAudio(at: ElementCursor): { sampleRate: number; channels: number; bitDepth: number } {
  const audio = { sampleRate: 8000, channels: 1, bitDepth: 0 };
  while (at.next()) {
    if (at.id === ID.SamplingFrequency) {
      const rate = at.float();
      if (rate >= 1 && rate <= 10_000_000) audio.sampleRate = Math.round(rate);
    } else if (at.id === ID.Channels) audio.channels = Math.max(1, Math.min(at.uint(), 255));
    else if (at.id === ID.BitDepth) audio.bitDepth = Math.min(at.uint(), 64);
  }
  return audio;
}

function parseVideo(at: ElementCursor): VideoEntry {
  let [width, height, displayWidth, displayHeight, unit] = [0, 0, 0, 0, 0];
  let [top, bottom, left, right] = [0, 0, 0, 0];
  let rotation: VideoEntry['rotation'] = 0;
  let colour: { info?: ColourInfo; bits?: number } = {};
  while (at.next()) {
    if (at.id === ID.PixelWidth) width = dimension(at);
    else if (at.id === ID.PixelHeight) height = dimension(at);
    else if (at.id === ID.DisplayWidth) displayWidth = dimension(at);
    else if (at.id === ID.DisplayHeight) displayHeight = dimension(at);
    else if (at.id === ID.DisplayUnit) unit = at.uint();
    else if (at.id === ID.PixelCropTop) top = dimension(at);
    else if (at.id === ID.PixelCropBottom) bottom = dimension(at);
    else if (at.id === ID.PixelCropLeft) left = dimension(at);
    else if (at.id === ID.PixelCropRight) right = dimension(at);
    else if (at.id === ID.Colour) colour = parseColour(at.enter());
    else if (at.id === ID.Projection) rotation = parseRoll(at.enter());
  }
  if (left + right < width) width -= left + right;
  if (top + bottom < height) height -= top + bottom;
  const display = displaySize(width, height, displayWidth, displayHeight, unit);
  return {
    width,
    height,
    displayWidth: display[0],
    displayHeight: display[1],
    rotation,
    ...(colour.info && { colour: colour.info }),
    ...(colour.bits && { bitDepth: colour.bits }),
  };
}

function dimension(at: ElementCursor): number {
  return Math.min(at.uint(), 65536);
}

/** DisplayUnit 0 is pixels, 3 an aspect ratio; centimetres and inches give the same ratio (section 5.1.4.1.28.14). */
function displaySize(width: number, height: number, w: number, h: number, unit: number): [number, number] {
  if (unit === 0) return [w || width, h || height];
  if (w === 0 || h === 0 || unit === 4) return [width, height];
  return [Math.max(1, Math.round((height * w) / h)), height];
}

function parseColour(at: ElementCursor): { info?: ColourInfo; bits?: number } {
  let [primaries, transfer, matrix, range, bits] = [2, 2, 2, 0, 0];
  while (at.next()) {
    if (at.id === ID.Primaries) primaries = at.uint() & 0xff;
    else if (at.id === ID.TransferCharacteristics) transfer = at.uint() & 0xff;
    else if (at.id === ID.MatrixCoefficients) matrix = at.uint() & 0xff;
    else if (at.id === ID.Range) range = at.uint();
    else if (at.id === ID.BitsPerChannel) bits = at.uint();
  }
  const told = primaries !== 2 || transfer !== 2 || matrix !== 2 || range === 1 || range === 2;
  return {
    ...(told && { info: { primaries, transfer, matrix, fullRange: range === 2 } }),
    ...(bits > 0 && bits <= 16 && { bits }),
  };
}

/** ProjectionPoseRoll turns counter-clockwise (section 5.1.4.1.28.46); ours is clockwise. */
function parseRoll(at: ElementCursor): 0 | 90 | 180 | 270 {
  while (at.next()) {
    if (at.id !== ID.ProjectionPoseRoll) continue;
    const roll = at.float();
    if (!Number.isFinite(roll)) return 0;
    const turns = ((Math.round(-roll / 90) % 4) + 4) % 4;
    return ([0, 90, 180, 270] as const)[turns] ?? 0;
  }
  return 0;
}
