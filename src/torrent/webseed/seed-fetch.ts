/**
 * Blocks that follow each other, fetched from a web seed with one request for each file that they touch, and handed over as they fill.
 *
 * Invariant: `#at` is the first byte of torrent space that has not come yet; every block before it was handed over or cancelled.
 */

import { contentLength, contentRange, type ResponseHead } from '../../source/http-headers.ts';
import type { HttpOrigin } from '../../source/http-origin.ts';
import type { Metainfo, TorrentFile } from '../metainfo.ts';
import type { SeedWire, WantedBlock } from './seed-wire.ts';

/** Why a web seed is of no use, in words that continue its name. */
export class SeedError extends Error {}

export interface SeedFetchOptions {
  readonly metainfo: Metainfo;
  readonly originOf: (file: TorrentFile) => HttpOrigin;
  readonly wire: SeedWire;
  /** Called with the number of bytes, as they come. */
  readonly came: (bytes: number) => void;
}

const HEAD_MS = 15_000;

export class SeedFetch {
  readonly #options: SeedFetchOptions;
  readonly #blocks: WantedBlock[];
  readonly #gone = new AbortController();
  readonly #end: number;
  #at: number;
  #block: { readonly message: Uint8Array; readonly content: number; filled: number } | undefined;

  /** @param blocks at least one; each begins where the one before ends. */
  constructor(blocks: readonly WantedBlock[], options: SeedFetchOptions) {
    this.#options = options;
    this.#blocks = [...blocks];
    const start = offsetOf(options.metainfo, blocks[0]!);
    this.#at = start;
    this.#end = start + blocks.reduce((sum, { length }) => sum + length, 0);
  }

  /** Nobody wants this block any more. When nobody wants any, it ends. */
  cancel({ piece, begin }: WantedBlock): void {
    const at = this.#blocks.findIndex((block) => block.piece === piece && block.begin === begin);
    // The one that is arriving comes whole.
    if (at > 0 && at === this.#blocks.length - 1) this.#blocks.pop();
    if (at === 0 && this.#blocks.length === 1 && this.#block === undefined)
      this.#gone.abort(new SeedError('is not needed'));
  }

  /** Resolves when all that is still wanted was handed over. @throws AppError, SeedError; the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    const { files } = this.#options.metainfo;
    const ended = AbortSignal.any([signal, this.#gone.signal]);
    try {
      for (const file of files) {
        const end = Math.min(this.#end, file.offset + file.length);
        if (this.#at >= end || file.offset > this.#at || this.#blocks.length === 0) continue;
        if (file.isPadding) this.#take(new Uint8Array(end - this.#at));
        else await this.#fetch(file, end, ended);
      }
    } catch (error) {
      if (!this.#gone.signal.aborted || signal.aborted) throw error;
    }
  }

  async #fetch(file: TorrentFile, end: number, signal: AbortSignal): Promise<void> {
    const range = { start: this.#at - file.offset, end: end - file.offset };
    await this.#options.originOf(file).request(
      { method: 'GET', range, headTimeout: HEAD_MS },
      (head) => {
        check(head, range.start, file.length);
        return (chunk) => {
          const room = end - this.#at;
          this.#options.came(Math.min(room, chunk.length));
          this.#take(chunk.length > room ? chunk.subarray(0, room) : chunk);
          return this.#blocks.length > 0 && chunk.length <= room;
        };
      },
      signal,
    );
    if (this.#at < end && this.#blocks.length > 0) throw new SeedError('breaks off in the middle');
  }

  #take(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const [wanted] = this.#blocks;
      if (wanted === undefined) return;
      this.#block ??= { ...this.#options.wire.blockMessage(wanted), filled: 0 };
      const block = this.#block;
      const part = bytes.subarray(from, from + wanted.length - block.filled);
      block.message.set(part, block.content + block.filled);
      block.filled += part.length;
      from += part.length;
      this.#at += part.length;
      if (block.filled < wanted.length) return;
      this.#blocks.shift();
      this.#block = undefined;
      this.#options.wire.send(block.message);
    }
  }
}

/** The first byte of a block in torrent space. */
export function offsetOf({ pieceLength }: Metainfo, { piece, begin }: WantedBlock): number {
  return piece * pieceLength + begin;
}

/** @throws SeedError when these are not the bytes of the file from `start` on. */
function check(head: ResponseHead, start: number, length: number): void {
  const range = contentRange(head);
  const total = head.status === 200 ? contentLength(head) : range?.total;
  if (total !== undefined && total !== length)
    throw new SeedError(`has a file of ${total} bytes where the torrent's has ${length}`);
  if (head.status === 200 && start === 0) return;
  if (head.status !== 206 || range?.first !== start)
    throw new SeedError('does not send the part of a file that it is asked for');
}
