/**
 * The torrents on the disk that nobody uses at the moment.
 *
 * Invariant: `#entries` has exactly the kept torrents without a swarm; those are never deleted from here.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { TorrentFolder } from './folder.ts';
import type { InfoHash } from './protocol.ts';

interface Entry {
  readonly bytes: number;
  /** ms since the epoch. */
  readonly usedAt: number;
}

export class KeptTorrents {
  readonly #folder: TorrentFolder;
  readonly #entries = new Map<InfoHash, Entry>();

  constructor(folder: TorrentFolder) {
    this.#folder = folder;
  }

  /** What they take of the disk. */
  get bytes(): number {
    return [...this.#entries.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Looks at what earlier runs have left. */
  async load(): Promise<void> {
    for (const infoHash of await this.#folder.kept()) await this.#enter(infoHash);
  }

  opened(infoHash: InfoHash): void {
    this.#entries.delete(infoHash);
  }

  /** Nobody uses it any more; it may be there still. */
  async closed(infoHash: InfoHash): Promise<void> {
    if (await this.#folder.keeps()) await this.#enter(infoHash);
  }

  /** Deletes the ones that have not been used for longest until all together take at most `bytes`. */
  async shrinkTo(bytes: number): Promise<void> {
    const oldest = [...this.#entries].sort(([, one], [, other]) => one.usedAt - other.usedAt);
    for (const [infoHash] of oldest) {
      if (this.bytes <= bytes) return;
      if (!this.#entries.delete(infoHash)) continue;
      await rm(await this.#folder.of(infoHash), { recursive: true, force: true });
    }
  }

  async #enter(infoHash: InfoHash): Promise<void> {
    const path = await this.#folder.of(infoHash);
    const names = await readdir(path).catch(() => []);
    if (names.length === 0) return;
    let bytes = 0;
    let usedAt = 0;
    for (const name of names) {
      const found = await stat(join(path, name)).catch(() => undefined);
      // Sparse files take less than their size.
      bytes += found ? Math.min(found.size, (found.blocks ?? found.size / 512) * 512) : 0;
      usedAt = Math.max(usedAt, found?.mtimeMs ?? 0);
    }
    this.#entries.set(infoHash, { bytes, usedAt });
  }
}
