/** Packets of the micro transport protocol (BEP 29). Numbers are big endian; sequence numbers have 16 bits, times 32 (microseconds). */

export const TYPE = { data: 0, fin: 1, state: 2, reset: 3, syn: 4 } as const;

const VERSION = 1;
export const HEADER_BYTES = 20;
const SELECTIVE_ACK = 1;
/** Of a selective acknowledgement: 32 packets each 4 bytes. */
const MOST_ACK_BYTES = 128;

export interface Packet {
  readonly type: number;
  readonly connection: number;
  readonly sentAt: number;
  /** How long the last packet of the other side was on its way, by this side's clock. */
  readonly delay: number;
  /** Bytes that this side would take now. */
  readonly window: number;
  readonly seq: number;
  readonly ack: number;
  /** Bit n (lowest of each byte first) is packet `ack + 2 + n`. */
  readonly selective: Uint8Array | undefined;
  /** Where the payload begins. */
  readonly payload: number;
}

/** @returns undefined for what is no packet of version 1, whole. */
export function readPacket(bytes: Buffer): Packet | undefined {
  if (bytes.length < HEADER_BYTES || (bytes[0]! & 15) !== VERSION || bytes[0]! >> 4 > TYPE.syn) return undefined;
  let extension = bytes[1]!;
  let at = HEADER_BYTES;
  let selective: Uint8Array | undefined;
  while (extension !== 0) {
    if (at + 2 > bytes.length) return undefined;
    const next = bytes[at]!;
    const end = at + 2 + bytes[at + 1]!;
    if (end > bytes.length) return undefined;
    if (extension === SELECTIVE_ACK) selective = bytes.subarray(at + 2, Math.min(end, at + 2 + MOST_ACK_BYTES));
    extension = next;
    at = end;
  }
  return {
    type: bytes[0]! >> 4,
    connection: bytes.readUInt16BE(2),
    sentAt: bytes.readUInt32BE(4),
    delay: bytes.readUInt32BE(8),
    window: bytes.readUInt32BE(12),
    seq: bytes.readUInt16BE(16),
    ack: bytes.readUInt16BE(18),
    selective,
    payload: at,
  };
}

export type PacketHead = Omit<Packet, 'payload'>;

/** A packet with room for `payload` bytes behind its head. */
export function writePacket(head: PacketHead, payload: number): Buffer {
  const { selective } = head;
  const size = HEADER_BYTES + (selective === undefined ? 0 : 2 + selective.length);
  const bytes = Buffer.allocUnsafe(size + payload);
  bytes[0] = (head.type << 4) | VERSION;
  bytes[1] = selective === undefined ? 0 : SELECTIVE_ACK;
  bytes.writeUInt16BE(head.connection, 2);
  stamp(bytes, head);
  bytes.writeUInt16BE(head.seq, 16);
  if (selective !== undefined) {
    bytes[HEADER_BYTES] = 0;
    bytes[HEADER_BYTES + 1] = selective.length;
    bytes.set(selective, HEADER_BYTES + 2);
  }
  return bytes;
}

/** What is new each time that a packet is sent. */
export function stamp(bytes: Buffer, head: Pick<PacketHead, 'sentAt' | 'delay' | 'window' | 'ack'>): void {
  bytes.writeUInt32BE(head.sentAt, 4);
  bytes.writeUInt32BE(head.delay, 8);
  bytes.writeUInt32BE(head.window, 12);
  bytes.writeUInt16BE(head.ack, 18);
}

/** How far `to` is behind `from` in sequence numbers: -32768 to 32767. */
export function distance(from: number, to: number): number {
  return (((to - from) & 0xffff) ^ 0x8000) - 0x8000;
}

/** Microseconds of a clock of our own, 32 bits. */
export function microseconds(): number {
  return Math.floor(performance.now() * 1000) % 2 ** 32;
}

/** `to - from` on such clocks, which need not agree: 0 to 2^32 - 1. */
export function elapsed(from: number, to: number): number {
  return (to - from) >>> 0;
}
