/** Where the tracks of a source really end, from the times of its last packets. */
import type { MediaInfo, Track } from '../media/types.ts';

/** Lines of ffprobe: stream, presentation time, decode time, duration; seconds, or `N/A`. */
export type PacketTimes = string;

/** Seconds that a picture lasts where nothing is known of its rate. */
const USUAL_FRAME = 0.04;

/** The same media with the ends of its tracks as they are; undefined when no packet of video or audio is among the times. */
export function withMeasuredEnds(info: MediaInfo, times: PacketTimes): MediaInfo | undefined {
  const ends = new Map<number, number>();
  const tracks = new Map(info.tracks.map((track) => [track.id, track]));
  for (const line of times.split('\n')) {
    const [stream, pts, dts, duration] = line.split(',').map((field) => Number.parseFloat(field));
    const track = tracks.get(stream ?? Number.NaN);
    const start = Number.isFinite(pts) ? (pts as number) : (dts ?? Number.NaN);
    if (track === undefined || !Number.isFinite(start)) continue;
    const end = start + ((duration ?? 0) > 0 ? (duration as number) : shortest(track));
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
