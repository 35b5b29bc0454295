/** From subtitle packets to WebVTT segments (RFC 8216bis, 3.1.4; W3C WebVTT). Pure; hostile bytes give odd text or none, never an error. */
import type { Packet } from '../types.ts';
import { assContent, assStyles } from './ass.ts';
import { type Cue, type CueContent, isTextCodec } from './cue.ts';
import { movTextContent } from './mov-text.ts';
import { subripContent } from './subrip.ts';
import { webvttContent } from './webvtt-packet.ts';

/** How long a cue of unknown duration is shown, unless the next one comes earlier. Seconds. */
const DEFAULT_SECONDS = 5;
/** Longer than any subtitle: what claims more is damage. Seconds. */
const MAX_SECONDS = 24 * 3600;
/** Cues of one packet list; a signs track of a large fansub has some hundreds per segment. */
const MAX_CUES = 20_000;
/** Bytes of a packet that are looked at: most of a large one is drawing. */
const MAX_PACKET = 256 * 1024;
/** Bytes of one list that are looked at: some tenths of a second's work. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Cue times are on the clock of the media's `tfdt`, which starts with the presentation, also in a playlist that begins later (a slice): players subtract the first
 * media time from both.
 */
const TIMESTAMP_MAP = 'X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000';

/** Times of what a segment shows, seconds on the source's clock, from inclusive, to exclusive; both may be infinite. */
export interface SegmentSpan {
  /** `MediaInfo.startTime`: time 0 of the cues written. */
  readonly startTime: number;
  readonly from: number;
  readonly to: number;
}

/**
 * The cues in the packets of one track, by start time; packets that show nothing give none. A codec that is not text gives none at all.
 * @param codecPrivate the track's: ASS's styles.
 */
export function cuesOf(codec: string, codecPrivate: Uint8Array | undefined, packets: readonly Packet[]): Cue[] {
  const contentsOf = parserOf(codec, codecPrivate);
  if (contentsOf === undefined) return [];
  const cues: Cue[] = [];
  const seen = new Set<string>();
  let room = MAX_BYTES;
  for (const [i, packet] of packets.entries()) {
    const { pts } = packet;
    if (!Number.isFinite(pts)) continue;
    const end = pts + lengthOf(packet, packets, i);
    const data = packet.data.subarray(0, MAX_PACKET);
    room -= data.length;
    if (cues.length >= MAX_CUES || room < 0) break;
    for (const content of contentsOf(data)) {
      if (content.text === '') continue;
      // Layers of one event (outline, shadow, fill) differ in what WebVTT cannot show.
      const key = `${pts} ${end} ${content.settings} ${content.text}`;
      if (seen.has(key)) continue;
      seen.add(key);
      cues.push({ start: pts, end, ...content });
    }
  }
  return codec === 'webvtt' ? joined(sorted(cues)) : sorted(cues);
}

function parserOf(
  codec: string,
  codecPrivate: Uint8Array | undefined,
): ((data: Uint8Array) => readonly CueContent[]) | undefined {
  if (!isTextCodec(codec)) return undefined;
  switch (codec) {
    case 'subrip':
      return subripContent;
    case 'mov_text':
      return movTextContent;
    case 'webvtt':
      return webvttContent;
    case 'ass': {
      const styles = assStyles(codecPrivate);
      return (data) => assContent(data, styles);
    }
  }
}

function lengthOf({ pts, duration }: Packet, packets: readonly Packet[], i: number): number {
  if (duration > 0) return Math.min(duration, MAX_SECONDS);
  const next = packets[i + 1]?.pts ?? Number.POSITIVE_INFINITY;
  return next > pts ? Math.min(next - pts, DEFAULT_SECONDS) : DEFAULT_SECONDS;
}

function sorted(cues: Cue[]): Cue[] {
  return cues.sort((a, b) => a.start - b.start);
}

/** A cue of `wvtt` comes in a sample for every change among those shown with it: its pieces become one again. */
function joined(cues: readonly Cue[]): Cue[] {
  const whole: Cue[] = [];
  const last = new Map<string, number>();
  for (const cue of cues) {
    const key = `${cue.settings} ${cue.text}`;
    const at = last.get(key);
    const before = at === undefined ? undefined : whole[at];
    if (at !== undefined && before !== undefined && Math.abs(before.end - cue.start) < 0.0005) {
      whole[at] = { ...before, end: cue.end };
    } else {
      last.set(key, whole.push(cue) - 1);
    }
  }
  return whole;
}

/**
 * A WebVTT segment: those of the cues that are shown at any time in the span, whole, with times from the presentation's start. A cue of several segments is
 * the same in each, with the same identifier. Without cues it is a header, which is a valid segment.
 */
export function webvttSegment(cues: readonly Cue[], { startTime, from, to }: SegmentSpan): string {
  const blocks = [`WEBVTT\n${TIMESTAMP_MAP}\n`];
  for (const cue of cues) {
    if (!(cue.start < to && cue.end > from)) continue;
    const start = Math.max(0, Math.round((cue.start - startTime) * 1000));
    const end = Math.round((cue.end - startTime) * 1000);
    // What is over before the presentation starts.
    if (end <= 0) continue;
    const times = `${timestamp(start)} --> ${timestamp(Math.max(end, start + 1))}`;
    const settings = cue.settings === '' ? '' : ` ${cue.settings}`;
    blocks.push(`${start}-${end}-${hashOf(`${cue.settings}\n${cue.text}`)}\n${times}${settings}\n${cue.text}\n`);
  }
  return blocks.join('\n');
}

/** @param ms milliseconds */
function timestamp(ms: number): string {
  const part = (value: number, digits = 2): string => String(Math.floor(value)).padStart(digits, '0');
  return `${part(ms / 3_600_000)}:${part((ms / 60_000) % 60)}:${part((ms / 1000) % 60)}.${part(ms % 1000, 3)}`;
}

/** FNV-1a, 32 bits: tells cues of one time apart. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
