/** H.264 encoders: libx264, and those of graphics processors. All are asked for the same: High profile, no B-frames where they could differ, IDR where told. */

/** What an encoder needs to know of a rendition. */
export interface EncodedVideo {
  /** Bits per second that no second exceeds by much (VBV). */
  readonly maxBitRate: number;
  /** level_idc: 40 for level 4.0. */
  readonly level: number;
  /** Somebody waits for the first segment, and that alone is made, with the first frame of the second, as fast as can be (docs/decisions/0013). libx264 only. */
  readonly head?: boolean;
}

export interface VideoEncoder<Name = 'software' | HardwareName> {
  /** As `RAFFI_HWACCEL` has it; `software` for libx264. */
  readonly name: Name;
  /** As FFmpeg lists it. */
  readonly encoder: string;
  /** Before the input. */
  readonly device: readonly string[];
  /** Filters after the last one of the picture, which gives yuv420p. */
  readonly upload: readonly string[];
  /** Without what all share: where key frames stand, times. */
  options(video: EncodedVideo): string[];
}

export type HardwareName = 'nvenc' | 'vaapi' | 'qsv' | 'videotoolbox';

/**
 * superfast sees nothing coming; with the little that veryfast sees it takes a tenth more bits for the same quality, and still a third less time. What the parameter
 * sets tell must be the same for both: it is the initialization segment.
 */
function preset(head: boolean): string[] {
  const same = ['-refs', '1', '-bf', '3', '-8x8dct', '1', '-weightp', 'simple'];
  return head
    ? ['-preset', 'superfast', '-mbtree', '1', '-rc-lookahead', '10', ...same]
    : ['-preset', 'veryfast', ...same];
}

export const SOFTWARE: VideoEncoder = {
  name: 'software',
  encoder: 'libx264',
  device: [],
  upload: [],
  options: ({ maxBitRate, level, head = false }) => [
    ...['-c:v', 'libx264', ...preset(head), '-crf', '23', '-profile:v', 'high', '-level', String(level / 10)],
    ...['-maxrate', String(maxBitRate), '-bufsize', String(maxBitRate)],
    ...['-sc_threshold', '0', '-forced-idr', '1'],
  ],
};

/** Average and most bits per second; a graphics processor has no use for quality alone. */
function rates({ maxBitRate }: EncodedVideo): string[] {
  const average = Math.round(maxBitRate * 0.75);
  return ['-b:v', String(average), '-maxrate', String(maxBitRate), '-bufsize', String(maxBitRate)];
}

const profile = ({ level }: EncodedVideo): string[] => ['-profile:v', 'high', '-level', String(level / 10), '-bf', '0'];

/** In the order in which they are preferred. */
export const HARDWARE: readonly VideoEncoder<HardwareName>[] = [
  {
    name: 'videotoolbox',
    encoder: 'h264_videotoolbox',
    device: [],
    upload: ['format=nv12'],
    options: (video) => ['-c:v', 'h264_videotoolbox', '-allow_sw', '0', ...profile(video), ...rates(video)],
  },
  {
    name: 'nvenc',
    encoder: 'h264_nvenc',
    device: [],
    upload: [],
    options: (video) => [
      ...['-c:v', 'h264_nvenc', '-preset', 'p4', '-rc', 'vbr', '-cq', '23', ...profile(video)],
      ...['-no-scenecut', '1', '-forced-idr', '1'],
      ...rates(video),
    ],
  },
  {
    name: 'qsv',
    encoder: 'h264_qsv',
    device: [],
    upload: ['format=nv12'],
    options: (video) => [
      ...['-c:v', 'h264_qsv', '-preset', 'veryfast', ...profile(video), '-forced_idr', '1'],
      ...rates(video),
    ],
  },
  {
    name: 'vaapi',
    encoder: 'h264_vaapi',
    device: ['-init_hw_device', 'vaapi=raffi', '-filter_hw_device', 'raffi'],
    upload: ['format=nv12', 'hwupload'],
    options: (video) => [
      ...['-c:v', 'h264_vaapi', '-rc_mode', 'VBR', ...profile(video), '-idr_interval', '0'],
      ...rates(video),
    ],
  },
];
