/**
 * A Matroska stream (RFC 9559) of one track for FFmpeg's standard input: any codec that a reader lists, timestamps to 10 microseconds.
 * Pure functions: header and clusters depend on their arguments alone, and clusters follow each other in any number.
 */
import { concatBytes } from '../codecs/bits.ts';
import { ID } from '../matroska/ids.ts';
import { TYPE_AUDIO, TYPE_SUBTITLE, TYPE_VIDEO } from '../matroska/track-entry.ts';
import type { Packet, Track } from '../types.ts';
import { fedCodec } from './codec.ts';
import {
  bigEndian,
  binary,
  float,
  idBytes,
  master,
  sizeBytes,
  sizeLength,
  text,
  uint,
  unknownSizeMaster,
} from './ebml-writer.ts';

/** Nanoseconds: the finest that leaves a cluster a useful length. */
const TIMESTAMP_SCALE = 10_000;
const TICKS_PER_SECOND = 1e9 / TIMESTAMP_SCALE;
/** Block times are signed 16-bit numbers, relative to the cluster's. */
const MAX_RELATIVE = 0x7fff;
const DOC_TYPE_VERSION = 0x4287;
const DOC_TYPE_READ_VERSION = 0x4285;
const WRITING_APP = 0x5741;
const TRACK = 1;
/** Of the pictures that come with a video. */
export const PICTURE_TRACK = 2;
const KEY_FRAME = 0x80;

/** Does the feed know the track's codec, and has the track what its decoder must be told beforehand? */
export function canFeed(track: Track): boolean {
  return fedCodec(track) !== undefined;
}

/**
 * What comes before the clusters: EBML header, the start of a Segment of unknown size, Info and Tracks.
 * @param withPictures a second track, `PICTURE_TRACK`, has display sets of PGS.
 * @throws Error when the track can't be fed.
 */
export function feedHeader(track: Track, withPictures = false): Uint8Array {
  const codec = fedCodec(track);
  if (!codec) throw new Error(`No feed for ${track.codec}: ask canFeed first.`);
  const type = { video: TYPE_VIDEO, audio: TYPE_AUDIO, subtitle: TYPE_SUBTITLE }[track.type];
  return concatBytes([
    master(ID.EBML, text(ID.DocType, 'matroska'), uint(DOC_TYPE_VERSION, 4), uint(DOC_TYPE_READ_VERSION, 2)),
    unknownSizeMaster(ID.Segment),
    master(ID.Info, uint(ID.TimestampScale, TIMESTAMP_SCALE), text(ID.MuxingApp, 'raffi'), text(WRITING_APP, 'raffi')),
    master(
      ID.Tracks,
      master(
        ID.TrackEntry,
        uint(ID.TrackNumber, TRACK),
        uint(ID.TrackUID, TRACK),
        uint(ID.TrackType, type),
        text(ID.CodecID, codec.codecId),
        ...(codec.codecPrivate ? [binary(ID.CodecPrivate, codec.codecPrivate)] : []),
        ...(track.type === 'video' ? videoElements(track) : []),
        ...(track.type === 'audio' ? [audioElement(track, codec.bitDepth)] : []),
      ),
      ...(withPictures ? [pictureTrack()] : []),
    ),
  ]);
}

function pictureTrack(): Uint8Array {
  return master(
    ID.TrackEntry,
    uint(ID.TrackNumber, PICTURE_TRACK),
    uint(ID.TrackUID, PICTURE_TRACK),
    uint(ID.TrackType, TYPE_SUBTITLE),
    text(ID.CodecID, 'S_HDMV/PGS'),
  );
}

