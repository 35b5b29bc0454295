/**
 * Text subtitle tracks as WebVTT renditions, on the timeline of the copied renditions.
 *
 * A segment shows the cues that start in it and those that started before and last into it. To find the latter, the cuts before it are read too, as far back as
 * LOOK_BACK_SECONDS; a cue that started earlier is missing in the segments that come so much later (it is in the earlier ones, which a player that
 * plays on has kept). The cuts are read with the byte ranges of the video's cuts, so that a remote source is asked for nothing more while it plays on.
 *
 * Invariant: what a cut's cues are follows from the source alone; `#cues` only saves reading the same cut again for the segments after it.
 */
import type { MultivariantPlaylist, SubtitleTag, Variant } from '../hls/playlist.ts';
import type { TimelineSegment } from '../hls/timeline.ts';
import { type Cue, isTextCodec } from '../media/subtitles/cue.ts';
import { cuesOf, webvttSegment } from '../media/subtitles/webvtt.ts';
import type { Track } from '../media/types.ts';
import { cutOf, type Opened } from './copied.ts';
import { uniqueNames } from './names.ts';
import { heldSegment, type Rendition, type Segment } from './rendition.ts';

/** Seconds before a segment in which cues that last into it are looked for. Over a network, after a seek, each costs its bytes. */
const LOOK_BACK_SECONDS = { local: 10, remote: 6 };
/** Muxers put a subtitle up to about so much before the video that it belongs to. Seconds. */
const EARLY_SECONDS = 1;
/** Cuts whose cues are kept. */
const KEPT_CUTS = 32;
/** A cut with more text than this is not kept. Characters. */
const KEPT_CHARACTERS = 128 * 1024;

const GROUP_ID = 'subtitles';

/** Whether a track is delivered as a WebVTT rendition. */
function isConverted(track: Track): boolean {
  return track.type === 'subtitle' && track.unreadable !== true && isTextCodec(track.codec);
}

/** A rendition for each text subtitle track, over the whole timeline. @param latency of the source. */
export function subtitleRenditions(source: Opened, latency: 'local' | 'remote'): Rendition[] {
  const tracks = source.info.tracks.filter(isConverted);
  return tracks.map((track) => new SubtitleRendition(track, source, LOOK_BACK_SECONDS[latency]));
}

class SubtitleRendition implements Rendition {
  readonly name: string;
  readonly track: Track;
  readonly delivery = 'converted';
  readonly codec = 'wvtt';
  readonly contentType = 'text/vtt';
  readonly extension = 'vtt';
  readonly segments: readonly TimelineSegment[];
  readonly #source: Opened;
  readonly #lookBack: number;
  /** By cut, the least recently used first. */
  readonly #cues = new Map<number, readonly Cue[]>();

  constructor(track: Track, source: Opened, lookBack: number) {
    this.name = `subtitles-${track.index}`;
    this.track = track;
    this.segments = source.timeline.segments;
    this.#source = source;
    this.#lookBack = lookBack;
  }

  async init(): Promise<undefined> {
    return undefined;
  }

  segment(n: number, signal: AbortSignal): Promise<Segment> {
    return this.#source.places.run(n, signal, async () => {
      const { startTime } = this.#source.info;
      const cues: Cue[] = [];
      const seen = new Set<string>();
      // The own cut first: a cue that lies in the bytes of two is taken from where it belongs.
      for (let cut = n; cut >= this.#firstCut(n); cut--) {
        for (const cue of await this.#cuesOf(cut, signal)) {
          const key = `${cue.start} ${cue.settings} ${cue.text}`;
          if (!seen.has(key)) cues.push(cue);
          seen.add(key);
        }
      }
      cues.sort((a, b) => a.start - b.start);
      const { from, to } = cutOf(this.#source, n);
      return heldSegment(Buffer.from(webvttSegment(cues, { startTime, from, to })));
    });
  }

  /** The earliest cut in which a cue of segment `n` may start. */
  #firstCut(n: number): number {
    const { segments } = this;
    const earliest = (segments[n] as TimelineSegment).start - this.#lookBack;
    let first = n;
    while (first > 0 && (segments[first] as TimelineSegment).start > earliest) first -= 1;
    return first;
  }

  async #cuesOf(n: number, signal: AbortSignal): Promise<readonly Cue[]> {
    const kept = this.#cues.get(n);
    this.#cues.delete(n);
    const cues = kept ?? (await this.#readCues(n, signal));
    if (cues.reduce((sum, { text }) => sum + text.length, 0) > KEPT_CHARACTERS) return cues;
    this.#cues.set(n, cues);
    const oldest = this.#cues.keys().next();
    if (this.#cues.size > KEPT_CUTS && !oldest.done) this.#cues.delete(oldest.value);
    return cues;
  }

  async #readCues(n: number, signal: AbortSignal): Promise<readonly Cue[]> {
    const { codec, codecPrivate, id } = this.track;
    const cut = cutOf(this.#source, n);
    using batch = await this.#source.reader.read(id, { ...cut, to: cut.to + EARLY_SECONDS }, signal);
    return cuesOf(codec, codecPrivate, batch.packets);
  }
}

/** A multivariant playlist with the subtitle renditions: one group, offered with every variant. */
export function withSubtitles<T extends Pick<MultivariantPlaylist, 'variants'>>(
  plan: T,
  renditions: readonly Rendition[],
  uri: (rendition: string) => string,
): T & { readonly variants: readonly Variant[]; readonly subtitles: readonly SubtitleTag[] } {
  const members = renditions.filter(({ track }) => track.type === 'subtitle');
  if (members.length === 0) return { ...plan, subtitles: [] };
  const names = uniqueNames(
    members.map(({ track }) => track),
    'Subtitles',
  );
  // 4.4.6.1.1: at most one of a group is the default.
  const main = members.find(({ track }) => track.isDefault);
  const subtitles = members.map((member): SubtitleTag => {
    const { name, track } = member;
    return {
      groupId: GROUP_ID,
      name: names.get(track) as string,
      ...(track.language === undefined ? {} : { language: track.language }),
      isDefault: member === main,
      autoSelect: true,
      forced: track.isForced,
      uri: uri(name),
    };
  });
  const variants = plan.variants.map((variant) => ({ ...variant, subtitlesGroupId: GROUP_ID }));
  return { ...plan, variants, subtitles };
}
