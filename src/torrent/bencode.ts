/**
 * Bencoding (BEP 3), strict and bounded: what it reads comes from strangers. No input makes it hang, overflow the stack, or take more memory than a small
 * multiple of the input's length. Dictionaries are maps, so that no key can be anybody's prototype.
 */

/** Strings are bytes: views of the input. Keys are decoded as latin-1, one character a byte. */
export type Bencoded = number | Uint8Array | readonly Bencoded[] | Dictionary;
export type Dictionary = ReadonlyMap<string, Bencoded>;

/** What `encode` takes: strings are written as UTF-8, keys that are undefined are left out. */
export type Encodable = number | string | Uint8Array | readonly Encodable[] | Dictionary | EncodableFields;
export interface EncodableFields {
  readonly [key: string]: Encodable | undefined;
}

export class BencodeError extends Error {}

/** A value and where it stood: `[start, end)`. */
export interface Decoded {
  readonly value: Bencoded;
  readonly start: number;
  readonly end: number;
  /** Of a dictionary: where the value of each key stands. */
  readonly spans: ReadonlyMap<string, { readonly start: number; readonly end: number }>;
}

/** The deepest torrents have five levels; messages of peers and of the DHT have three. */
const MOST_LEVELS = 32;
/** Values in one input: 100,000 files have half of this. */
const MOST_VALUES = 1_000_000;

const INTEGER = 0x69; // i
const LIST = 0x6c; // l
const DICTIONARY = 0x64; // d
const END = 0x65; // e
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;

/** @throws BencodeError when `bytes` are not exactly one value. */
export function decode(bytes: Uint8Array): Bencoded {
  const { value, end } = decodeFirst(bytes);
  if (end !== bytes.length) throw new BencodeError(`${bytes.length - end} bytes follow the value`);
  return value;
}

/** The value at the beginning of `bytes`; anything may follow it. @throws BencodeError. */
export function decodeFirst(bytes: Uint8Array): Decoded {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  return { value, start: 0, end: reader.position, spans: reader.spans };
}

class Reader {
  position = 0;
  readonly spans = new Map<string, { start: number; end: number }>();
  readonly #bytes: Uint8Array;
  #values = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(level: number): Bencoded {
    if (++this.#values > MOST_VALUES) throw this.#error(`more than ${MOST_VALUES} values`);
    if (level > MOST_LEVELS) throw this.#error(`more than ${MOST_LEVELS} levels`);
    switch (this.#bytes[this.position]) {
      case INTEGER:
        return this.#integer();
      case LIST:
        return this.#list(level);
      case DICTIONARY:
        return this.#dictionary(level);
      default:
        return this.#string();
    }
  }

  #integer(): number {
    this.position += 1;
    const negative = this.#bytes[this.position] === MINUS;
    if (negative) this.position += 1;
    const magnitude = this.#digits(END, 20);
    if (negative && magnitude === 0) throw this.#error('a negative zero');
    return negative ? -magnitude : magnitude;
  }

  #string(): Uint8Array {
    const length = this.#digits(COLON, 12);
    const start = this.position;
    if (length > this.#bytes.length - start) throw this.#error(`a string of ${length} bytes, which is cut off`);
    this.position = start + length;
    return this.#bytes.subarray(start, this.position);
  }

  #list(level: number): Bencoded[] {
    this.position += 1;
    const list: Bencoded[] = [];
    while (!this.#ends()) list.push(this.value(level + 1));
    return list;
  }

  #dictionary(level: number): Dictionary {
    this.position += 1;
    const dictionary = new Map<string, Bencoded>();
    while (!this.#ends()) {
      const bytes = this.#string();
      const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
      if (dictionary.has(key)) throw this.#error(`the key "${key.slice(0, 40)}" twice`);
      const start = this.position;
      dictionary.set(key, this.value(level + 1));
      if (level === 0) this.spans.set(key, { start, end: this.position });
    }
    return dictionary;
  }

  #ends(): boolean {
    if (this.#bytes[this.position] !== END) return false;
    this.position += 1;
    return true;
  }

  /** A number up to `until`, which is taken too. */
  #digits(until: number, most: number): number {
    const start = this.position;
    let number = 0;
    for (;;) {
      const byte = this.#bytes[this.position];
      if (byte === until && this.position > start) break;
      const count = this.position - start;
      if (byte === undefined || byte < ZERO || byte > NINE || count === most) throw this.#error('what is no number');
      if (count === 1 && number === 0) throw this.#error('a number with a zero in front');
      number = number * 10 + (byte - ZERO);
      this.position += 1;
    }
    this.position += 1;
    return number;
  }

  #error(what: string): BencodeError {
    return new BencodeError(`${what}, at byte ${this.position}`);
  }
}

/** The bytes of a value, keys sorted as BEP 3 has it. Numbers are integers. */
export function encode(value: Encodable): Buffer {
  const parts: Uint8Array[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: Encodable, parts: Uint8Array[]): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`not an integer: ${value}`);
    parts.push(Buffer.from(`i${value}e`, 'latin1'));
  } else if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    parts.push(Buffer.from(`${bytes.length}:`, 'latin1'), bytes);
  } else if (isList(value)) {
    parts.push(Buffer.from('l'));
    for (const item of value) write(item, parts);
    parts.push(Buffer.from('e'));
  } else {
    writeDictionary(value instanceof Map ? value : new Map(Object.entries(value)), parts);
  }
}

function isList(value: Encodable): value is readonly Encodable[] {
  return Array.isArray(value);
}

function writeDictionary(fields: ReadonlyMap<string, Encodable | undefined>, parts: Uint8Array[]): void {
  parts.push(Buffer.from('d'));
  const named = [...fields].map(([key, field]) => ({ key: Buffer.from(key, 'latin1'), field }));
  named.sort((one, other) => Buffer.compare(one.key, other.key));
  for (const { key, field } of named) {
    if (field === undefined) continue;
    write(key, parts);
    write(field, parts);
  }
  parts.push(Buffer.from('e'));
}

/** The field of a dictionary, when it is a dictionary and has it as bytes. */
export function bytesField(value: Bencoded | undefined, key: string): Uint8Array | undefined {
  const field = fieldOf(value, key);
  return field instanceof Uint8Array ? field : undefined;
}

/** The same for integers. */
export function integerField(value: Bencoded | undefined, key: string): number | undefined {
  const field = fieldOf(value, key);
  return typeof field === 'number' && Number.isSafeInteger(field) ? field : undefined;
}

/** The same for lists. */
export function listField(value: Bencoded | undefined, key: string): readonly Bencoded[] | undefined {
  const field = fieldOf(value, key);
  return Array.isArray(field) ? (field as readonly Bencoded[]) : undefined;
}

/** The same for dictionaries. */
export function dictionaryField(value: Bencoded | undefined, key: string): Dictionary | undefined {
  const field = fieldOf(value, key);
  return field instanceof Map ? field : undefined;
}

function fieldOf(value: Bencoded | undefined, key: string): Bencoded | undefined {
  return value instanceof Map ? value.get(key) : undefined;
}
