/** Packetised elementary streams (ISO/IEC 13818-1 section 2.4.3.6) put together from transport packets. */

/** Ticks per second of PTS and DTS. */
export const TICKS = 90_000;
const WRAP = 2 ** 33;
/** A PES packet that grows past this is cut off: no picture is that large. */
const MAX_PES = 32 * 1024 * 1024;
const NULL_PID = 0x1fff;

export interface Pes {
  readonly pid: number;
  /** Position in the source of the transport packet it starts in. */
  readonly position: number;
  /** 33-bit ticks as written. */
  readonly pts?: number;
  /** 33-bit ticks; equal to `pts` where none is written. */
  readonly dts?: number;
  /** random_access_indicator of the first transport packet. */
  readonly randomAccess: boolean;
  /** Its payload, up to the assembler's limit. */
  readonly data: Uint8Array;
  /** Transport packets are missing inside. */
  readonly damaged: boolean;
}

/**
 * Lays 33-bit timestamps on a continuous line around the file's first one: right for 13 hours before and after it.
 * @returns ticks, possibly beyond 2^33 or below 0.
 */
export function unwrap(raw: number, reference: number): number {
  let difference = (raw - reference) % WRAP;
  if (difference < 0) difference += WRAP;
  if (difference >= WRAP / 2) difference -= WRAP;
  return reference + difference;
}

interface Pending {
  position: number;
  chunks: Uint8Array[];
  size: number;
  /** Bytes in all when PES_packet_length tells, else 0. */
  expected: number;
  randomAccess: boolean;
  damaged: boolean;
}

interface PidState {
  pending?: Pending;
  counter: number;
}

function readTimestamp(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! >> 1) & 7) * 2 ** 30 +
    ((bytes[at + 1]! << 22) | ((bytes[at + 2]! >> 1) << 15) | (bytes[at + 3]! << 7) | (bytes[at + 4]! >> 1))
  );
}

/** Stream ids whose packets have no header extension and carry no media (table 2-21). */
const PLAIN_IDS = new Set([0xbc, 0xbe, 0xbf, 0xf0, 0xf1, 0xf2, 0xf8, 0xff]);

interface PesHeader {
  readonly pts?: number;
  readonly dts?: number;
  readonly payload: number;
}

function parseHeader(bytes: Uint8Array): PesHeader | undefined {
  if (bytes.length < 9 || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 1) return undefined;
  if (PLAIN_IDS.has(bytes[3]!) || (bytes[6]! & 0xc0) !== 0x80) return undefined;
  const headerLength = bytes[8]!;
  const payload = 9 + headerLength;
  if (payload > bytes.length) return undefined;
  const flags = bytes[7]! >> 6;
  if ((flags & 2) === 0 || headerLength < 5) return { payload };
  const pts = readTimestamp(bytes, 9);
  const dts = flags === 3 && headerLength >= 10 ? readTimestamp(bytes, 14) : pts;
  return { pts, dts, payload };
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function isRepeatedStart(state: PidState, bytes: Uint8Array, start: number, end: number): boolean {
  const chunks = state.pending?.chunks;
  const first = chunks?.[0];
  if (chunks?.length !== 1 || first?.length !== end - start) return false;
  return first.every((byte, i) => byte === bytes[start + i]);
}

/**
 * Assembles the PES packets of some PIDs.
 * Invariant: a PID has at most one pending packet, whose first chunk begins with its header; it leaves when its length is
 * reached, when the next one starts, or by `flush`.
 */
export class PesAssembler {
  readonly #states = new Map<number, PidState>();
  readonly #wanted = new Uint8Array(8192);
  readonly #emit: (pes: Pes) => void;
  readonly #limit: number;

  /** @param limit bytes of each packet that are kept, header included; the rest is read over. */
  constructor(pids: Iterable<number>, emit: (pes: Pes) => void, limit = MAX_PES) {
    for (const pid of pids) {
      if (pid === NULL_PID) continue;
      this.#wanted[pid & 0x1fff] = 1;
      this.#states.set(pid, { counter: -1 });
    }
    this.#emit = emit;
    this.#limit = limit;
  }

  /** One transport packet of 188 bytes whose sync byte is at `at`. */
  packet(bytes: Uint8Array, at: number, position: number): void {
    const pid = ((bytes[at + 1]! & 0x1f) << 8) | bytes[at + 2]!;
    if (this.#wanted[pid] === 0) return;
    const state = this.#states.get(pid)!;
    const control = bytes[at + 3]!;
    // transport_error_indicator, or scrambled: nothing in it can be used.
    if (bytes[at + 1]! & 0x80 || control & 0xc0 || !(control & 0x10)) return;
    let start = at + 4;
    let randomAccess = false;
    let announced = false;
    if (control & 0x20) {
      const length = bytes[start]!;
      if (length > 183) return;
      if (length > 0) {
        randomAccess = (bytes[start + 1]! & 0x40) !== 0;
        announced = (bytes[start + 1]! & 0x80) !== 0;
      }
      start += 1 + length;
    }
    const counter = control & 0x0f;
    const unitStart = (bytes[at + 1]! & 0x40) !== 0;
    // A duplicate (section 2.4.3.3); sixteen lost packets look the same, so a start must look the same too.
    if (state.counter === counter && !announced && (!unitStart || isRepeatedStart(state, bytes, start, at + 188)))
      return;
    const broken = state.counter >= 0 && counter !== ((state.counter + 1) & 0x0f) && !announced;
    state.counter = counter;
    if (broken && state.pending) state.pending.damaged = true;
    const payload = bytes.subarray(start, at + 188);
    if (unitStart) this.#begin(pid, state, payload, position, randomAccess);
    else if (state.pending) this.#extend(pid, state, state.pending, payload);
  }

  /** Ends every pending packet: for the end of the source, or of a range that ends where a packet starts. */
  flush(): void {
    for (const [pid, state] of this.#states) this.#finish(pid, state);
  }

  #begin(pid: number, state: PidState, payload: Uint8Array, position: number, randomAccess: boolean): void {
    this.#finish(pid, state);
    const length = payload.length >= 6 ? (payload[4]! << 8) | payload[5]! : 0;
    const pending: Pending = {
      position,
      chunks: [],
      size: 0,
      expected: length === 0 ? 0 : length + 6,
      randomAccess,
      damaged: false,
    };
    state.pending = pending;
    this.#extend(pid, state, pending, payload);
  }

  #extend(pid: number, state: PidState, pending: Pending, payload: Uint8Array): void {
    if (pending.size < this.#limit && payload.length > 0) {
      pending.chunks.push(payload);
      pending.size += payload.length;
    }
    if (pending.expected > 0 && pending.size >= pending.expected) this.#finish(pid, state);
  }

  #finish(pid: number, state: PidState): void {
    const pending = state.pending;
    if (!pending || pending.chunks.length === 0) return;
    delete state.pending;
    const bytes = join(pending.chunks, pending.size);
    const header = parseHeader(bytes);
    if (!header) return;
    const end = pending.expected > 0 ? Math.min(pending.expected, bytes.length) : bytes.length;
    this.#emit({
      pid,
      position: pending.position,
      ...(header.pts === undefined ? {} : { pts: header.pts }),
      ...(header.dts === undefined ? {} : { dts: header.dts }),
      randomAccess: pending.randomAccess,
      data: bytes.subarray(header.payload, Math.max(end, header.payload)),
      damaged: pending.damaged,
    });
  }
}
