/** Packets that came before their turn. */
import { distance } from './packet.ts';

/** Bytes that may wait. */
const ROOM = 1024 * 1024;
/** How far ahead of its turn a packet may be. */
const MOST_AHEAD = 800;

interface Early {
  readonly bytes: Buffer;
  /** Where the payload begins. */
  readonly from: number;
  readonly isLast: boolean;
}

export class Reorder {
  readonly #packets = new Map<number, Early>();
  #held = 0;

  /** Bytes that the other side may send. */
  get room(): number {
    return Math.max(0, ROOM - this.#held);
  }

  /** What there is no room for is left out: it will be sent again. */
  keep(seq: number, ahead: number, packet: Early): void {
    const size = packet.bytes.length;
    if (ahead > MOST_AHEAD || size > this.room || this.#packets.has(seq)) return;
    this.#packets.set(seq, packet);
    this.#held += size;
  }

  take(seq: number): Early | undefined {
    const packet = this.#packets.get(seq);
    if (packet === undefined) return undefined;
    this.#packets.delete(seq);
    this.#held -= packet.bytes.length;
    return packet;
  }

  /** The selective acknowledgement: bit n stands for `ack + 2 + n`; undefined when nothing waits. */
  bits(ack: number): Uint8Array | undefined {
    if (this.#packets.size === 0) return undefined;
    let last = 0;
    for (const seq of this.#packets.keys()) last = Math.max(last, distance(ack, seq));
    const bits = new Uint8Array(Math.ceil((last - 1) / 32) * 4);
    for (const seq of this.#packets.keys()) {
      const bit = distance(ack, seq) - 2;
      bits[bit >> 3]! |= 1 << (bit & 7);
    }
    return bits;
  }

  clear(): void {
    this.#packets.clear();
    this.#held = 0;
  }
}
