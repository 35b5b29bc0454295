/**
 * Subtitles that become part of the picture: bitmaps go as a second track beside the video into FFmpeg's overlay, text through libass with the fonts that the source brings.
 *
 * libass wants all text before it begins, and text lies scattered in the whole source: so text is burnt in by stretches, each by a process of its own that knows the text of its
 * stretch. The first stretch is one segment of the source, which the video reads anyway.
 */
import { mkdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import type { BurnInJob } from '../ffmpeg/burn-in.ts';
import { segmentAt, type TimelineSegment } from '../hls/timeline.ts';
import { waitFor } from '../lib/abort.ts';
import type { ShownPicture } from '../media/bitmaps/bitmaps.ts';
import { feedCluster, feedHeader, PICTURE_TRACK } from '../media/feed/feed.ts';
import { textSubtitleFile } from '../media/feed/text-file.ts';
import type { Packet, Track } from '../media/types.ts';
import type { Source } from '../source/source.ts';
import { chooseFonts, writeFonts } from './attached-fonts.ts';
import type { Opened } from './copied.ts';
import { CutPackets } from './cut-packets.ts';
import { DisplayTrack } from './display-track.ts';
import { feedStart, type VideoStart, videoBatches, videoFeed } from './feed.ts';
import { uprightSize } from './rendition.ts';
import { removeFolder, temporaryFolder } from './segment-folder.ts';

/** Seconds before a stretch in which text that is still shown is looked for. Over a network they cost their bytes. */
const LOOK_BACK_SECONDS = { local: 30, remote: 12 };
/** Of all stretches but the first. */
const STRETCH_SECONDS = 30;
/** Muxers put text up to about so much behind the video that it belongs to. */
const LATE_SECONDS = 1;

/** What one process is fed with. Disposing takes back what was made for it. */
export interface BurnInInput extends AsyncDisposable {
  readonly input: AsyncIterable<Uint8Array>;
  readonly job?: BurnInJob;
}

/** One subtitle track to be burnt in. */
export interface BurnIn {
  /** Names it among all tracks of the source. */
  readonly name: string;
  /** The segment (exclusive) at which a process that begins with segment `first` must end, so that another goes on. @param isFirst it is the first one of its run. */
  stretchEnd(segments: readonly TimelineSegment[], first: number, isFirst: boolean): number;
  /** @param until end of what the process makes, presentation seconds. */
  begin(start: VideoStart, until: number, signal: AbortSignal): Promise<BurnInInput>;
}

/** A bitmap track. */
export class PictureBurnIn implements BurnIn {
  readonly name: string;
  readonly #source: Opened;
  readonly #packets: CutPackets;
  readonly #latency: 'local' | 'remote';

  constructor(track: Track, source: Opened, latency: 'local' | 'remote') {
    this.name = `subtitle-${track.index}`;
    this.#source = source;
    this.#packets = new CutPackets(track, source);
    this.#latency = latency;
  }

  stretchEnd(segments: readonly TimelineSegment[]): number {
    return segments.length;
  }

  async begin(start: VideoStart, _until: number, signal: AbortSignal): Promise<BurnInInput> {
    const { info } = this.#source;
    const displays = new DisplayTrack({
      packets: this.#packets,
      picture: pictureOf(start.track),
      latency: this.#latency,
      startTime: info.startTime,
    });
    // What precedes the first frame that is wanted is decoded only: it needs no subtitle.
    const from = start.time + info.startTime;
    const first = await displays.start(from, signal);
    const input = picturedFeed(
      { source: this.#source, start, displays, first: { time: from, data: first.data } },
      signal,
    );
    const job: BurnInJob = { kind: 'pictures', canvas: first.canvas };
    return { input, job, [Symbol.asyncDispose]: async () => {} };
  }
}

interface PicturedFeed {
  readonly source: Opened;
  readonly start: VideoStart;
  readonly displays: DisplayTrack;
  /** What is on the screen to begin with. */
  readonly first: { readonly time: number; readonly data: Uint8Array };
}

/**
 * The video with the display sets. FFmpeg takes a video packet for a sign that no subtitle with a time before it comes any more: so each set stands before the
 * first packet in decode order that is shown later than it; and no earlier than need be, since FFmpeg holds them as whole pictures.
 */
async function* picturedFeed(
  { source, start, displays, first }: PicturedFeed,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const startTime = feedStart(source.info.startTime);
  const cluster = (sets: readonly { time: number; data: Uint8Array }[]): Uint8Array => {
    const packets = sets.map(({ time, data }): Packet => ({ data, pts: time, duration: 0, key: true }));
    return feedCluster(packets, startTime, PICTURE_TRACK);
  };
  yield feedHeader(start.track, true);
  let latest = Number.NEGATIVE_INFINITY;
  let isFirstGiven = false;
  for await (const batch of videoBatches(source, start, signal)) {
    using held = batch;
    let from = 0;
    for (const [i, { pts }] of held.packets.entries()) {
      if (pts <= latest) continue;
      latest = pts;
      const sets = !isFirstGiven && latest >= first.time ? [first] : [];
      if (latest >= first.time) {
        isFirstGiven = true;
        sets.push(...(await displays.until(latest, signal)));
      }
      if (sets.length === 0) continue;
      if (i > from) yield feedCluster(held.packets.slice(from, i), startTime);
      yield cluster(sets);
      from = i;
    }
    if (from < held.packets.length) yield feedCluster(held.packets.slice(from), startTime);
  }
}

/** A text track. The folder is the presentation's. */
export class TextBurnIn implements BurnIn {
  readonly name: string;
  readonly #source: Opened;
  readonly #packets: CutPackets;
  readonly #lookBack: number;
  readonly #files: TextFiles;

  constructor(track: Track, source: Opened, latency: 'local' | 'remote', files: TextFiles) {
    this.name = `subtitle-${track.index}`;
    this.#source = source;
    this.#packets = new CutPackets(track, source);
    this.#lookBack = LOOK_BACK_SECONDS[latency];
    this.#files = files;
  }

  stretchEnd(segments: readonly TimelineSegment[], first: number, isFirst: boolean): number {
    const { start } = segments[first] as TimelineSegment;
    const { timeline } = this.#source;
    const own = timeline.segments[segmentAt(timeline, start + 0.001)] as TimelineSegment;
    const until = isFirst ? own.start + own.duration : start + STRETCH_SECONDS;
    const end = segments.findIndex((segment, n) => n > first && segment.start >= until - 0.001);
    return end < 0 ? segments.length : end;
  }

  async begin(start: VideoStart, until: number, signal: AbortSignal): Promise<BurnInInput> {
    const { startTime } = this.#source.info;
    const fonts = await this.#files.fonts(signal);
    const packets = await this.#between(start.time - this.#lookBack, until + LATE_SECONDS, signal);
    const input = videoFeed(this.#source, start, signal);
    // FFmpeg 5.1 never gets done with opening a file of subtitles in which there is none.
    if (packets.length === 0) return { input, [Symbol.asyncDispose]: async () => {} };
    const file = await this.#files.write(textSubtitleFile(this.#packets.track, packets, startTime));
    return {
      input,
      job: { kind: 'text', file, fonts },
      [Symbol.asyncDispose]: () => unlink(file).catch(() => {}), // it goes with the folder else
    };
  }

  /** The packets of all cuts that touch the time between, presentation seconds. */
  async #between(from: number, to: number, signal: AbortSignal): Promise<Packet[]> {
    const { timeline } = this.#source;
    const packets: Packet[] = [];
    for (let n = segmentAt(timeline, from); n < timeline.segments.length; n++) {
      if ((timeline.segments[n] as TimelineSegment).start >= to) break;
      packets.push(...(await this.#packets.read(n, signal)));
    }
    return packets;
  }
}

/**
 * The folder in which libass finds texts and fonts, made when first needed. Nothing in it has a name from the source.
 * Invariant: `#folder` and `#fonts` are absent until asked for, and again when they could not be made.
 */
export class TextFiles implements AsyncDisposable {
  readonly #source: Source;
  readonly #parent: string;
  readonly #chosen: ReturnType<typeof chooseFonts>;
  #folder: Promise<string> | undefined;
  #fonts: Promise<string> | undefined;
  readonly #closing = new AbortController();
  #ignored: readonly string[] = [];
  #count = 0;

  constructor(source: Source, info: Opened['info'], parent: string) {
    this.#source = source;
    this.#parent = parent;
    this.#chosen = chooseFonts(info.attachments);
  }

  /** A sentence for each attached font that is not used, as far as is known. */
  get ignoredFonts(): readonly string[] {
    return [...this.#chosen.ignored, ...this.#ignored];
  }

  /** The folder with the source's fonts, shared by all who wait for it. @throws AppError `transcode-failed`, `source-*`; the signal's reason. */
  fonts(signal: AbortSignal): Promise<string> {
    if (this.#fonts === undefined) {
      const made = this.#writeFonts();
      this.#fonts = made;
      made.catch(() => {
        if (this.#fonts === made) this.#fonts = undefined;
      });
    }
    return waitFor(this.#fonts, signal);
  }

  /** @returns the file's path. @throws AppError `transcode-failed`. */
  async write(bytes: Uint8Array): Promise<string> {
    try {
      const path = join(await this.#made(), `${this.#count++}.mkv`);
      await writeFile(path, bytes, { mode: 0o600, flag: 'wx' });
      return path;
    } catch (error) {
      throw this.#unwritten(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new AppError('server-closing', 'The source is no longer open.'));
    await this.#fonts?.catch(() => {});
    const folder = await this.#folder?.catch(() => undefined);
    if (folder !== undefined) await removeFolder(folder);
  }

  async #writeFonts(): Promise<string> {
    try {
      const folder = join(await this.#made(), 'fonts');
      await mkdir(folder, { mode: 0o700, recursive: true });
      this.#ignored = await writeFonts(this.#source, this.#chosen.fonts, folder, this.#closing.signal);
      return folder;
    } catch (error) {
      throw this.#unwritten(error);
    }
  }

  #made(): Promise<string> {
    this.#folder ??= temporaryFolder(this.#parent);
    return this.#folder;
  }

  /** Somebody deleted the folder, or the disk is full: all is made anew next time. */
  #unwritten(error: unknown): unknown {
    if (error instanceof AppError || this.#closing.signal.aborted) return error;
    const left = this.#folder;
    this.#folder = undefined;
    this.#fonts = undefined;
    void left?.then(removeFolder, () => {});
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const detail = `The subtitles to be burnt in could not be written to the temporary folder (${code}).`;
    return new AppError('transcode-failed', detail, { cause: error });
  }
}

function pictureOf({ video, config }: Track): ShownPicture {
  const [width, height] = video ? uprightSize(video) : [0, 0];
  const { width: codedWidth = width, height: codedHeight = height } = config?.video ?? video ?? {};
  const turned = video?.rotation === 90 || video?.rotation === 270;
  const stored = turned ? { width: codedHeight, height: codedWidth } : { width: codedWidth, height: codedHeight };
  return { stored, shown: { width, height } };
}
