/** Info, SeekHead, Chapters, Tags and Attachments (RFC 9559, section 5.1). Each parser takes a cursor over the children of its element. */
import type { Attachment, Chapter } from '../types.ts';
import type { ElementCursor } from './ebml.ts';
import { ID } from './ids.ts';

const MAX_CHAPTERS = 5000;
const MAX_CHAPTER_DEPTH = 8;
const MAX_TAGS = 20_000;
const MAX_ATTACHMENTS = 2000;

export interface SegmentInfo {
  /** Nanoseconds per Segment Tick. */
  timestampScale: number;
  /** In Segment Ticks. */
  duration?: number;
  muxingApp: string;
}

export function parseInfo(at: ElementCursor): SegmentInfo {
  const info: SegmentInfo = { timestampScale: 1_000_000, muxingApp: '' };
  while (at.next()) {
    if (at.id === ID.TimestampScale) {
      const scale = at.uint();
      if (scale >= 1 && scale <= 10_000_000_000) info.timestampScale = scale;
    } else if (at.id === ID.Duration) {
      const duration = at.float();
      if (duration > 0 && Number.isFinite(duration)) info.duration = duration;
    } else if (at.id === ID.MuxingApp) info.muxingApp = at.text(256);
  }
  return info;
}

/** Where top-level elements lie, as offsets in the Segment's data. */
export function parseSeekHead(at: ElementCursor): { id: number; offset: number }[] {
  const entries: { id: number; offset: number }[] = [];
  while (at.next()) {
    if (at.id !== ID.Seek || entries.length >= 1000) continue;
    let id = 0;
    let offset = -1;
    const seek = at.enter();
    while (seek.next()) {
      if (seek.id === ID.SeekID) id = seek.uint();
      else if (seek.id === ID.SeekPosition) offset = seek.uint();
    }
    if (id !== 0 && offset >= 0) entries.push({ id, offset });
  }
  return entries;
}

/** A chapter whose end is not told ends at `undefined`: where the next one starts. */
export interface RawChapter {
  startTime: number;
  endTime?: number;
  title: string;
}

/** Chapters of the default edition (else the first visible one), nested ones in between, in order of time. Times in seconds. */
export function parseChapters(at: ElementCursor): RawChapter[] {
  let chosen: RawChapter[] | undefined;
  let chosenIsDefault = false;
  while (at.next()) {
    if (at.id !== ID.EditionEntry) continue;
    const edition = parseEdition(at.enter());
    if (edition.hidden || edition.chapters.length === 0) continue;
    if (chosen === undefined || (edition.isDefault && !chosenIsDefault)) {
      chosen = edition.chapters;
      chosenIsDefault = edition.isDefault;
    }
  }
  return (chosen ?? []).sort((a, b) => a.startTime - b.startTime);
}

function parseEdition(at: ElementCursor): { chapters: RawChapter[]; isDefault: boolean; hidden: boolean } {
  const edition = { chapters: [] as RawChapter[], isDefault: false, hidden: false };
  while (at.next()) {
    if (at.id === ID.EditionFlagDefault) edition.isDefault = at.uint() === 1;
    else if (at.id === ID.EditionFlagHidden) edition.hidden = at.uint() === 1;
    else if (at.id === ID.ChapterAtom) parseAtom(at.enter(), edition.chapters, 0);
  }
  return edition;
}

function parseAtom(at: ElementCursor, into: RawChapter[], depth: number): void {
  if (into.length >= MAX_CHAPTERS || depth > MAX_CHAPTER_DEPTH) return;
  const chapter: RawChapter = { startTime: 0, title: '' };
  const place = into.push(chapter) - 1;
  let shown = true;
  let titled = false;
  while (at.next()) {
    if (at.id === ID.ChapterTimeStart) chapter.startTime = at.uint() / 1e9;
    else if (at.id === ID.ChapterTimeEnd) chapter.endTime = at.uint() / 1e9;
    else if (at.id === ID.ChapterFlagHidden && at.uint() === 1) shown = false;
    else if (at.id === ID.ChapterFlagEnabled && at.uint() === 0) shown = false;
    else if (at.id === ID.ChapterAtom) parseAtom(at.enter(), into, depth + 1);
    else if (at.id === ID.ChapterDisplay && !titled) {
      const display = at.enter();
      while (display.next()) {
        if (display.id !== ID.ChapString) continue;
        chapter.title = display.text();
        titled = true;
      }
    }
  }
  if (!shown) into.splice(place, 1);
}

