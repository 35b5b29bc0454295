/**
 * What a presentation remembers of its work, for people who ask why it is slow, or does not play. Nothing depends on it.
 *
 * Invariant: `#runs` has every run that has not ended, and of the others the last `KEPT`.
 */
import type { AppError } from '../errors.ts';
import { ffmpegWords } from '../ffmpeg/transcoder.ts';
import type { Listeners } from '../lib/listeners.ts';
import { Troubles } from '../lib/troubles.ts';
import { RunRecord } from './run-record.ts';

/** A run that began or ended. */
export interface RunChange {
  readonly journal: Journal;
  readonly run: RunRecord;
}

/** Ended runs that are remembered. */
const KEPT = 12;

/** When an opening got how far: milliseconds of `performance.now()`. */
export interface OpeningMarks {
  begun: number;
  /** The container is known: what is in it. */
  probed?: number;
  /** Where its key frames are is known, or that it shall be played without knowing. */
  indexed?: number;
  ready?: number;
}

export class Journal {
  /** What went wrong in making segments, and in runs. */
  readonly troubles = new Troubles();
  readonly opening: OpeningMarks = { begun: performance.now() };
  /** Segments that were packaged from the source's own packets: how many, bytes, and milliseconds from being asked for to being there, all together. */
  readonly copied = { segments: 0, bytes: 0, ms: 0 };
  /** Transcoded segments: those that were there when they were asked for, and those that had to be made. */
  readonly transcoded = { stored: 0, awaited: 0 };
  readonly #changes: Listeners<RunChange>;
  #runs: RunRecord[] = [];

  constructor(changes: Listeners<RunChange>) {
    this.#changes = changes;
  }

  /** The oldest first. */
  get runs(): readonly RunRecord[] {
    return this.#runs;
  }

  /** @param position seconds on the presentation's clock at which segment `first` starts */
  run(rendition: string, first: number, position: number): RunRecord {
    const run = new RunRecord(rendition, first, position, (changed) =>
      this.#changes.tell({ journal: this, run: changed }),
    );
    const ended = this.#runs.filter(({ state }) => state === 'ended');
    const forgotten = new Set(ended.slice(0, Math.max(0, ended.length - KEPT + 1)));
    this.#runs = [...this.#runs.filter((known) => !forgotten.has(known)), run];
    return run;
  }

  /** A run broke: it goes on, or has ended. */
  broke(run: RunRecord, error: AppError): void {
    this.troubles.add(`the run of ${run.rendition} at ${run.position.toFixed(1)} s`, error, ffmpegWords(error));
  }
}