/** Rotation is left out: FFmpeg's versions differ in heeding it, so who wants it says it. */
function videoElements(track: Track): Uint8Array[] {
  const { video, config } = track;
  const width = config?.video?.width ?? video?.width ?? 0;
  const height = config?.video?.height ?? video?.height ?? 0;
  const rate = video?.frameRate ?? 0;
  const duration = rate > 0 ? Math.round(1e9 / rate) : 0;
  const colour = video?.colour ?? config?.video?.colour;
  return [
    ...(duration > 0 && duration < 1e11 ? [uint(ID.DefaultDuration, duration)] : []),
    master(
      ID.Video,
      // The elements must be there, and 0 is no size; the bitstream corrects what is not known.
      uint(ID.PixelWidth, width || 1),
      uint(ID.PixelHeight, height || 1),
      ...(video && width > 0 && height > 0
        ? [uint(ID.DisplayWidth, video.displayWidth || width), uint(ID.DisplayHeight, video.displayHeight || height)]
        : []),
      ...(colour
        ? [
            master(
              ID.Colour,
              uint(ID.MatrixCoefficients, colour.matrix),
              uint(ID.TransferCharacteristics, colour.transfer),
              uint(ID.Primaries, colour.primaries),
              uint(ID.Range, colour.fullRange ? 2 : 1),
            ),
          ]
        : []),
    ),
  ];
}

function audioElement(track: Track, bitDepth: number | undefined): Uint8Array {
  const { sampleRate = 0, channels = 0 } = track.audio ?? {};
  return master(
    ID.Audio,
    float(ID.SamplingFrequency, sampleRate > 0 ? sampleRate : 48_000),
    uint(ID.Channels, channels > 0 ? channels : 2),
    ...(bitDepth === undefined ? [] : [uint(ID.BitDepth, bitDepth)]),
  );
}

/**
 * Packets, in decode order, as one or more Clusters; empty for no packets. Their timestamps are `pts - startTime`, rounded to 10
 * microseconds. Matroska has no times below 0, so packets before `startTime` get 0: to keep such times, pass a `startTime` that is
 * earlier by L seconds and give FFmpeg `-itsoffset -L` before the input.
 */
export function feedCluster(packets: readonly Packet[], startTime: number, track = TRACK): Uint8Array {
  const ticks = packets.map(({ pts }) => Math.max(0, Math.round((pts - startTime) * TICKS_PER_SECOND)));
  const parts: Uint8Array[] = [];
  for (let from = 0; from < packets.length; ) {
    const to = clusterEnd(ticks, from);
    const base = clusterTime(ticks, from, to);
    pushCluster(parts, packets, ticks, { from, to, base, track });
    from = to;
  }
  return concatBytes(parts);
}

/** As many packets from `from` on as lie within the reach of one cluster's relative times; exclusive. */
function clusterEnd(ticks: readonly number[], from: number): number {
  let low = ticks[from] ?? 0;
  let high = low;
  let to = from + 1;
  for (; to < ticks.length; to++) {
    low = Math.min(low, ticks[to] ?? 0);
    high = Math.max(high, ticks[to] ?? 0);
    if (high - low > MAX_RELATIVE) break;
  }
  return to;
}

/** The lowest time of the cluster's packets. */
function clusterTime(ticks: readonly number[], from: number, to: number): number {
  let low = ticks[from] ?? 0;
  for (let i = from + 1; i < to; i++) low = Math.min(low, ticks[i] ?? 0);
  return low;
}

/** Track number, relative time, flags. */
const BLOCK_HEADER = 4;

function pushCluster(
  parts: Uint8Array[],
  packets: readonly Packet[],
  ticks: readonly number[],
  { from, to, base, track }: { from: number; to: number; base: number; track: number },
): void {
  const timestamp = uint(ID.Timestamp, base);
  let size = timestamp.length;
  for (let i = from; i < to; i++) {
    const block = BLOCK_HEADER + (packets[i]?.data.length ?? 0);
    size += 1 + sizeLength(block) + block;
  }
  parts.push(idBytes(ID.Cluster), sizeBytes(size), timestamp);
  for (let i = from; i < to; i++) {
    const packet = packets[i];
    if (!packet) continue;
    const relative = bigEndian((ticks[i] ?? 0) - base, 2);
    parts.push(
      idBytes(ID.SimpleBlock),
      sizeBytes(BLOCK_HEADER + packet.data.length),
      Uint8Array.of(0x80 | track, relative[0] ?? 0, relative[1] ?? 0, packet.key ? KEY_FRAME : 0),
      packet.data,
    );
  }
}
