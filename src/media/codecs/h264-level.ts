/** Levels of H.264 (ITU-T H.264, table A-1): level_idc, macroblocks per second, macroblocks per frame, and bits per second of High profile. */
const LEVELS: readonly (readonly [level: number, rate: number, size: number, bits: number])[] = [
  [30, 40_500, 1_620, 12_500_000],
  [31, 108_000, 3_600, 17_500_000],
  [32, 216_000, 5_120, 25_000_000],
  [40, 245_760, 8_192, 25_000_000],
  [42, 522_240, 8_704, 62_500_000],
  [50, 589_824, 22_080, 168_750_000],
  [51, 983_040, 36_864, 300_000_000],
  [52, 2_073_600, 36_864, 300_000_000],
];

/** The lowest level (level_idc, from 30) at which High profile holds such pictures. */
export function h264Level(width: number, height: number, frameRate: number, maxBitRate: number): number {
  const size = Math.ceil(width / 16) * Math.ceil(height / 16);
  const found = LEVELS.find(([, rate, most, bits]) => size * frameRate <= rate && size <= most && maxBitRate <= bits);
  return (found ?? (LEVELS.at(-1) as (typeof LEVELS)[number]))[0];
}
