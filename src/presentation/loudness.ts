import { gainTo, measureLoudness } from '../ffmpeg/loudness.ts';
import type { Mix } from '../ffmpeg/sound.ts';
import { feedCluster, feedHeader } from '../media/feed/feed.ts';
import type { Track } from '../media/types.ts';
import type { Opened } from './copied.ts';
import { audioPackets } from './feed.ts';

/** Tracks up to this long are measured whole, seconds; of longer ones there are samples. */
const WHOLE = 90;
/** A power of two. */
const SAMPLES = 32;
const SAMPLE_SECONDS = 3;
/** No further sample is begun after this time, milliseconds: somebody waits for the first segment. */
const BUDGET_MS = 1_000;
/** But the gain is everybody's from then on: so many are taken in any case. */
const LEAST_SAMPLES = 8;

/** Measures a track once. The gain that it gives holds for all runs, whoever asked first. */
export class LoudnessMeter implements AsyncDisposable {
  readonly #measure: (signal: AbortSignal) => Promise<number>;
  readonly #owner = new AbortController();
  #gain: Promise<number> | undefined;

  /** @param options.target LUFS. */
  constructor(options: {
    readonly source: Opened;
    readonly track: Track;
    readonly mix: Mix;
    readonly ffmpeg: string;
    readonly target: number;
  }) {
    const { source, track, mix, ffmpeg, target } = options;
    this.#measure = async (signal) => {
      const input = samples(source, track, signal);
      return gainTo(target, await measureLoudness({ ffmpeg, input, mix, signal }));
    };
  }

  /** dB. A failure is tried again by who asks next. @throws as `measureLoudness`. */
  gain(): Promise<number> {
    if (this.#gain === undefined) {
      const gain = this.#measure(this.#owner.signal);
      this.#gain = gain;
      gain.catch(() => {
        if (this.#gain === gain) this.#gain = undefined;
      });
    }
    return this.#gain;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#owner.abort(new Error('The source is no longer open.'));
    await this.#gain?.catch(() => {});
  }
}

/** The track, or samples from all over it, as one stream without holes. */
async function* samples(source: Opened, track: Track, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield feedHeader(track);
  const { duration } = source.info;
  const begun = performance.now();
  let at = 0;
  for (const [n, [from, to]] of windows(duration).entries()) {
    if (n >= LEAST_SAMPLES && at > 0 && performance.now() - begun > BUDGET_MS) return;
    const sampled: { first?: number; end: number } = { end: 0 };
    for await (const batch of audioPackets(source, track, from, to, signal)) {
      using held = batch;
      const { packets } = held;
      const [head] = packets;
      const tail = packets.at(-1);
      if (!head || !tail) continue;
      sampled.first ??= head.pts;
      sampled.end = tail.pts + tail.duration;
      yield feedCluster(packets, sampled.first - at);
    }
    if (sampled.first !== undefined) at += sampled.end - sampled.first;
  }
}

/** Presentation times, seconds: from inclusive, to exclusive. The order spreads however many of them over the whole. */
function windows(duration: number): [from: number, to: number][] {
  if (duration <= WHOLE) return [[0, Number.POSITIVE_INFINITY]];
  return Array.from({ length: SAMPLES }, (_, n) => {
    // The van der Corput sequence, from the middle: a fixed step may keep pace with the scenes.
    const from = ((((mirrored(n) + SAMPLES / 2) % SAMPLES) + 0.5) / SAMPLES) * (duration - SAMPLE_SECONDS);
    return [from, from + SAMPLE_SECONDS];
  });
}

/** The bits of a number below `SAMPLES` in the opposite order. */
function mirrored(n: number): number {
  let bits = 0;
  for (let bit = 1; bit < SAMPLES; bit *= 2) bits = 2 * bits + (n & bit ? 1 : 0);
  return bits;
}
