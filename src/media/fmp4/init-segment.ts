import type { CodecConfig, Track } from '../types.ts';
import { BoxWriter } from './box-writer.ts';

/** Ticks per second of every video rendition. */
const VIDEO_TIMESCALE = 90_000;

/** A track that can be copied. */
export type CopiedTrack = Track & { readonly config: CodecConfig };

export function isCopied(track: Track): track is CopiedTrack {
  return track.config !== undefined;
}

/** Ticks per second of the track's rendition: 90,000 for video, the sample rate for audio. */
export function timescaleOf(track: CopiedTrack): number {
  return track.config.audio?.sampleRate ?? VIDEO_TIMESCALE;
}

/**
 * Ticks that are added to each composition offset of video, and taken off again by the edit list. So an offset below zero, which a sample has that is shown before its
 * decode time (see media-segment.ts), does not stand as such: FFmpeg's demuxer, and all players built on it, would delay the whole track by the lowest negative one. It is as
 * small as the codec's reordering allows, since hls.js does not know edit lists and takes it for a late start of the segment.
 */
export function compositionShift({ config, video }: CopiedTrack): number {
  const frameRate = video?.frameRate ?? config.video?.frameRate ?? 24;
  return Math.ceil(((config.video?.reorderFrames ?? 0) * VIDEO_TIMESCALE) / frameRate);
}

/** The CMAF header (ISO/IEC 23000-19, 7.3.1) of one track: `ftyp` and `moov` with empty sample tables. */
export function initSegment(track: CopiedTrack): Buffer {
  const out = new BoxWriter();
  out.box('ftyp', () => out.ascii('iso6').u32(0).ascii('iso6').ascii('cmfc').ascii('mp41'));
  out.box('moov', () => {
    out.fullBox('mvhd', 0, 0, () => {
      out.u32(0).u32(0).u32(timescaleOf(track)).u32(0); // created, modified, timescale, duration
      out.u32(0x00010000).u16(0x0100).zeros(10); // rate 1, volume 1
      matrix(out, 0, 0, 0);
      out.zeros(24).u32(2); // next track id
    });
    trak(out, track);
    out.box('mvex', () => out.fullBox('trex', 0, 0, () => out.u32(1).u32(1).u32(0).u32(0).u32(0)));
  });
  return out.finish();
}

function trak(out: BoxWriter, track: CopiedTrack): void {
  const { video } = track;
  out.box('trak', () => {
    out.fullBox('tkhd', 0, 7, () => {
      out.u32(0).u32(0).u32(1).u32(0).u32(0).zeros(8); // created, modified, track id, reserved, duration
      out
        .u16(0)
        .u16(0)
        .u16(video ? 0 : 0x0100)
        .u16(0); // layer, group, volume
      matrix(out, video?.rotation ?? 0, video?.displayWidth ?? 0, video?.displayHeight ?? 0);
      out.u32(fixedPoint(video?.displayWidth ?? 0)).u32(fixedPoint(video?.displayHeight ?? 0));
    });
    const shift = video ? compositionShift(track) : 0;
    if (shift > 0) {
      out.box('edts', () =>
        // segment_duration 0: the fragments' (14496-12, 8.6.6.3)
        out.fullBox('elst', 0, 0, () => out.u32(1).u32(0).u32(shift).u32(0x00010000)),
      );
    }
    out.box('mdia', () => {
      out.fullBox('mdhd', 0, 0, () =>
        out.u32(0).u32(0).u32(timescaleOf(track)).u32(0).u16(packedLanguage(track.language)).u16(0),
      );
      mediaInformation(out, video !== undefined, () => {
        out.fullBox('stsd', 0, 0, () => {
          out.u32(1);
          sampleEntry(out, track);
        });
        out.fullBox('stts', 0, 0, () => out.u32(0));
        out.fullBox('stsc', 0, 0, () => out.u32(0));
        out.fullBox('stsz', 0, 0, () => out.u32(0).u32(0));
        out.fullBox('stco', 0, 0, () => out.u32(0));
      });
    });
  });
}

