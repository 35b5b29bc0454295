/**
 * Where the time went from the creation of a session to its first segment.
 *
 * Invariant: marks are set once each, but for `source`, which counts again with every attempt until the source is open.
 */
import type { OpeningMarks } from '../presentation/journal.ts';

/**
 * What was waited for: `source`, until it answers (a torrent: until its metadata are there); `probe`, until it is known what is in it; `index`, until its key frames are
 * known; `prepare`, until renditions are planned; `player`, until a segment is asked for; `first-byte`, until it is there.
 */
type StartupStepName = 'source' | 'probe' | 'index' | 'prepare' | 'player' | 'first-byte';

export interface StartupStep {
  readonly step: StartupStepName;
  /** So far, where it is still waited for. */
  readonly ms: number;
  readonly isOver: boolean;
}

export class Startup {
  readonly #created = performance.now();
  #source: number | undefined;
  #asked: number | undefined;
  #answered: number | undefined;
  #failed: number | undefined;

  sourceOpened(): void {
    this.#source = performance.now();
  }

  /** The source could not be opened. */
  failed(): void {
    this.#failed = performance.now();
  }

  /** It is being opened, perhaps once more. */
  opening(): void {
    this.#failed = undefined;
    this.#source = undefined;
  }

  segmentAsked(): void {
    this.#asked ??= performance.now();
  }

  segmentAnswered(): void {
    this.#answered ??= performance.now();
  }

  /**
   * The steps up to the one that is under way. What others had done before this session came took it no time.
   * @param opening of its presentation, when it is open
   */
  steps(opening: OpeningMarks | undefined): StartupStep[] {
    const ends: readonly [StartupStepName, number | undefined][] = [
      ['source', this.#source],
      ['probe', opening?.probed],
      ['index', opening?.indexed],
      ['prepare', opening?.ready],
      ['player', this.#asked],
      ['first-byte', this.#answered],
    ];
    const steps: StartupStep[] = [];
    let from = this.#created;
    for (const [step, end] of ends) {
      if (end === undefined) {
        const until = Math.max(from, this.#failed ?? performance.now());
        steps.push({ step, ms: until - from, isOver: false });
        return steps;
      }
      const until = Math.max(from, end);
      steps.push({ step, ms: until - from, isOver: true });
      from = until;
    }
    return steps;
  }
}
