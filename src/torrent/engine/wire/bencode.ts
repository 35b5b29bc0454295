/**
 * Bencoding (BEP 3) for what peers send: dictionaries as maps of Latin-1 keys, strings as views of the input. Reads
 * leniently (key order is nobody's business), but never deeper than `MAX_DEPTH` and never past the end.
 */

export type Bencoded = number | Uint8Array | Bencoded[] | BencodedMap;
export type BencodedMap = Map<string, Bencoded>;
/** What can be written: text is UTF-8. */
export type Encodable = number | string | Uint8Array | readonly Encodable[] | { readonly [key: string]: Encodable };

const MAX_DEPTH = 24;
const [COLON, DICTIONARY, END, INTEGER, LIST, MINUS] = [0x3a, 0x64, 0x65, 0x69, 0x6c, 0x2d];

class Decoder {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(depth: number): Bencoded {
    if (depth > MAX_DEPTH) throw new RangeError('bencoded value is nested too deeply');
    const type = this.#bytes[this.at];
    if (type === INTEGER) {
      this.at += 1;
      return this.#integer(END!);
    }
    if (type === LIST) return this.#list(depth);
    if (type === DICTIONARY) return this.#dictionary(depth);
    return this.#string();
  }

  #list(depth: number): Bencoded[] {
    const list: Bencoded[] = [];
    this.at += 1;
    while (!this.#ended()) list.push(this.value(depth + 1));
    return list;
  }

  #dictionary(depth: number): BencodedMap {
    const map: BencodedMap = new Map();
    this.at += 1;
    while (!this.#ended()) {
      const key = Buffer.from(this.#string()).toString('latin1');
      map.set(key, this.value(depth + 1));
    }
    return map;
  }

  #ended(): boolean {
    if (this.#bytes[this.at] !== END) return false;
    this.at += 1;
    return true;
  }

  #string(): Uint8Array {
    const length = this.#integer(COLON!);
    const end = this.at + length;
    if (length < 0 || end > this.#bytes.length) throw new RangeError('bencoded string ends early');
    const bytes = this.#bytes.subarray(this.at, end);
    this.at = end;
    return bytes;
  }

  #integer(terminator: number): number {
    const negative = this.#bytes[this.at] === MINUS;
    if (negative) this.at += 1;
    const start = this.at;
    let value = 0;
    for (;;) {
      const byte = this.#bytes[this.at];
      if (byte === terminator) break;
      if (byte === undefined || byte < 0x30 || byte > 0x39) throw new RangeError('bencoded integer is malformed');
      value = value * 10 + byte - 0x30;
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('bencoded integer is too large');
      this.at += 1;
    }
    if (this.at === start) throw new RangeError('bencoded integer is empty');
    this.at += 1;
    return negative ? -value : value;
  }
}

/** The value at the start of `bytes`, and where it ends. @throws RangeError when it is malformed. */
export function decodePrefix(bytes: Uint8Array): { value: Bencoded; end: number } {
  const decoder = new Decoder(bytes);
  const value = decoder.value(0);
  return { value, end: decoder.at };
}

/** @throws RangeError when `bytes` is not exactly one dictionary. */
export function decodeDictionary(bytes: Uint8Array): BencodedMap {
  const { value, end } = decodePrefix(bytes);
  if (!(value instanceof Map) || end !== bytes.length) throw new RangeError('not a bencoded dictionary');
  return value;
}

/** Keys are sorted, as BEP 3 asks; they must be ASCII. */
export function encode(value: Encodable): Buffer {
  const parts: Buffer[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: Encodable, parts: Buffer[]): void {
  if (typeof value === 'number') parts.push(Buffer.from(`i${value}e`));
  else if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = Buffer.from(value as string);
    parts.push(Buffer.from(`${bytes.length}:`), bytes);
  } else if (isList(value)) {
    parts.push(Buffer.from('l'));
    for (const item of value) write(item, parts);
    parts.push(Buffer.from('e'));
  } else {
    parts.push(Buffer.from('d'));
    for (const key of Object.keys(value).sort()) {
      write(key, parts);
      write(value[key]!, parts);
    }
    parts.push(Buffer.from('e'));
  }
}

const isList = (value: Encodable): value is readonly Encodable[] => Array.isArray(value);
