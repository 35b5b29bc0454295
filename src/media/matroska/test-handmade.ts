/** For this folder's tests: files of kinds that FFmpeg does not write. */
import { deflateSync } from 'node:zlib';
import { ID } from './ids.ts';
import { blockHeader, concat, double, element, sizeBytes, text, uint } from './testing.ts';

/** AudioSpecificConfig: AAC LC, 48 kHz, stereo. */
export const AAC_CONFIG = [0x11, 0x90];
/** MPEG-1 layer 3, 128 kb/s, 48 kHz, stereo: 1,152 samples in 384 bytes. */
export const MP3_HEADER = [0xff, 0xfb, 0x94, 0x00];

export interface Handmade {
  readonly tracks: Uint8Array;
  readonly clusters: readonly Uint8Array[];
  /** Goes before the clusters, in this order, after Tracks. */
  readonly extra?: readonly Uint8Array[];
  readonly timestampScale?: number;
  /** Of the programme, in ticks. */
  readonly duration?: number;
  /** Time in ticks, number of the cluster and CueRelativePosition of each cue; of track 1. */
  readonly cues?: readonly (readonly [number, number, number?])[];
  /** Added to every cue's position. */
  readonly cueShift?: number;
}

/** A whole file: Info, Tracks, what else there is, Cues, clusters. */
export function file(parts: Handmade): Uint8Array {
  const ebml = element(ID.EBML, text(ID.DocType, 'matroska'));
  const info = element(
    ID.Info,
    uint(ID.TimestampScale, parts.timestampScale ?? 1_000_000),
    ...(parts.duration === undefined ? [] : [double(ID.Duration, parts.duration)]),
  );
  const head = concat([info, parts.tracks, ...(parts.extra ?? [])]);
  const makeCues = (base: number): Uint8Array => {
    const places = parts.clusters.map((_, i) => {
      return base + parts.clusters.slice(0, i).reduce((sum, cluster) => sum + cluster.length, 0);
    });
    const points = (parts.cues ?? []).map(([ticks, cluster, relative]) => {
      const position = (places[cluster] ?? 0) + (parts.cueShift ?? 0);
      const fixed = element(
        ID.CueClusterPosition,
        [position >> 24, position >> 16, position >> 8, position].map((b) => b & 0xff),
      );
      const inside = relative === undefined ? [] : [uint(ID.CueRelativePosition, relative)];
      return element(
        ID.CuePoint,
        uint(ID.CueTime, ticks),
        element(ID.CueTrackPositions, uint(ID.CueTrack, 1), fixed, ...inside),
      );
    });
    return points.length === 0 ? new Uint8Array(0) : element(ID.Cues, ...points);
  };
  const cues = makeCues(head.length + makeCues(0).length);
  return concat([ebml, element(ID.Segment, head, cues, ...parts.clusters)]);
}

export function audioTrack(number: number, codec: string, ...more: Uint8Array[]): Uint8Array {
  return element(
    ID.TrackEntry,
    uint(ID.TrackNumber, number),
    uint(ID.TrackUID, number),
    uint(ID.TrackType, 2),
    text(ID.CodecID, codec),
    element(ID.Audio, double(ID.SamplingFrequency, 48000), uint(ID.Channels, 2)),
    ...more,
  );
}

/** @param settings stripped header, or nothing for zlib. */
export function compression(settings: readonly number[] | undefined, scope = 1): Uint8Array {
  const algorithm = uint(ID.ContentCompAlgo, settings === undefined ? 0 : 3);
  const compressed = element(
    ID.ContentCompression,
    algorithm,
    ...(settings === undefined ? [] : [element(ID.ContentCompSettings, [...settings])]),
  );
  return element(ID.ContentEncodings, element(ID.ContentEncoding, uint(ID.ContentEncodingScope, scope), compressed));
}

export function cluster(ticks: number, ...blocks: Uint8Array[]): Uint8Array {
  return element(ID.Cluster, uint(ID.Timestamp, ticks), ...blocks);
}

export function simpleBlock(track: number, relative: number, data: Uint8Array | number[], key = true): Uint8Array {
  return element(ID.SimpleBlock, blockHeader(track, relative, key ? 0x80 : 0), data);
}

export type Lacing = 'xiph' | 'ebml' | 'fixed';

/** A laced SimpleBlock. */
export function lacedBlock(track: number, relative: number, frames: readonly Uint8Array[], lacing: Lacing): Uint8Array {
  const flags = 0x80 | ({ xiph: 1, fixed: 2, ebml: 3 }[lacing] << 1);
  const sizes: number[] = [];
  for (const [i, frame] of frames.slice(0, -1).entries()) {
    if (lacing === 'xiph') {
      for (let rest = frame.length; ; rest -= 255) {
        sizes.push(Math.min(rest, 255));
        if (rest < 255) break;
      }
    } else if (lacing === 'ebml') {
      if (i === 0) sizes.push(...sizeBytes(frame.length));
      else {
        const difference = frame.length - (frames[i - 1]?.length ?? 0) + 0x1fff;
        sizes.push(0x40 | (difference >> 8), difference & 0xff);
      }
    }
  }
  return element(ID.SimpleBlock, blockHeader(track, relative, flags), [frames.length - 1], sizes, ...frames);
}

/** Frame `n` of a made-up stream: MP3 by its header, of changing length. */
export function mp3Frame(n: number): Uint8Array {
  const frame = new Uint8Array(300 + ((n * 37) % 90));
  frame.set(MP3_HEADER);
  for (let i = 4; i < frame.length; i++) frame[i] = (n * 31 + i) & 0xff;
  return frame;
}

export function deflated(frame: Uint8Array): Uint8Array {
  return new Uint8Array(deflateSync(frame));
}

/** Frames that are stripped of their headers, or deflated. */
export function encodedMp3(kind: 'stripped' | 'zlib'): Uint8Array {
  const stripped = kind === 'stripped';
  const encode = (n: number): Uint8Array => (stripped ? mp3Frame(n).slice(MP3_HEADER.length) : deflated(mp3Frame(n)));
  const encodings = compression(stripped ? MP3_HEADER : undefined);
  const blocks = Array.from({ length: 100 }, (_, i) => simpleBlock(1, i * 24, encode(i)));
  return file({ tracks: element(ID.Tracks, audioTrack(1, 'A_MPEG/L3', encodings)), clusters: [cluster(0, ...blocks)] });
}

/** Eight frames of 24 ms a block, about as mkvmerge laces MP3; block times rounded to milliseconds. */
export function lacedMp3(lacing: Lacing, blocks = 40): Uint8Array {
  const clusters: Uint8Array[] = [];
  for (let block = 0; block < blocks; block += 10) {
    const start = block * 8 * 24;
    const inside = Array.from({ length: 10 }, (_, i) => {
      const frames = Array.from({ length: 8 }, (_, k) => mp3Frame(lacing === 'fixed' ? block : (block + i) * 8 + k));
      return lacedBlock(1, i * 8 * 24, frames, lacing);
    });
    clusters.push(cluster(start, ...inside));
  }
  return file({
    tracks: element(ID.Tracks, audioTrack(1, 'A_MPEG/L3')),
    clusters,
    duration: blocks * 8 * 24,
    cues: clusters.map((_, i) => [i * 10 * 8 * 24, i] as const),
  });
}
