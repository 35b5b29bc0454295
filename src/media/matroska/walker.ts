/**
 * Walks the blocks of a Segment over bytes that arrive in pieces.
 *
 * It knows no nesting: a Cluster's header is stepped over and its children follow, so that known, unknown and wrong
 * cluster sizes are all the same to it. What it can't make sense of, it leaves by searching the next Cluster.
 *
 * Invariant: `pos` is the absolute position of the next element that has not been looked at and only grows (except by
 * `rewind`, which the caller pairs with more bytes); the attached bytes are [base, base + length); every call of
 * `next` ends with a block, with a request for bytes that are not attached, or with the end.
 */
import { Buffer } from 'node:buffer';
import { BAD_SIZE, idLength, readId, readInt, readSize, readUint, UNKNOWN_SIZE, vintLength } from './ebml.ts';
import { ID, isTopLevel } from './ids.ts';

/** What `next` returns. */
export const BLOCK = 1;
export const NEED = 2;
export const END = 3;

const NEEDLE = Buffer.from([0x1f, 0x43, 0xb6, 0x75]);
/** Element header and the fixed part of a block, with room. */
export const LOOK_AHEAD = 32;
/** What a search for the next cluster asks for at a time. */
const SEARCH_STEP = 256 * 1024;
/** A cluster's head is judged by so many bytes. */
export const CLUSTER_HEAD = 64;
/** No frame is larger; the size of one that claims to be is a wrong one. */
const MAX_BLOCK = 128 * 1024 * 1024;
/** Unknown elements in a cluster are skipped up to this size; beyond it they are taken for damage. */
const MAX_UNKNOWN = 64 * 1024;
/** The longest time that fits the arithmetic: 2^47 ticks. */
const MAX_TICKS = 2 ** 47;

const EMPTY = new Uint8Array(0);

export class BlockWalker {
  /** Absolute position of the next element. */
  pos: number;
  /** No element that starts here or later is looked at. */
  limit: number;
  /** No element reaches past this: the end of the source or of its readable part. */
  end: number;
  /** Bytes from `pos` that are needed to go on, after NEED. */
  need = 0;
  /** Blocks of other tracks are stepped over; 0 for none. */
  only = 0;
  /** Position of the present cluster, -1 before the first. */
  clusterPos = -1;
  /** Position of its data. */
  clusterData = -1;
  /** Its time in Segment Ticks, -1 when not seen yet. */
  clusterTicks = -1;
  /** How often damage was met. */
  damages = 0;

  // The present block, after BLOCK.
  track = 0;
  /** Relative to the cluster, in Track Ticks. */
  relative = 0;
  key = false;
  lacing = 0;
  /** Absolute positions: of the element (inclusive), of the data behind the block's flags, of its end (exclusive). */
  blockPos = 0;
  blockEnd = 0;
  dataPos = 0;
  dataEnd = 0;
  /** BlockDuration in Track Ticks, -1 when absent. */
  durationTicks = -1;
  /** Nanoseconds. */
  discardPadding = 0;

  #buf: Uint8Array = EMPTY;
  #base = 0;
  #clusterEnd = Number.POSITIVE_INFINITY;
  #lost = false;

  constructor(pos: number, end: number, limit = end) {
    this.pos = pos;
    this.end = end;
    this.limit = Math.min(limit, end);
  }

  /** Gives it the bytes from `base` on; `base` is at most `pos`. */
  attach(buf: Uint8Array, base: number): void {
    this.#buf = buf;
    this.#base = base;
  }

  /** The source ends earlier than it said. */
  truncate(end: number): void {
    this.end = Math.min(this.end, end);
    this.limit = Math.min(this.limit, this.end);
  }

  /** Whether the present block's data is attached. */
  get whole(): boolean {
    return this.dataEnd <= this.#base + this.#buf.length;
  }

  /** The attached bytes, and the offset in them of an absolute position. */
  get buffer(): Uint8Array {
    return this.#buf;
  }
  offset(position: number): number {
    return position - this.#base;
  }

  /** Goes back to the present block's start, to see it again with all its bytes. */
  rewind(): void {
    this.pos = this.blockPos;
    this.need = this.blockEnd - this.blockPos;
  }

