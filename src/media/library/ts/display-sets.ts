/**
 * Blu-ray's subtitles in a transport stream: a PES packet for each segment, and those with the pictures are told for earlier than the composition that shows
 * them. Here the segments of a display set come together again, at the composition's time.
 */
import type { Pes } from './pes.ts';

const COMPOSITION = 0x16;
const END = 0x80;
const SEGMENT_HEADER = 3;
/** A set with all its pictures stays far below. Bytes. */
const MAX_SET = 16 * 1024 * 1024;

/** Invariant: `#parts` are the segments since the last composition, none when its set has ended or become too large. */
export class DisplaySets {
  readonly #give: (data: Uint8Array, composition: Pes & { readonly pts: number }) => void;
  #composition: (Pes & { readonly pts: number }) | undefined;
  #parts: Uint8Array[] = [];
  #size = 0;

  /** @param give takes each whole set, and the packet that its composition came in. */
  constructor(give: (data: Uint8Array, composition: Pes & { readonly pts: number }) => void) {
    this.#give = give;
  }

  push(pes: Pes): void {
    const { pts, data } = pes;
    if (data[0] === COMPOSITION) {
      this.#composition = pts === undefined ? undefined : { ...pes, pts };
      this.#parts = [];
      this.#size = 0;
    }
    if (this.#composition === undefined) return;
    this.#parts.push(data.slice());
    this.#size += data.length;
    const isWhole = endsSet(data);
    if (isWhole && this.#size <= MAX_SET) this.#give(Buffer.concat(this.#parts), this.#composition);
    if (isWhole || this.#size > MAX_SET) {
      this.#composition = undefined;
      this.#parts = [];
    }
  }
}

function endsSet(data: Uint8Array): boolean {
  for (let at = 0; at + SEGMENT_HEADER <= data.length; ) {
    if (data[at] === END) return true;
    at += SEGMENT_HEADER + (((data[at + 1] as number) << 8) | (data[at + 2] as number));
  }
  return false;
}
