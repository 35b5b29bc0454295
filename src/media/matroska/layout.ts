/** Opening: where everything lies in the file, and the metadata, in as few reads as the source's latency asks for. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { Attachment } from '../types.ts';
import { copyOf, ElementCursor } from './ebml.ts';
import { isFar } from './far.ts';
import { ID, isTopLevel } from './ids.ts';
import {
  parseAttachment,
  parseChapters,
  parseInfo,
  parseSeekHead,
  parseTags,
  type RawChapter,
  type SegmentInfo,
  type TrackTags,
} from './metadata.ts';
import { parseTracks, type TrackEntry } from './track-entry.ts';
import { clusterTimestamp, findCluster } from './walker.ts';
import { type ElementHeader, Window } from './window.ts';

const LOCAL_HEAD = 128 * 1024;
const REMOTE_HEAD = 512 * 1024;
/** A remote file's tail up to this size comes in one read, whatever in it is needed. */
const MAX_TAIL = 8 * 1024 * 1024;
/** Metadata elements beyond this are not read. */
const MAX_ELEMENT = 32 * 1024 * 1024;
const MAX_TOP_LEVEL = 2000;
const MAX_ATTACHED = 2000;
/** How far behind damaged metadata a first cluster is looked for. */
const MAX_SEARCH = 4 * 1024 * 1024;

export interface Layout {
  container: 'matroska' | 'webm';
  /** Absolute position of the Segment's data: what positions in the file count from. */
  base: number;
  /** Absolute end of the Segment, or of the source where that is earlier (exclusive). */
  end: number;
  /** The source ends before the Segment does. */
  truncated: boolean;
  /** Absolute position of the first cluster; `end` when there is none. */
  firstCluster: number;
  /** Where elements other than clusters follow the last cluster; `end` when none are known. */
  clustersEnd: number;
  info: SegmentInfo;
  tracks: TrackEntry[];
  /** The data of Cues. */
  cues?: Uint8Array;
  chapters: RawChapter[];
  tags: TrackTags;
  attachments: Attachment[];
}

/** An element that is still to be read. */
interface Target {
  readonly id: number;
  readonly pos: number;
}

export class LayoutReader {
  readonly window: Window;
  readonly layout: Layout;
  readonly #source: Source;
  readonly #loaded = new Set<number>();
  #targets: Target[] = [];

  constructor(source: Source, signal: AbortSignal) {
    this.#source = source;
    this.window = new Window(source, signal, isFar(source) ? REMOTE_HEAD : LOCAL_HEAD);
    this.layout = {
      container: 'matroska',
      base: 0,
      end: source.size,
      truncated: false,
      firstCluster: source.size,
      clustersEnd: source.size,
      info: { timestampScale: 1_000_000, muxingApp: '' },
      tracks: [],
      chapters: [],
      tags: new Map(),
      attachments: [],
    };
  }