  /**
   * Goes into a cluster at `relative` bytes behind its header, as a cue tells; the cluster's head is attached at `pos`. False, and nothing
   * happens, when that is none.
   */
  enterCluster(relative: number): boolean {
    const at = this.pos - this.#base;
    const ticks = clusterTimestamp(this.#buf, at);
    if (ticks === undefined) return false;
    this.clusterPos = this.pos;
    this.clusterData = this.pos + 4 + vintLength(this.#buf[at + 4] ?? 0);
    this.clusterTicks = ticks;
    this.pos = this.clusterData + relative;
    return true;
  }

  next(): typeof BLOCK | typeof NEED | typeof END {
    for (;;) {
      if (this.#lost) {
        const found = this.#search();
        if (found !== BLOCK) return found;
      }
      if (this.pos >= this.limit) return END;
      const buf = this.#buf;
      const at = this.pos - this.#base;
      const available = buf.length - at;
      if (available < LOOK_AHEAD && this.pos + Math.max(available, 0) < this.end) return this.#ask(LOOK_AHEAD);
      const idBytes = idLength(buf[at] ?? 0);
      const sizeBytes = vintLength(buf[at + idBytes] ?? 0);
      if (idBytes === 0 || sizeBytes === 0 || idBytes + sizeBytes > available) {
        this.#damage();
        continue;
      }
      const id = readId(buf, at, idBytes);
      const size = readSize(buf, at + idBytes, sizeBytes);
      const start = this.pos + idBytes + sizeBytes;
      if (id === ID.SimpleBlock || id === ID.BlockGroup) {
        if (!this.#fits(start, size) || size > MAX_BLOCK) {
          this.#damage();
          continue;
        }
        const result = id === ID.SimpleBlock ? this.#simpleBlock(start, size) : this.#blockGroup(start, size);
        if (result !== 0) return result;
        continue;
      }
      if (!this.#step(id, start, size)) this.#damage();
    }
  }

  #ask(bytes: number): typeof NEED {
    this.need = bytes;
    return NEED;
  }

  #damage(): void {
    this.#lost = true;
    this.damages++;
    this.pos += 1;
  }

  /** Whether an element lies in what contains it. */
  #fits(start: number, size: number): boolean {
    if (size < 0) return false;
    const stop = start + size;
    return stop <= this.end && (stop <= this.#clusterEnd || this.pos >= this.#clusterEnd);
  }

  /** Everything but blocks. False: that is no element that can stand here. */
  #step(id: number, start: number, size: number): boolean {
    if (id === ID.Cluster) {
      if (size === BAD_SIZE) return false;
      this.clusterPos = this.pos;
      this.clusterData = start;
      this.clusterTicks = -1;
      this.#clusterEnd = size === UNKNOWN_SIZE ? Number.POSITIVE_INFINITY : start + size;
      this.pos = start;
      return true;
    }
    if (id === ID.Segment) {
      this.pos = start;
      return true;
    }
    if (id === ID.Timestamp) {
      const at = start - this.#base;
      if (size < 0 || size > 8 || at + size > this.#buf.length) return false;
      const ticks = readUint(this.#buf, at, at + size);
      if (ticks > MAX_TICKS) return false;
      this.clusterTicks = ticks;
      this.pos = start + size;
      return true;
    }
    if (!this.#fits(start, size)) return false;
    const known =
      isTopLevel(id) ||
      id === ID.Void ||
      id === ID.CRC32 ||
      id === ID.Position ||
      id === ID.PrevSize ||
      id === ID.SilentTracks ||
      id === ID.EncryptedBlock ||
      id === ID.EBML;
    if (!known && size > MAX_UNKNOWN) return false;
    this.pos = start + size;
    return true;
  }

  #simpleBlock(start: number, size: number): typeof BLOCK | 0 {
    if (this.clusterTicks < 0) {
      this.pos = start + size;
      return 0;
    }
    this.blockPos = this.pos;
    this.durationTicks = -1;
    this.discardPadding = 0;
    if (!this.#blockHeader(start, start + size, true)) {
      this.#damage();
      return 0;
    }
    this.blockEnd = this.dataEnd;
    this.pos = this.blockEnd;
    return this.only === 0 || this.track === this.only ? BLOCK : 0;
  }

  /** Track number, relative time and flags (section 10.1). The bytes are there: LOOK_AHEAD or the element's end. */
  #blockHeader(start: number, stop: number, simple: boolean): boolean {
    const buf = this.#buf;
    const at = start - this.#base;
    const length = vintLength(buf[at] ?? 0);
    if (length === 0 || length > 4 || start + length + 3 > stop || at + length + 3 > buf.length) return false;
    this.track = length === 1 ? (buf[at] ?? 0) & 0x7f : readSize(buf, at, length);
    const high = buf[at + length] ?? 0;
    this.relative = ((high << 24) >> 16) | (buf[at + length + 1] ?? 0);
    const flags = buf[at + length + 2] ?? 0;
    this.lacing = (flags >> 1) & 3;
    if (simple) this.key = (flags & 0x80) !== 0;
    this.dataPos = start + length + 3;
    this.dataEnd = stop;
    return true;
  }

  #blockGroup(start: number, size: number): typeof BLOCK | typeof NEED | 0 {
    const stop = start + size;
    if (this.clusterTicks < 0) {
      this.pos = stop;
      return 0;
    }
    if (stop > this.#base + this.#buf.length) {
      if (this.only === 0 || this.#groupTrack(start) === this.only) return this.#ask(stop - this.pos);
      this.pos = stop;
      return 0;
    }
    this.blockPos = this.pos;
    this.blockEnd = stop;
    this.pos = stop;
    if (!this.#groupChildren(start, stop)) return 0;
    return this.only === 0 || this.track === this.only ? BLOCK : 0;
  }

  /** The track of a group whose first bytes alone are there; `only` when it can't be told from them. */
  #groupTrack(start: number): number {
    const at = start - this.#base;
    const buf = this.#buf;
    const sizeBytes = vintLength(buf[at + 1] ?? 0);
    if (buf[at] !== ID.Block || sizeBytes === 0) return this.only;
    const track = at + 1 + sizeBytes;
    const length = vintLength(buf[track] ?? 0);
    return length === 0 || length > 4 || track + length > buf.length ? this.only : readSize(buf, track, length);
  }

  /** Reads a group that is wholly attached. False when it holds no usable block. */
  #groupChildren(start: number, stop: number): boolean {
    const buf = this.#buf;
    const base = this.#base;
    let found = false;
    this.key = true;
    this.durationTicks = -1;
    this.discardPadding = 0;
    for (let at = start - base; at < stop - base; ) {
      const idBytes = idLength(buf[at] ?? 0);
      const sizeBytes = vintLength(buf[at + idBytes] ?? 0);
      if (idBytes === 0 || sizeBytes === 0) break;
      const id = readId(buf, at, idBytes);
      const size = readSize(buf, at + idBytes, sizeBytes);
      const data = at + idBytes + sizeBytes;
      if (size < 0 || data + size > stop - base) break;
      if (id === ID.Block) found = this.#blockHeader(base + data, base + data + size, false) || found;
      else if (id === ID.ReferenceBlock) this.key = false;
      else if (id === ID.BlockDuration) this.durationTicks = Math.min(readUint(buf, data, data + size), MAX_TICKS);
      else if (id === ID.DiscardPadding) this.discardPadding = readInt(buf, data, data + size);
      at = data + size;
    }
    return found;
  }

