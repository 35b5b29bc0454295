import { createHash, timingSafeEqual } from 'node:crypto';

/** Something that others must know. Comparing takes the same time whatever they say. */
export class Secret {
  readonly #digest: Buffer;

  constructor(text: string) {
    this.#digest = digestOf(text);
  }

  matches(candidate: string | undefined): boolean {
    // Digests, since the comparison needs equal lengths and must not tell the secret's.
    return timingSafeEqual(this.#digest, digestOf(candidate ?? '')) && candidate !== undefined;
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
