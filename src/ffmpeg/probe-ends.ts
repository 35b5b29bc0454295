/** Where the tracks of a source really end, and begin, from the times of its last and first packets. */
import { type TimeLine, timeLine } from '../lib/even-times.ts';
import type { MediaInfo, Track } from '../media/types.ts';

/** Lines of ffprobe: stream, presentation time, decode time, duration; seconds, or `N/A`. */
export type PacketTimes = string;

/** Seconds that a picture lasts where nothing is known of its rate. */
const USUAL_FRAME = 0.04;

/** The same media with the ends of its tracks as they are; undefined when no packet of video or audio is among the times. */
export function withMeasuredEnds(info: MediaInfo, times: PacketTimes): MediaInfo | undefined {
  const ends = new Map<number, number>();
  const tracks = new Map(info.tracks.map((track) => [track.id, track]));
  for (const { stream, start, duration } of packets(times)) {
    const track = tracks.get(stream);
    if (track === undefined) continue;
    const end = start + (duration > 0 ? duration : shortest(track));
    ends.set(track.id, Math.max(ends.get(track.id) ?? end, end));
  }
  const media = info.tracks.filter(({ type, id }) => type !== 'subtitle' && ends.has(id));
  if (media.length === 0) return undefined;
  const measured = info.tracks.map((track) => {
    const endTime = ends.get(track.id) ?? track.endTime;
    return endTime === undefined ? track : { ...track, endTime };
  });
  const last = Math.max(...media.map(({ id }) => ends.get(id) as number));
  return { ...info, tracks: measured, duration: Math.max(0, last - info.startTime) };
}

function shortest({ type, video }: Track): number {
  return type === 'video' ? 1 / (video?.frameRate ?? 1 / USUAL_FRAME) : 0;
}

function* packets(times: PacketTimes): Generator<{ stream: number; start: number; duration: number }> {
  for (const line of times.split('\n')) {
    const [stream = Number.NaN, pts = Number.NaN, dts = Number.NaN, duration = 0] = line
      .split(',')
      .map((field) => Number.parseFloat(field));
    const start = Number.isFinite(pts) ? pts : dts;
    if (Number.isFinite(start)) yield { stream, start, duration };
  }
}

/** Packets of sound whose times are looked at. */
const MOST_FIRST = 400;

/** The lines on which the times of each stream of sound lie, source's clock, where that shows, by the stream's index. */
export function timeLines({ tracks }: MediaInfo, times: PacketTimes): ReadonlyMap<number, TimeLine> {
  const heads = new Map<number, number[]>();
  const whole = new Set<number>();
  for (const { id, type } of tracks) if (type === 'audio') heads.set(id, []);
  for (const { stream, start } of packets(times)) {
    const head = heads.get(stream);
    if (!head || whole.has(stream)) continue;
    // A jump: here the packets of the source's end begin, which may overlap with the first ones.
    const step = start - (head.at(-1) ?? start);
    if (step < 0 || step > 1 || head.length >= MOST_FIRST) whole.add(stream);
    else head.push(start);
  }
  return new Map(
    tracks.flatMap(({ id, audio }): [number, TimeLine][] => {
      const found = timeLine(heads.get(id) ?? [], audio?.sampleRate ?? 0);
      return found ? [[id, found]] : [];
    }),
  );
}
