/** Loudness of a track by ITU-R BS.1770, as EBU R 128 wants it measured. */
import { loudnessArguments } from './arguments.ts';
import type { Mix } from './sound.ts';
import { transcode } from './transcoder.ts';

/** Below it all is silence (the absolute gate), LUFS. */
const SILENCE = -69;
/** dB. More would bring up noise; less than this nobody mixes. */
const MOST_GAIN = 24;
const LEAST_GAIN = -24;

/**
 * Integrated loudness, LUFS, of what the feed brings, mixed as it will be heard; undefined for silence.
 * @param options.input a feed of one audio track (`media/feed`), its packets without holes.
 * @throws AppError `transcode-failed`; what the input throws; the signal's reason.
 */
export async function measureLoudness(options: {
  readonly ffmpeg: string;
  readonly input: AsyncIterable<Uint8Array>;
  readonly mix: Mix;
  readonly signal: AbortSignal;
}): Promise<number | undefined> {
  const { ffmpeg, input, mix, signal } = options;
  const chunks: Uint8Array[] = [];
  for await (const chunk of transcode({ ffmpeg, args: loudnessArguments(mix), input, signal })) chunks.push(chunk);
  const values = [
    ...Buffer.concat(chunks)
      .toString('latin1')
      .matchAll(/^lavfi\.r128\.I=(-?[\d.]+)$/gm),
  ];
  const last = Number(values.at(-1)?.[1] ?? Number.NaN);
  return last > SILENCE ? last : undefined;
}

/** dB from a measured loudness to a target, both LUFS. */
export function gainTo(target: number, measured: number | undefined): number {
  return measured === undefined ? 0 : Math.min(MOST_GAIN, Math.max(LEAST_GAIN, target - measured));
}
