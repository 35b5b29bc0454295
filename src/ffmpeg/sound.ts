/**
 * What is done to sound before it is encoded: mixing down, a constant gain, a limiter.
 * Invariant: nothing remembers more than the limiter's release, which is shorter than what is encoded before the first frame that is kept: so runs that start anywhere
 * make the same sound.
 */

import type { TimeLine } from '../lib/even-times.ts';

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

/**
 * Seconds of a source's sound that come before the first frame that is encoded: a decoder settles in a fraction of it; the rest tells how times are rounded.
 */
export const SOUND_BEFORE = 1.5;

/** Seconds between the frames that are most early and most late: times are rounded to milliseconds at worst, and to ticks of the feed. */
const ROUNDED_BY = 0.00104;
/** Seconds in which a decoder settles: what it drops there is no sound but shifts all that comes. */
const UNSETTLED = 0.2;
/** A whole number of samples at every usual rate, and of AAC's at 48 kHz: seconds. */
const COMMON_STEP = 1 / 25;

/** Where FFmpeg reads sound with times in milliseconds, those are given to it as so many times as long, so that it doesn't smooth them in its own way: that depends on where it begins. */
export const STRETCHED = 1000;

/**
 * Sound is placed by the time of its first frame, which containers round to milliseconds: two runs that begin at different packets would be up to a
 * millisecond apart. So the place is taken from all frames before the first one that is kept: the middle between those that are
 * most early and most late in comparison with the samples counted. The tighter it is the more frames there are; what does not lie on one line is a gap, behind which
 * counting begins anew. What is cut off in front ends at a whole sample of the output, so that a change of rate has the same phase in all runs.
 * @param time of the first sample of the output, seconds.
 * @param even of what FFmpeg reads itself, with its times STRETCHED: the line of its packets, and whether there is nothing before the first of them.
 */
export function steadyFilters(time: number, even?: { readonly line: TimeLine; readonly isFirst: boolean }): string[] {
  const seconds = even ? `PTS*TB/${STRETCHED}` : 'PTS*TB';
  const span = `max(ld(1),ld(3))-min(ld(0),ld(3))`;
  const begins = `st(0,ld(3));st(1,ld(3))`;
  const goesOn = `st(0,min(ld(0),ld(3)));st(1,max(ld(1),ld(3)))`;
  const offset = even?.isFirst ? `if(N,${seconds}-N/SR,${onLine(seconds, even.line)})` : `${seconds}-N/SR`;
  const count = `st(3,${offset});if(lt(N/SR,${UNSETTLED})+gt(${span},${ROUNDED_BY}),${begins},${goesOn})`;
  const start = Math.floor(time / COMMON_STEP - 0.5) * COMMON_STEP;
  return [`asetpts='if(isnan(PTS),NAN,${count};round((N/SR+(ld(0)+ld(1))/2)/TB))'`, `atrim=start=${start.toFixed(6)}`];
}

/** The point of the line next to a time. */
function onLine(seconds: string, { origin, step }: TimeLine): string {
  const [from, by] = [origin.toFixed(7), step.toFixed(9)];
  return `${from}+round((${seconds}-(${from}))/${by})*${by}`;
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
