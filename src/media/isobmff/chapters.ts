/** Chapters: Nero's `chpl` and QuickTime's chapter tracks (QuickTime File Format, "Chapter Lists"). */
import type { Chapter } from '../types.ts';
import { BoxError, bytesOf, child, utf8Text } from './boxes.ts';
import type { Window } from './file-layout.ts';
import { PresentedTrack } from './presented-track.ts';
import { extent } from './sample-reads.ts';
import { SampleTable } from './sample-table.ts';
import type { MovieBox } from './track-box.ts';

const MAX_CHAPTERS = 1000;
/** Titles are read in one piece up to this size; locally, one by one where they lie further apart. */
const MAX_TITLE_SPAN = 1024 * 1024;
const MAX_TITLE = 2048;

interface Mark {
  readonly time: number;
  readonly title: string;
}

/** None where they are damaged: nobody misses a film for its chapters. */
export async function readChapters(
  window: Window,
  movie: MovieBox,
  { startTime, duration }: { startTime: number; duration: number },
): Promise<Chapter[]> {
  let marks: Mark[] = [];
  try {
    marks = neroChapters(child(movie.udta, 'chpl'));
    if (marks.length === 0) marks = await trackChapters(window, movie);
  } catch (error) {
    if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
  }
  const end = startTime + duration;
  const kept = marks.filter(({ time }) => Number.isFinite(time) && time < end).sort((a, b) => a.time - b.time);
  return kept.map(({ time, title }, i) => ({ startTime: time, endTime: kept[i + 1]?.time ?? end, title }));
}

/** `chpl`: version and flags, (version 1: 4 reserved bytes), a count of 8 bits, then start (64 bits, 100 ns) and a counted title each. */
function neroChapters(chpl: DataView | undefined): Mark[] {
  if (chpl === undefined || chpl.byteLength < 9) return [];
  const marks: Mark[] = [];
  let at = chpl.getUint8(0) === 0 ? 4 : 8;
  const count = chpl.getUint8(at++);
  for (let i = 0; i < count && at + 9 <= chpl.byteLength; i++) {
    const time = (chpl.getUint32(at) * 2 ** 32 + chpl.getUint32(at + 4)) / 1e7;
    const size = chpl.getUint8(at + 8);
    if (at + 9 + size > chpl.byteLength) break;
    marks.push({ time, title: utf8Text(bytesOf(chpl, at + 9, at + 9 + size)) });
    at += 9 + size;
  }
  return marks;
}

async function trackChapters(window: Window, movie: MovieBox): Promise<Mark[]> {
  const box = movie.tracks.find(({ id, kind }) => kind === 'subtitle' && movie.chapterTracks.has(id));
  if (box === undefined) return [];
  const { source } = window;
  const table = new SampleTable(box.stbl, { kind: 'subtitle', entries: box.entries, fileSize: source.size });
  const presented = new PresentedTrack(table, box.edits, box.timescale, 'subtitle');
  const list = presented.collect([[0, Math.min(presented.count, MAX_CHAPTERS)]]);
  const { from, to } = extent(list);
  if (to - from <= MAX_TITLE_SPAN) await window.bytes(from, to - from);
  const readable = to - from <= MAX_TITLE_SPAN || source.latency === 'local';
  const marks: Mark[] = [];
  for (let i = 0; i < list.count; i++) {
    const size = Math.min(list.sizes[i]!, MAX_TITLE);
    const title = readable ? textOf(await window.bytes(list.offsets[i]!, size)) : '';
    marks.push({ time: list.pts[i]!, title: title || `Chapter ${i + 1}` });
  }
  return marks;
}

/** A text sample: its length in 16 bits, then UTF-8, or UTF-16 with a byte order mark. */
function textOf(sample: Uint8Array): string {
  if (sample.length < 2) return '';
  const size = (sample[0]! << 8) | sample[1]!;
  const text = sample.subarray(2, 2 + size);
  if (text[0] === 0xfe && text[1] === 0xff) return new TextDecoder('utf-16be').decode(text);
  if (text[0] === 0xff && text[1] === 0xfe) return new TextDecoder('utf-16le').decode(text);
  return utf8Text(text);
}
