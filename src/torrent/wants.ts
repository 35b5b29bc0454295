/**
 * What is wanted of one torrent: by its sources, and where they read.
 *
 * Invariant: nothing of a chunk in `#forgetting`, which is being deleted, is in a demand, since what is demanded may be written.
 */
import type { Content } from './content.ts';
import type { ByteRange, Demand } from './protocol.ts';
import { withoutChunks } from './ranges.ts';
import type { TorrentSource } from './torrent-source.ts';

export class Wants {
  readonly sources = new Set<TorrentSource>();
  readonly #content: () => Content | undefined;
  readonly #fillsUp: () => boolean;
  readonly #forgetting = new Set<number>();
  #positions: readonly number[] = [];

  /** @param fillsUp whether the files that are read are wanted whole. */
  constructor(content: () => Content | undefined, fillsUp: () => boolean) {
    this.#content = content;
    this.#fillsUp = fillsUp;
  }

  /** Where it is read, or was last; bytes of torrent space. */
  get positions(): readonly number[] {
    const now = [...this.sources].flatMap((source) => source.positions);
    if (now.length > 0) this.#positions = now;
    return this.#positions;
  }

  demand(): Demand {
    const sources = [...this.sources];
    const rest = this.#fillsUp()
      ? sources.map(({ file }) => ({ start: file.offset, end: file.offset + file.length }))
      : [];
    const free = (ranges: readonly ByteRange[]): ByteRange[] =>
      withoutChunks(ranges, this.#forgetting, this.#content()?.chunkLength ?? 0);
    return {
      readers: sources
        .flatMap((source) => source.demands())
        .map(({ reader, waiting, ahead }) => ({ reader, waiting: free(waiting), ahead: free(ahead) })),
      index: free(sources.flatMap((source) => source.index)),
      rest: free(rest),
    };
  }

  /** Whether something is wanted that is not at hand: only then does the speed tell what the swarm can give. */
  isBusy(): boolean {
    return this.#isMissing(this.demand().readers.flatMap(({ waiting, ahead }) => [...waiting, ...ahead]));
  }

  /** Whether anything at all is wanted that is not at hand. */
  lacks(): boolean {
    const { readers, index, rest } = this.demand();
    return this.#isMissing([...readers.flatMap(({ waiting, ahead }) => [...waiting, ...ahead]), ...index, ...rest]);
  }

  /** From now on nothing of these chunks is wanted; `remembered` ends that. */
  forgets(chunks: readonly number[]): void {
    for (const chunk of chunks) this.#forgetting.add(chunk);
  }

  remembered(chunks: readonly number[]): void {
    for (const chunk of chunks) this.#forgetting.delete(chunk);
  }

  isForgetting(chunk: number): boolean {
    return this.#forgetting.has(chunk);
  }

  #isMissing(ranges: readonly ByteRange[]): boolean {
    const content = this.#content();
    return content !== undefined && ranges.some((range) => !content.pieces.isComplete(range));
  }
}
