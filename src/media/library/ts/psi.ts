/** Programme specific information: PAT and PMT (ISO/IEC 13818-1 section 2.4.4). */

/** A descriptor's content, views of the section. */
export interface Descriptor {
  readonly tag: number;
  readonly data: Uint8Array;
}

export interface ElementaryEntry {
  readonly pid: number;
  readonly streamType: number;
  readonly descriptors: readonly Descriptor[];
}

export interface ProgramMap {
  readonly programNumber: number;
  readonly pcrPid: number;
  readonly descriptors: readonly Descriptor[];
  readonly streams: readonly ElementaryEntry[];
}

const MAX_SECTION = 4096;

/**
 * Collects the sections of one PID from transport packet payloads.
 * Invariant: `buffer` is empty, or starts with a table_id; it never holds more than one section's bytes plus one payload.
 */
export class SectionCollector {
  #buffer: Uint8Array = new Uint8Array(0);
  readonly #onSection: (section: Uint8Array) => void;

  constructor(onSection: (section: Uint8Array) => void) {
    this.#onSection = onSection;
  }

  /** One packet's payload; `unitStart` is payload_unit_start_indicator. */
  push(payload: Uint8Array, unitStart: boolean): void {
    if (!unitStart) {
      if (this.#buffer.length > 0) this.#append(payload);
      return;
    }
    const pointer = payload[0];
    if (pointer === undefined || 1 + pointer > payload.length) return;
    if (this.#buffer.length > 0) this.#append(payload.subarray(1, 1 + pointer));
    this.#buffer = new Uint8Array(0);
    this.#append(payload.subarray(1 + pointer));
  }

  #append(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#buffer.length + bytes.length);
    joined.set(this.#buffer);
    joined.set(bytes, this.#buffer.length);
    let rest: Uint8Array = joined;
    while (rest.length >= 3 && rest[0] !== 0xff) {
      const size = 3 + (((rest[1]! & 0x0f) << 8) | rest[2]!);
      if (size > MAX_SECTION) {
        rest = rest.subarray(rest.length);
        break;
      }
      if (rest.length < size) break;
      this.#onSection(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
    this.#buffer = rest[0] === 0xff ? new Uint8Array(0) : rest;
  }
}

/** The body of a long section between its 8-byte header and its CRC; undefined when it is not `tableId`, is short, or is announced for later. */
function sectionBody(section: Uint8Array, tableId: number): Uint8Array | undefined {
  if (section.length < 12 || section[0] !== tableId) return undefined;
  if ((section[5]! & 1) === 0) return undefined; // current_next_indicator
  return section.subarray(8, section.length - 4);
}

/** programme number -> PID of its map; undefined when the section is no PAT. */
export function parsePat(section: Uint8Array): Map<number, number> | undefined {
  const body = sectionBody(section, 0x00);
  if (!body) return undefined;
  const programs = new Map<number, number>();
  for (let at = 0; at + 4 <= body.length; at += 4) {
    const number = (body[at]! << 8) | body[at + 1]!;
    if (number !== 0) programs.set(number, ((body[at + 2]! & 0x1f) << 8) | body[at + 3]!);
  }
  return programs;
}

function parseDescriptors(bytes: Uint8Array): Descriptor[] {
  const found: Descriptor[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const size = bytes[at + 1]!;
    if (at + 2 + size > bytes.length) break;
    found.push({ tag: bytes[at]!, data: bytes.subarray(at + 2, at + 2 + size) });
    at += 2 + size;
  }
  return found;
}

/** Undefined when the section is no PMT or its lengths contradict one another. */
export function parsePmt(section: Uint8Array): ProgramMap | undefined {
  const body = sectionBody(section, 0x02);
  if (!body || body.length < 4) return undefined;
  const infoLength = ((body[2]! & 0x0f) << 8) | body[3]!;
  if (4 + infoLength > body.length) return undefined;
  const streams: ElementaryEntry[] = [];
  let at = 4 + infoLength;
  while (at + 5 <= body.length) {
    const size = ((body[at + 3]! & 0x0f) << 8) | body[at + 4]!;
    if (at + 5 + size > body.length) break;
    streams.push({
      streamType: body[at]!,
      pid: ((body[at + 1]! & 0x1f) << 8) | body[at + 2]!,
      descriptors: parseDescriptors(body.subarray(at + 5, at + 5 + size)),
    });
    at += 5 + size;
  }
  return {
    programNumber: (section[3]! << 8) | section[4]!,
    pcrPid: ((body[0]! & 0x1f) << 8) | body[1]!,
    descriptors: parseDescriptors(body.subarray(4, 4 + infoLength)),
    streams,
  };
}
