import type { Packet } from '../media/types.ts';

/** Packets of one track, taken by time as another track advances. */
export class AudioQueue {
  readonly #batches: AsyncGenerator<readonly Packet[], void>;
  #batch: readonly Packet[] = [];
  #next = 0;
  #ended = false;

  constructor(batches: AsyncGenerator<readonly Packet[], void>) {
    this.#batches = batches;
  }

  /** Hands on what begins before `time`, in portions whose memory is valid until `take` has settled. */
  async before(time: number, take: (packets: readonly Packet[]) => Promise<void>): Promise<void> {
    while (!this.#ended) {
      let end = this.#next;
      while (end < this.#batch.length && (this.#batch[end] as Packet).pts < time) end += 1;
      if (end > this.#next) await take(this.#batch.slice(this.#next, end));
      this.#next = end;
      if (end < this.#batch.length) return;
      const { value, done } = await this.#batches.next();
      this.#ended = done === true;
      this.#batch = value ?? [];
      this.#next = 0;
    }
  }

  /** Ends the packets' source. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#batches.return();
  }
}
