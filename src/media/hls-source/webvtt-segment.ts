/** WebVTT segments of playlists: RFC 8216 section 3.5; W3C WebVTT section 6. Pure; damaged text gives fewer cues, never an error. */
import type { Packet } from '../types.ts';

/** Of one segment. */
const MAX_CUES = 20_000;
const ARROW = '-->';
const TIME = /^(?:(\d{1,6}):)?([0-5]\d):([0-5]\d)[.,](\d{3})$/;

export interface WebvttSegment {
  /** Seconds to be added to the cues' times for those of the media's clock (MPEG-2 of 90 kHz), where X-TIMESTAMP-MAP tells. */
  readonly mediaOffset?: number;
  /** In the order of the text, with times as they stand there, seconds. The data are the lines of a WebM block: identifier, settings, text. */
  readonly packets: readonly Packet[];
}

/** Undefined when the text is no WebVTT. */
export function parseWebvttSegment(text: string): WebvttSegment | undefined {
  const lines = text
    .replace(/^\ufeff/, '')
    .replaceAll('\0', '\ufffd')
    .split(/\r\n|\n|\r/);
  if (!/^WEBVTT(?:[ \t]|$)/.test(lines[0] ?? '')) return undefined;
  const mapped = lines
    .slice(0, Math.max(lines.indexOf(''), 0) || lines.length)
    .find((line) => line.startsWith('X-TIMESTAMP-MAP='));
  const mediaOffset = mapped === undefined ? undefined : offsetOf(mapped);
  return { ...(mediaOffset !== undefined && { mediaOffset }), packets: cuesOf(lines) };
}

/** `X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000`, in either order. */
function offsetOf(line: string): number | undefined {
  const mpeg = /MPEGTS:(\d{1,10})\b/.exec(line)?.[1];
  const local = secondsOf(/LOCAL:([\d:.,]+?)(?:,|$)/.exec(line.trim())?.[1] ?? '');
  return mpeg === undefined || local === undefined ? undefined : Number(mpeg) / 90_000 - local;
}

function cuesOf(lines: readonly string[]): Packet[] {
  const packets: Packet[] = [];
  for (let i = 0; i < lines.length && packets.length < MAX_CUES; i++) {
    const [start, rest = ''] = split(lines[i] ?? '', ARROW);
    const pts = secondsOf(start.trim());
    if (pts === undefined || !lines[i]?.includes(ARROW)) continue;
    const [end, settings = ''] = split(rest.trim(), /[ \t]+/);
    const until = secondsOf(end);
    const first = i + 1;
    while (i + 1 < lines.length && lines[i + 1] !== '' && !lines[i + 1]?.includes(ARROW)) i += 1;
    if (until === undefined || until <= pts) continue;
    const data = Buffer.from(`\n${settings}\n${lines.slice(first, i + 1).join('\n')}`);
    packets.push({ data, pts, duration: until - pts, key: true });
  }
  return packets;
}

function split(text: string, at: string | RegExp): [string, string?] {
  const found = typeof at === 'string' ? text.indexOf(at) : text.search(at);
  if (found < 0) return [text];
  return [text.slice(0, found), text.slice(found).replace(at, '')];
}

function secondsOf(text: string): number | undefined {
  const parts = TIME.exec(text);
  if (!parts) return undefined;
  const [, hours = '0', minutes, seconds, thousandths] = parts;
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(thousandths) / 1000;
}
