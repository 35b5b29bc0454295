/**
 * What is done to sound before it is encoded: mixing down, a constant gain, a limiter.
 * Invariant: nothing remembers more than the limiter's release, which is shorter than what is encoded before the first frame that is kept: so runs that start anywhere
 * make the same sound.
 */

/** Sample rate of all transcoded audio, Hz. */
export const AUDIO_RATE = 48_000;

export interface Mix {
  /** Of the source; 0 when unknown. */
  readonly from: number;
  /** 1, 2 or 6. */
  readonly to: number;
}

/**
 * How `aresample` mixes channels. To stereo the centre keeps its power, 0.7 into each side, and so do the fronts relative to it lose 3 dB: dialogue stays in front of
 * music and effects. Surrounds come in at 0.42. The low-frequency channel is left out, as ITU-R BS.775 does: small speakers would only distort.
 */
export function mixOptions({ from, to }: Mix): string {
  const layout = { 1: 'mono', 6: '5.1' }[to] ?? 'stereo';
  const down = to === 2 && from > 2 ? ':clev=1:slev=0.6:lfe_mix_level=0:rmvol=0.7' : '';
  // What exceeds full scale is for the limiter; else all would be turned down for the rare sum of everything.
  return `ochl=${layout}:internal_sample_fmt=fltp:rematrix_maxval=1000${down}`;
}

/** Parts of full scale. The encoder and the converter behind it overshoot a little; a true peak lies between samples. */
const CEILING = 0.89;
const CEILING_LEVELLED = 0.7;

/** Filters behind the resampler. @param gain dB; undefined where loudness is left as it is. */
export function levelFilters(mix: Mix, gain: number | undefined): string[] {
  if (gain === undefined && mix.from <= mix.to) return [];
  const limit = gain === undefined ? CEILING : CEILING_LEVELLED;
  return [
    ...(gain === undefined ? [] : [`volume=${gain.toFixed(2)}dB:precision=float`]),
    `alimiter=limit=${limit}:attack=5:release=50:level=disabled:latency=1`,
  ];
}

const LAYOUTS: Readonly<Record<number, string>> = { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' };
const layoutName = (channels: number): string => LAYOUTS[channels] ?? `${channels} channels`;

/** What is done, in words. @param target LUFS that the loudness is brought to. */
export function soundInWords({ from, to }: Mix, sampleRate: number, target: number | undefined): string[] {
  return [
    ...(from > to ? [`${layoutName(from)} is mixed down to ${layoutName(to)}`] : []),
    ...(sampleRate > 0 && sampleRate !== AUDIO_RATE ? [`${sampleRate} Hz becomes ${AUDIO_RATE} Hz`] : []),
    ...(target === undefined ? [] : [`loudness is brought to ${target} LUFS`]),
  ];
}