  #damaged(what: string): AppError {
    return new AppError('media-damaged', `${this.#source.label} is a damaged Matroska file: ${what}.`);
  }

  /** From the file's start to its first cluster. @throws AppError `media-damaged`, `source-*`. */
  async readHead(): Promise<void> {
    const { layout } = this;
    const ebml = await this.window.header(0);
    if (ebml?.id !== ID.EBML || ebml.stop > this.#source.size) throw this.#damaged('its EBML header is not whole');
    await this.#readDocType(ebml);
    let segment = await this.window.header(ebml.stop);
    // Void or a checksum may stand before the Segment.
    for (let i = 0; i < 8 && (segment?.id === ID.Void || segment?.id === ID.CRC32); i++) {
      segment = await this.window.header(segment.stop);
    }
    if (segment?.id !== ID.Segment) throw this.#damaged('it has no Segment');
    layout.base = segment.start;
    await this.#readTopLevel(segment.start);
    if (segment.stop > layout.firstCluster && segment.stop < this.#source.size) {
      // A size that was never updated is no end.
      const wrong = this.#targets.some((target) => target.pos >= segment.stop);
      if (!wrong) layout.end = segment.stop;
    }
    layout.truncated = Number.isFinite(segment.stop) && segment.stop > this.#source.size;
    layout.clustersEnd = layout.end;
  }

  async #readDocType(ebml: ElementHeader): Promise<void> {
    const size = Math.min(ebml.stop - ebml.start, 4096);
    const at = new ElementCursor(await this.window.bytes(ebml.start, size));
    while (at.next()) if (at.id === ID.DocType && at.text(32) === 'webm') this.layout.container = 'webm';
  }

  async #readTopLevel(from: number): Promise<void> {
    let pos = from;
    for (let i = 0; i < MAX_TOP_LEVEL && pos < this.#source.size; i++) {
      const header = await this.window.header(pos);
      if (header === undefined) break;
      if (header.id === ID.Cluster) {
        this.layout.firstCluster = pos;
        return;
      }
      if (header.stop === Number.POSITIVE_INFINITY || (!isTopLevel(header.id) && !isFiller(header))) break;
      // Over HTTP, what is large and before the clusters is not worth a read of its own.
      await this.#load(header);
      pos = header.stop;
    }
    await this.#searchCluster(pos);
  }

  /** Behind damage: the next thing that looks like a cluster. */
  async #searchCluster(from: number): Promise<void> {
    const step = 256 * 1024;
    for (let pos = from; pos < Math.min(from + MAX_SEARCH, this.#source.size); pos += step) {
      const bytes = await this.window.bytes(pos, step + 64);
      for (let at = findCluster(bytes, 0); at >= 0; at = findCluster(bytes, at + 1)) {
        if (clusterTimestamp(bytes, at) === undefined) continue;
        this.layout.firstCluster = pos + at;
        return;
      }
    }
  }

  /** Reads one top-level element, once; later ones of its kind and those that are too large are passed over. */
  async #load(header: ElementHeader): Promise<void> {
    const { layout } = this;
    const { id } = header;
    if (!isTopLevel(id)) return;
    if (id === ID.Attachments) {
      if (!this.#loaded.has(id)) await this.#loadAttachments(header);
      this.#loaded.add(id);
      return;
    }
    const size = header.stop - header.start;
    if (header.stop > this.#source.size || size > MAX_ELEMENT) return;
    if (this.#loaded.has(id) && id !== ID.SeekHead && id !== ID.Tags) return;
    this.#loaded.add(id);
    const at = new ElementCursor(await this.window.bytes(header.start, size));
    if (id === ID.SeekHead) this.#addTargets(at);
    else if (id === ID.Info) layout.info = parseInfo(at);
    else if (id === ID.Tracks) layout.tracks = parseTracks(at);
    else if (id === ID.Cues) layout.cues = copyOf(at.buf);
    else if (id === ID.Chapters) layout.chapters = parseChapters(at);
    else if (id === ID.Tags) parseTags(at, layout.tags);
  }

  #addTargets(at: ElementCursor): void {
    for (const { id, offset } of parseSeekHead(at)) {
      const pos = this.layout.base + offset;
      if (id === ID.Cluster || !isTopLevel(id) || pos >= this.#source.size || this.#targets.length >= 200) continue;
      if (!this.#targets.some((target) => target.pos === pos)) this.#targets.push({ id, pos });
    }
  }

  /** Names and places of the attached files; their data is stepped over. */
  async #loadAttachments(header: ElementHeader): Promise<void> {
    const stop = Math.min(header.stop, this.#source.size);
    let pos = header.start;
    for (let i = 0; i < MAX_ATTACHED && pos < stop; i++) {
      // A remote file's attachments are told as far as they have been read anyway.
      if (this.#source.latency === 'remote' && !this.window.holds(pos, 512)) return;
      const child = await this.window.header(pos);
      if (child === undefined || child.stop > stop) return;
      if (child.id === ID.AttachedFile) {
        const bytes = await this.window.bytes(child.start, Math.min(child.stop - child.start, 4096));
        parseAttachment(new ElementCursor(bytes, 0, child.stop - child.start), child.start, this.layout.attachments);
      }
      pos = child.stop;
    }
  }

  /** Where bytes are scarce, those of `readTargets` are asked for while others are still on their way. */
  beginTargets(): void {
    if (!this.#source.isScarce) return;
    const lowest = this.#lowestOfTail(this.#targets.filter((target) => !this.#isLoaded(target)));
    if (lowest !== undefined) this.window.begin(lowest);
  }

  /** What SeekHead tells of and the head did not hold: for a remote source mostly one read. */
  async readTargets(): Promise<void> {
    const done = new Set<Target>();
    for (let round = 0; round < 3; round++) {
      const open = this.#targets.filter((target) => !done.has(target) && !this.#isLoaded(target));
      if (open.length === 0) return;
      open.sort((a, b) => a.pos - b.pos);
      await this.#readTail(open);
      for (const target of open) {
        done.add(target);
        await this.#loadTarget(target);
      }
    }
  }

  #isLoaded(target: Target): boolean {
    return this.#loaded.has(target.id) && target.id !== ID.SeekHead && target.id !== ID.Tags
      ? true
      : target.pos < this.layout.firstCluster && this.#loaded.has(target.id);
  }

  async #readTail(targets: readonly Target[]): Promise<void> {
    if (this.#source.latency !== 'remote') return;
    const lowest = this.#lowestOfTail(targets);
    if (lowest !== undefined) await this.window.bytes(lowest, this.#source.size - lowest);
  }

  #lowestOfTail(targets: readonly Target[]): number | undefined {
    const inTail = targets.map(({ pos }) => pos).filter((pos) => this.#source.size - pos <= MAX_TAIL);
    return inTail.length > 0 ? Math.min(...inTail) : undefined;
  }

  async #loadTarget(target: Target): Promise<void> {
    if (
      this.#source.latency === 'remote' &&
      target.id !== ID.Cues &&
      target.id !== ID.Tracks &&
      target.id !== ID.Info
    ) {
      // Niceties are not worth a round trip.
      if (!this.window.holds(target.pos, 64)) return;
    }
    const header = await this.window.header(target.pos);
    if (header === undefined || header.id !== target.id || header.stop === Number.POSITIVE_INFINITY) return;
    const { layout } = this;
    if (target.pos > layout.firstCluster && target.pos < layout.clustersEnd) layout.clustersEnd = target.pos;
    if (target.id !== ID.Cues && target.id !== ID.Tracks && this.#source.latency === 'remote') {
      if (header.id !== ID.Attachments && !this.window.holds(header.start, header.stop - header.start)) return;
    }
    await this.#load(header);
  }
}

function isFiller(header: ElementHeader): boolean {
  return header.id === ID.Void || header.id === ID.CRC32 || header.stop - header.start <= 1024 * 1024;
}