/** What follows `mdhd` in `mdia`: `hdlr`, and `minf` with the media in this file itself. @param tables writes the content of `stbl`. */
export function mediaInformation(out: BoxWriter, isVideo: boolean, tables: () => void): void {
  out.fullBox('hdlr', 0, 0, () =>
    out
      .u32(0)
      .ascii(isVideo ? 'vide' : 'soun')
      .zeros(12)
      .ascii(isVideo ? 'VideoHandler' : 'SoundHandler')
      .u8(0),
  );
  out.box('minf', () => {
    if (isVideo) out.fullBox('vmhd', 0, 1, () => out.zeros(8));
    else out.fullBox('smhd', 0, 0, () => out.zeros(4));
    out.box('dinf', () =>
      out.fullBox('dref', 0, 0, () => {
        out.u32(1);
        out.fullBox('url ', 0, 1, () => {});
      }),
    );
    out.box('stbl', tables);
  });
}

export function sampleEntry(out: BoxWriter, track: CopiedTrack): void {
  const { config, video } = track;
  out.box(config.sampleEntry, () => {
    out.zeros(6).u16(1); // reserved, data reference index
    if (video) {
      const width = config.video?.width ?? video.width;
      const height = config.video?.height ?? video.height;
      out
        .zeros(16)
        .u16(width & 0xffff)
        .u16(height & 0xffff)
        .u32(0x00480000)
        .u32(0x00480000)
        .u32(0)
        .u16(1);
      out.zeros(32).u16(24).u16(0xffff); // compressor name, depth, pre-defined
      out.bytes(config.configBox);
      pixelAspect(out, video, width, height);
      const colour = video.colour ?? config.video?.colour;
      if (colour) {
        out.box('colr', () => {
          out.ascii('nclx').u16(colour.primaries).u16(colour.transfer).u16(colour.matrix);
          out.u8(colour.fullRange ? 0x80 : 0);
        });
      }
    } else {
      const rate = config.audio?.sampleRate ?? 48_000;
      out
        .zeros(8)
        .u16(config.audio?.channels ?? 2)
        .u16(config.audio?.bitDepth ?? 16)
        .u32(0);
      out.u32(rate < 0x10000 ? rate * 0x10000 : 0); // 16.16; larger rates stand in the codec's own box
      out.bytes(config.configBox);
    }
  });
}

function pixelAspect(out: BoxWriter, video: NonNullable<Track['video']>, width: number, height: number): void {
  const horizontal = video.displayWidth * height;
  const vertical = video.displayHeight * width;
  if (horizontal <= 0 || vertical <= 0 || Math.abs(horizontal / vertical - 1) < 0.002) return;
  const divisor = gcd(horizontal, vertical);
  if (Math.max(horizontal, vertical) / divisor > 0xffffffff) return;
  out.box('pasp', () => out.u32(horizontal / divisor).u32(vertical / divisor));
}

/** 16.16, as far as it goes: a damaged aspect ratio makes pictures of any width. */
export function fixedPoint(size: number): number {
  return Math.min(Math.max(0, size), 0xffff) * 0x10000;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** The transformation matrix of `tkhd` and `mvhd` (14496-12, 6.2.2) for a clockwise rotation of a picture. */
export function matrix(out: BoxWriter, rotation: 0 | 90 | 180 | 270, width: number, height: number): void {
  const one = 0x00010000;
  const [a, b, c, d, x, y] = {
    0: [one, 0, 0, one, 0, 0],
    90: [0, one, -one, 0, height * one, 0],
    180: [-one, 0, 0, -one, width * one, height * one],
    270: [0, -one, one, 0, 0, width * one],
  }[rotation] as [number, number, number, number, number, number];
  out
    .i32(a)
    .i32(b)
    .i32(0)
    .i32(c)
    .i32(d)
    .i32(0)
    .i32(x | 0)
    .i32(y | 0)
    .u32(0x40000000);
}

/** ISO 639-2/T in 5 bits a letter (14496-12, 8.4.2); `und` for what does not fit. */
export function packedLanguage(language: string | undefined): number {
  const code = language !== undefined && /^[a-z]{3}$/.test(language) ? language : 'und';
  return [...code].reduce((packed, letter) => (packed << 5) | (letter.charCodeAt(0) - 0x60), 0);
}