  /** After damage: forward to the next cluster. BLOCK stands for "found". */
  #search(): typeof BLOCK | typeof NEED | typeof END {
    for (;;) {
      if (this.pos >= this.limit) return END;
      const from = this.pos - this.#base;
      const found = from < this.#buf.length ? findCluster(this.#buf, Math.max(0, from)) : -1;
      if (found < 0) {
        const attachedEnd = this.#base + this.#buf.length;
        if (attachedEnd >= this.end) {
          this.pos = this.limit;
          return END;
        }
        // The last three bytes may begin an ID.
        this.pos = Math.max(this.pos, attachedEnd - 3);
        return this.pos >= this.limit ? END : this.#ask(SEARCH_STEP);
      }
      this.pos = this.#base + found;
      if (this.pos >= this.limit) return END;
      if (this.#buf.length - found < CLUSTER_HEAD && this.#base + this.#buf.length < this.end) {
        return this.#ask(CLUSTER_HEAD);
      }
      if (clusterTimestamp(this.#buf, found) !== undefined) {
        this.#lost = false;
        this.clusterTicks = -1;
        this.#clusterEnd = Number.POSITIVE_INFINITY;
        return BLOCK;
      }
      this.pos += 1;
    }
  }
}

/** Offset of the next Cluster ID in `buf` at or after `from`; -1 for none. It may be payload that looks like one. */
export function findCluster(buf: Uint8Array, from: number): number {
  return Buffer.from(buf.buffer, buf.byteOffset, buf.length).indexOf(NEEDLE, from);
}

/**
 * The Timestamp, in Segment Ticks, of a cluster that starts at `at`; undefined when its head is none: the ID, a size, at most a
 * few small elements, the Timestamp, and then something that a cluster holds.
 */
export function clusterTimestamp(buf: Uint8Array, at: number): number | undefined {
  if (at < 0 || at + 8 > buf.length || readId(buf, at, 4) !== ID.Cluster) return undefined;
  const sizeBytes = vintLength(buf[at + 4] ?? 0);
  if (sizeBytes === 0 || readSize(buf, at + 4, sizeBytes) === BAD_SIZE) return undefined;
  let child = at + 4 + sizeBytes;
  for (let i = 0; i < 4; i++) {
    const id = buf[child] ?? 0;
    const length = vintLength(buf[child + 1] ?? 0);
    if (length === 0) return undefined;
    const size = readSize(buf, child + 1, length);
    const data = child + 1 + length;
    if (id === ID.Timestamp) {
      if (size < 0 || size > 8 || data + size > buf.length) return undefined;
      const ticks = readUint(buf, data, data + size);
      return ticks <= MAX_TICKS && mayFollow(buf[data + size]) ? ticks : undefined;
    }
    if (id !== ID.CRC32 && id !== ID.Void && id !== ID.Position && id !== ID.PrevSize) return undefined;
    if (size < 0 || size > CLUSTER_HEAD) return undefined;
    child = data + size;
  }
  return undefined;
}

function mayFollow(byte: number | undefined): boolean {
  switch (byte) {
    case undefined: // the end of what was read
    case ID.SimpleBlock:
    case ID.BlockGroup:
    case ID.Position:
    case ID.PrevSize:
    case ID.Void:
    case ID.CRC32:
    case 0x58: // SilentTracks
    case 0x1f: // the next cluster: this one is empty
    case 0x1c: // Cues
    case 0x12: // Tags
      return true;
    default:
      return false;
  }
}