/** Ends that are not told: the next chapter's start, or `end` for the last one. Seconds. */
export function completeChapters(raw: readonly RawChapter[], end: number): Chapter[] {
  return raw.map((chapter, i) => {
    const next = raw[i + 1]?.startTime ?? Math.max(end, chapter.startTime);
    const told = chapter.endTime !== undefined && chapter.endTime > chapter.startTime;
    return {
      startTime: chapter.startTime,
      endTime: told ? (chapter.endTime ?? next) : next,
      title: chapter.title,
    };
  });
}

/** SimpleTags by the UID of the track that they describe; names in upper case, without ffmpeg's language suffix. */
export type TrackTags = Map<string, Map<string, string>>;

export function parseTags(at: ElementCursor, into: TrackTags = new Map()): TrackTags {
  let count = 0;
  while (at.next()) {
    if (at.id !== ID.Tag || count++ > MAX_TAGS) continue;
    const uids: string[] = [];
    const values = new Map<string, string>();
    const tag = at.enter();
    while (tag.next()) {
      if (tag.id === ID.Targets) {
        const targets = tag.enter();
        while (targets.next()) if (targets.id === ID.TagTrackUID && uids.length < 600) uids.push(targets.uid());
      } else if (tag.id === ID.SimpleTag) parseSimpleTag(tag.enter(), values);
    }
    for (const uid of uids) {
      if (uid === '') continue;
      const known = into.get(uid);
      if (known === undefined) into.set(uid, new Map(values));
      else for (const [name, value] of values) if (!known.has(name)) known.set(name, value);
    }
  }
  return into;
}

function parseSimpleTag(at: ElementCursor, into: Map<string, string>): void {
  let name = '';
  let value = '';
  while (at.next()) {
    if (at.id === ID.TagName) name = at.text(128).toUpperCase();
    else if (at.id === ID.TagString) value = at.text(256);
  }
  // A remux by ffmpeg turns mkvmerge's BPS into BPS-eng: stale or not, a plain name that stands beside it wins.
  const plain = name.replace(/-[A-Z]{3}$/, '');
  if (plain !== '' && into.size < 200 && (plain === name || !into.has(plain))) into.set(plain, value);
}

/** `01:23:45.678000000` in seconds; undefined when it is something else. */
export function parseTagDuration(text: string | undefined): number | undefined {
  const match = /^(\d{1,4}):(\d{1,2}):(\d{1,2}(?:\.\d+)?)\s*$/.exec(text ?? '');
  if (match === null) return undefined;
  return Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]);
}

/** A whole number above 0; undefined when it is something else. */
export function parseTagCount(text: string | undefined): number | undefined {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : 0;
  return value > 0 ? value : undefined;
}

/**
 * One AttachedFile whose header fields lie in the cursor's bytes; its data need not.
 * @param base position in the source of the cursor's byte 0.
 */
export function parseAttachment(at: ElementCursor, base: number, into: Attachment[]): void {
  let name = '';
  let mimeType = '';
  let offset = -1;
  let size = 0;
  while (at.next()) {
    if (at.id === ID.FileName && at.whole) name = at.text();
    else if (at.id === ID.FileMediaType && at.whole) mimeType = at.text(256);
    else if (at.id === ID.FileData) {
      offset = base + at.start;
      size = at.stop - at.start;
    }
  }
  if (offset >= 0 && into.length < MAX_ATTACHMENTS) into.push({ name, mimeType, offset, size });
}
