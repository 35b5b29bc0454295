/**
 * Start-up checks, and the same whenever somebody asks.
 *
 * Invariant: at most one round of checks is under way (`#checking`), and its results serve whoever asks within `SAME_FOR_MS` of its beginning.
 */
import { type Capabilities, describeCapabilities } from '../ffmpeg/capabilities.ts';
import { type Check, checkDisk, checkFfmpeg, checkFolder, type Folders } from './checks.ts';

export interface HealthOptions {
  readonly folders: Folders;
  readonly capabilities: Promise<Capabilities>;
  /** Where the server listens; undefined before it does. */
  readonly listening: () => string | undefined;
}

/** Checks write to disks: asking again and again shall not wear them. */
const SAME_FOR_MS = 2_000;

export class Health implements AsyncDisposable {
  readonly #options: HealthOptions;
  #checking: Promise<readonly Check[]> | undefined;
  #begun = Number.NEGATIVE_INFINITY;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** All checks, in the order of `CHECKS`. Never throws. */
  check(): Promise<readonly Check[]> {
    const now = performance.now();
    if (this.#checking && now - this.#begun < SAME_FOR_MS) return this.#checking;
    this.#begun = now;
    this.#checking = this.#round();
    return this.#checking;
  }

  /** Resolves when no check is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#checking;
  }

  async #round(): Promise<readonly Check[]> {
    const { folders, listening } = this.#options;
    const { temporary, cache, torrents, clips } = folders;
    const address = listening();
    return Promise.all([
      this.#ffmpeg(),
      checkFolder('temporary', temporary),
      checkFolder('cache', cache),
      checkFolder('torrents', torrents),
      checkFolder('clips', clips),
      checkDisk(folders),
      address === undefined
        ? ({ name: 'port', state: 'failing', detail: 'The server does not listen.' } as const)
        : ({ name: 'port', state: 'ok', detail: `The server listens on ${address}.` } as const),
    ]);
  }

  async #ffmpeg(): Promise<Check> {
    try {
      const found = await this.#options.capabilities;
      return checkFfmpeg(found.missing, describeCapabilities(found));
    } catch {
      return checkFfmpeg(['FFmpeg could not be examined.'], '');
    }
  }
}
