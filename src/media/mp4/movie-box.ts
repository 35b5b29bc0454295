import { BoxWriter } from '../fmp4/box-writer.ts';
import {
  type CopiedTrack,
  fixedPoint,
  matrix,
  mediaInformation,
  packedLanguage,
  sampleEntry,
} from '../fmp4/init-segment.ts';
import type { SampleLog, SampleTiming } from './sample-log.ts';

/** Ticks per second of the movie's own clock, in which edit lists and durations are given. */
const MOVIE_TIMESCALE = 90_000;

/** One track of a finished movie. */
export interface MovieTrack {
  readonly track: CopiedTrack;
  readonly samples: SampleLog;
  /** Where its last sample ends on the clip's clock, seconds. */
  readonly end: number;
}

/** About as many bytes as a `moov` needs, rather more: entries of stts, ctts, stsz, and stss of pictures; of stsz of sound; and of their chunks. */
export function movieBoxGuess(pictures: number, audioPackets: number): number {
  return 4_096 + Math.ceil(pictures) * 24 + Math.ceil(audioPackets) * 8;
}

/** `ftyp` of a plain MP4 with H.264. */
export function fileType(): Uint8Array {
  const out = new BoxWriter(64);
  out.box('ftyp', () => out.ascii('isom').u32(0x200).ascii('isom').ascii('iso2').ascii('avc1').ascii('mp41'));
  return out.finish();
}

/** The movie box (14496-12, 8.2.1) of a file that is not fragmented. @param dataOffset position of the media data in the file. */
export function movieBox(tracks: readonly MovieTrack[], dataOffset: number): Uint8Array {
  const timed = tracks.map((track) => ({ ...track, timing: track.samples.timing(track.end) }));
  const durations = timed.map(({ timing }) => movieTicks(timing.delay + timing.presented));
  const out = new BoxWriter(64 * 1024);
  out.box('moov', () => {
    out.fullBox('mvhd', 0, 0, () => {
      out
        .u32(0)
        .u32(0)
        .u32(MOVIE_TIMESCALE)
        .u32(Math.max(0, ...durations));
      out.u32(0x00010000).u16(0x0100).zeros(10); // rate 1, volume 1
      matrix(out, 0, 0, 0);
      out.zeros(24).u32(tracks.length + 1); // next track id
    });
    for (const [n, track] of timed.entries()) trak(out, n + 1, track, dataOffset);
  });
  return out.finish();
}

function movieTicks(seconds: number): number {
  return Math.round(seconds * MOVIE_TIMESCALE);
}

function trak(out: BoxWriter, id: number, movie: MovieTrack & { timing: SampleTiming }, dataOffset: number): void {
  const { track, samples, timing } = movie;
  const { video } = track;
  out.box('trak', () => {
    out.fullBox('tkhd', 0, 7, () => {
      out.u32(0).u32(0).u32(id).u32(0);
      out.u32(movieTicks(timing.delay + timing.presented)).zeros(8);
      out.u16(0).u16(video ? 0 : 1); // layer, alternate group
      out.u16(video ? 0 : 0x0100).u16(0); // volume
      matrix(out, video?.rotation ?? 0, video?.displayWidth ?? 0, video?.displayHeight ?? 0);
      out.u32(fixedPoint(video?.displayWidth ?? 0)).u32(fixedPoint(video?.displayHeight ?? 0));
    });
    out.box('edts', () => editList(out, timing));
    out.box('mdia', () => {
      out.fullBox('mdhd', 0, 0, () =>
        out.u32(0).u32(0).u32(samples.timescale).u32(timing.total).u16(packedLanguage(track.language)).u16(0),
      );
      mediaInformation(out, video !== undefined, () => sampleTables(out, movie, dataOffset));
    });
  });
}

/** An empty edit where the track begins later than the clip, then all that is shown (8.6.6). */
function editList(out: BoxWriter, { mediaTime, delay, presented }: SampleTiming): void {
  const empty = movieTicks(delay);
  out.fullBox('elst', 0, 0, () => {
    out.u32(empty > 0 ? 2 : 1);
    if (empty > 0) out.u32(empty).i32(-1).u32(0x00010000);
    out.u32(movieTicks(presented)).i32(mediaTime).u32(0x00010000);
  });
}

function sampleTables(
  out: BoxWriter,
  { track, samples, timing }: MovieTrack & { timing: SampleTiming },
  dataOffset: number,
): void {
  out.fullBox('stsd', 0, 0, () => {
    out.u32(1);
    sampleEntry(out, track);
  });
  out.fullBox('stts', 0, 0, () => runs(out, timing.durations));
  if (timing.offsets.some((offset) => offset !== 0)) out.fullBox('ctts', 0, 0, () => runs(out, timing.offsets));
  if (samples.sync.length < samples.count) {
    out.fullBox('stss', 0, 0, () => {
      out.u32(samples.sync.length);
      for (const number of samples.sync) out.u32(number);
    });
  }
  out.fullBox('stsc', 0, 0, () => chunkSizes(out, samples));
  out.fullBox('stsz', 0, 0, () => {
    out.u32(0).u32(samples.count);
    for (const size of samples.sizes) out.u32(size);
  });
  const { chunks } = samples;
  const large = dataOffset + (chunks.at(-1)?.offset ?? 0) > 0xffffffff;
  out.fullBox(large ? 'co64' : 'stco', 0, 0, () => {
    out.u32(chunks.length);
    for (const { offset } of chunks) {
      if (large) out.u64(dataOffset + offset);
      else out.u32(dataOffset + offset);
    }
  });
}

/** Pairs of a count and a value (8.6.1.2, 8.6.1.3). */
function runs(out: BoxWriter, values: Uint32Array): void {
  const countAt = out.length;
  out.u32(0);
  let entries = 0;
  for (let i = 0; i < values.length; ) {
    let end = i + 1;
    while (end < values.length && values[end] === values[i]) end += 1;
    out.u32(end - i).u32(values[i] as number);
    entries += 1;
    i = end;
  }
  out.patchU32(countAt, entries);
}

/** `stsc` (8.7.4): the first chunk of each run of chunks with equally many samples. */
function chunkSizes(out: BoxWriter, { chunks }: SampleLog): void {
  const countAt = out.length;
  out.u32(0);
  let entries = 0;
  for (const [n, { samples }] of chunks.entries()) {
    if (n > 0 && chunks[n - 1]?.samples === samples) continue;
    out
      .u32(n + 1)
      .u32(samples)
      .u32(1);
    entries += 1;
  }
  out.patchU32(countAt, entries);
}
