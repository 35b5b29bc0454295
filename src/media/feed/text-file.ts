/** A Matroska file of one text subtitle track, for FFmpeg's `subtitles` filter: times to 10 microseconds, where a script's own would be hundredths of a second. */
import { concatBytes } from '../codecs/bits.ts';
import { ID } from '../matroska/ids.ts';
import { TYPE_SUBTITLE } from '../matroska/track-entry.ts';
import { cuesOf } from '../subtitles/webvtt.ts';
import type { Packet, Track } from '../types.ts';
import { bigEndian, binary, master, text, uint } from './ebml-writer.ts';

/** Nanoseconds, and ticks. */
const TIMESTAMP_SCALE = 10_000;
const TICKS_PER_SECOND = 1e9 / TIMESTAMP_SCALE;
const TRACK = 1;
/** Bounds for hostile tracks. Bytes. */
const MAX_HEADER = 1024 * 1024;
const MAX_EVENT = 256 * 1024;
const MAX_TOTAL = 16 * 1024 * 1024;
/** An event that does not say how long it is shown, seconds. */
const USUAL_SECONDS = 5;
/** The sections of a script that say how events look: all else (fonts in the text, notes of editors) stays out. */
const SECTIONS: ReadonlySet<string> = new Set(['[script info]', '[v4+ styles]', '[v4 styles]']);

interface Event {
  /** Seconds on the presentation's clock. */
  readonly start: number;
  readonly end: number;
  readonly data: Uint8Array;
}

/**
 * @param packets of the track, whatever their order; one that comes twice is written once.
 * @param startTime of the presentation, on the source's clock.
 */
export function textSubtitleFile(track: Track, packets: readonly Packet[], startTime: number): Uint8Array {
  const isScript = track.codec === 'ass';
  const events = isScript ? scriptEvents(packets, startTime) : plainEvents(track, packets, startTime);
  return concatBytes([
    master(ID.EBML, text(ID.DocType, 'matroska')),
    master(
      ID.Segment,
      master(ID.Info, uint(ID.TimestampScale, TIMESTAMP_SCALE), text(ID.MuxingApp, 'raffi')),
      master(
        ID.Tracks,
        master(
          ID.TrackEntry,
          uint(ID.TrackNumber, TRACK),
          uint(ID.TrackUID, TRACK),
          uint(ID.TrackType, TYPE_SUBTITLE),
          text(ID.CodecID, isScript ? 'S_TEXT/ASS' : 'S_TEXT/UTF8'),
          ...(isScript ? [binary(ID.CodecPrivate, scriptHeader(track.codecPrivate))] : []),
        ),
      ),
      ...events.map(cluster),
    ),
  ]);
}

/** Each event in a cluster of its own: their times may lie far apart. */
function cluster({ start, end, data }: Event): Uint8Array {
  const from = Math.max(0, Math.round(start * TICKS_PER_SECOND));
  const duration = Math.max(1, Math.round(end * TICKS_PER_SECOND) - from);
  const block = concatBytes([Uint8Array.of(0x80 | TRACK), bigEndian(0, 2), Uint8Array.of(0), data]);
  return master(
    ID.Cluster,
    uint(ID.Timestamp, from),
    master(ID.BlockGroup, binary(ID.Block, block), uint(ID.BlockDuration, duration)),
  );
}

/** SubRip; other formats of plain text are turned into it. */
function plainEvents(track: Track, packets: readonly Packet[], startTime: number): Event[] {
  return cuesOf(track.codec, track.codecPrivate, packets)
    .map((cue) => ({
      start: cue.start - startTime,
      end: cue.end - startTime,
      data: Buffer.from(`${position(cue.settings)}${asSubRip(cue.text)}`),
    }))
    .filter(({ end }) => end > 0);
}

/** WebVTT's cue text, in which only these are escaped. */
function asSubRip(cueText: string): string {
  return cueText
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&lrm;', '\u200e')
    .replaceAll('&rlm;', '\u200f')
    .replaceAll('&nbsp;', '\u00a0')
    .replaceAll('&amp;', '&');
}

/** What our own cue settings say, as an override of the alignment. */
function position(settings: string): string {
  const row = settings.includes('line:0') ? 6 : settings.includes('line:50%') ? 3 : 0;
  const column = settings.includes('align:left') ? 1 : settings.includes('align:right') ? 3 : 2;
  return row + column === 2 ? '' : `{\\an${row + column}}`;
}

/** Fields before the text in a block, ReadOrder among them (Matroska's ASS mapping). */
const FIELDS = 8;

/** Numbered anew in the order of the script: libass drops an event whose number it has seen. */
function scriptEvents(packets: readonly Packet[], startTime: number): Event[] {
  const seen = new Set<string>();
  const events: (Event & { readonly order: number; readonly rest: string })[] = [];
  let room = MAX_TOTAL;
  for (const { data, pts, duration } of packets) {
    room -= data.length;
    if (data.length > MAX_EVENT || room < 0) continue;
    const line = Buffer.from(data).toString('utf8').replace(/\0+$/, '');
    const comma = line.indexOf(',');
    const rest = line.slice(comma + 1).replace(/\r\n?|\n/g, '\\N');
    const key = `${pts} ${line}`;
    if (comma < 1 || rest.split(',', FIELDS).length < FIELDS || seen.has(key)) continue;
    seen.add(key);
    const start = pts - startTime;
    const end = start + (duration > 0 ? duration : USUAL_SECONDS);
    const order = Number.parseInt(line.slice(0, comma), 10);
    if (end > 0) events.push({ start, end, data, rest, order: Number.isFinite(order) ? order : 0 });
  }
  return events
    .sort((a, b) => a.order - b.order || a.start - b.start)
    .map(({ start, end, rest }, i) => ({ start, end, data: Buffer.from(`${i},${rest}`) }))
    .sort((a, b) => a.start - b.start);
}

/** The sections that libass needs of the script's header. */
function scriptHeader(codecPrivate: Uint8Array | undefined): Uint8Array {
  const kept: string[] = [];
  let isWanted = false;
  for (const line of Buffer.from(codecPrivate?.subarray(0, MAX_HEADER) ?? [])
    .toString('utf8')
    .split(/\r\n?|\n/)) {
    const start = line.replace(/^\ufeff/, '').trim();
    if (start.startsWith('[')) isWanted = SECTIONS.has(start.toLowerCase());
    if (isWanted) kept.push(start);
  }
  kept.push('[Events]', 'Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text', '');
  return Buffer.from(kept.join('\r\n'));
}
