/** Transport packets (ISO/IEC 13818-1 section 2.4.3) in a source: finding them, and finding them again after damage. */
import { AppError } from '../../../errors.ts';
import type { Source } from '../../../source/source.ts';

const SYNC_BYTE = 0x47;
export const TS_PACKET_SIZE = 188;

/** Packets that must follow one another before a file is called a transport stream. */
const DETECT_PACKETS = 8;
/** Packets that must agree before lost synchronisation counts as found again. */
const RESYNC_PACKETS = 4;
/** Garbage that may come before the first packet, bytes. */
const MAX_LEADING_GARBAGE = 8192;

/** Distance of the sync bytes: 188, 192 with a time code before each packet (M2TS), 204 with parity after it. */
type Stride = 188 | 192 | 204;

export interface Framing {
  readonly stride: Stride;
  /** Position of the first sync byte in the source. */
  readonly first: number;
}

function agrees(bytes: Uint8Array, at: number, stride: number, count: number): boolean {
  for (let i = 0; i < count; i++) {
    if (bytes[at + i * stride] !== SYNC_BYTE) return false;
  }
  return true;
}

/** Undefined when the head of a source is no transport stream. At least three packets are needed. */
export function detectFraming(head: Uint8Array): Framing | undefined {
  const limit = Math.min(MAX_LEADING_GARBAGE, head.length);
  for (let at = 0; at < limit; at++) {
    if (head[at] !== SYNC_BYTE) continue;
    for (const stride of [188, 192, 204] as const) {
      const available = Math.floor((head.length - at - TS_PACKET_SIZE) / stride) + 1;
      // A file that begins with garbage must show more than one that begins with a packet.
      if (available < (at <= 4 ? 3 : DETECT_PACKETS)) continue;
      if (agrees(head, at, stride, Math.min(available, DETECT_PACKETS))) return { stride, first: at };
    }
  }
  return undefined;
}

/**
 * Offset of the first sync byte at or after `from` that others confirm; -1 when there is none in these bytes.
 * @param atEnd no bytes follow, so fewer packets may confirm.
 */
function findSync(bytes: Uint8Array, from: number, stride: Stride, atEnd: boolean): number {
  for (let at = bytes.indexOf(SYNC_BYTE, from); at >= 0; at = bytes.indexOf(SYNC_BYTE, at + 1)) {
    const available = Math.floor((bytes.length - at - TS_PACKET_SIZE) / stride) + 1;
    if (available < 1 || (available < RESYNC_PACKETS && !atEnd)) return -1;
    if (agrees(bytes, at, stride, Math.min(available, RESYNC_PACKETS))) return at;
  }
  return -1;
}

/** Called for each packet: `at` is the offset of its sync byte in `bytes`, `position` the same in the source. True ends the walk. */
type PacketVisitor = (bytes: Uint8Array, at: number, position: number) => boolean;

export interface WalkOptions {
  readonly source: Source;
  readonly framing: Framing;
  /** Position, inclusive: of a sync byte, or anywhere (the walk looks for the next packet). */
  readonly from: number;
  /** Position, exclusive: packets whose sync byte lies at or after it are not visited. */
  readonly to: number;
  /** Bytes per read. */
  readonly chunk: number;
  readonly signal: AbortSignal;
  readonly visit: PacketVisitor;
  /** Called between reads; true ends the walk. */
  readonly pause?: (position: number) => boolean;
}

/** One chunk's packets. Returns the offset up to which bytes are used, or -1 when the visitor ended the walk. */
function visitChunk(bytes: Uint8Array, position: number, atEnd: boolean, options: WalkOptions): number {
  const { visit, to } = options;
  const { stride } = options.framing;
  // A chunk reaches one packet past `to`, so that the last packet is whole.
  const end = Math.min(bytes.length - TS_PACKET_SIZE, to - position - 1);
  let at = 0;
  while (at <= end) {
    if (bytes[at] !== SYNC_BYTE || (at + stride < bytes.length && bytes[at + stride] !== SYNC_BYTE)) {
      const found = findSync(bytes, at, stride, atEnd);
      if (found < 0) return atEnd ? bytes.length : Math.max(at + 1, bytes.length - stride * RESYNC_PACKETS);
      at = found;
      if (at > end) return at;
    }
    if (visit(bytes, at, position + at)) return -1;
    at += stride;
  }
  return Math.min(at, bytes.length);
}

/**
 * Visits the transport packets of a byte range in order, resynchronising over damage. Lets the event loop turn between reads.
 * @throws AppError `source-*`; the signal's reason.
 */
export async function walkPackets(options: WalkOptions): Promise<void> {
  const { source, framing, signal } = options;
  const limit = Math.min(options.to, source.size);
  let position = Math.max(0, options.from);
  while (position < limit) {
    signal.throwIfAborted();
    const length = Math.min(options.chunk, limit - position + framing.stride * RESYNC_PACKETS);
    const bytes = await source.read(position, length, signal);
    if (bytes.length === 0) {
      throw new AppError('source-truncated', `${source.label} ends before byte ${position}, short of its size.`);
    }
    const used = visitChunk(bytes, position, position + bytes.length >= source.size, options);
    if (used < 0 || bytes.length < TS_PACKET_SIZE) return;
    position += Math.max(used, 1);
    if (options.pause?.(position)) return;
    if (position < limit) await turn();
  }
}

/** A turn of the event loop: sources that answer from memory would otherwise hold it for the whole walk. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
