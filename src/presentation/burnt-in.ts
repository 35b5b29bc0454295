import { AppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import { isBitmapCodec } from '../media/bitmaps/bitmaps.ts';
import { isTextCodec } from '../media/subtitles/cue.ts';
import type { Track } from '../media/types.ts';
import type { Source } from '../source/source.ts';
import { type BurnIn, PictureBurnIn, TextBurnIn, TextFiles } from './burn-in.ts';
import type { TranscodedVideo } from './transcoded-video.ts';
import { burntInLadder, type Material, type Transcoding, transcodableVideo } from './transcoding.ts';

/**
 * The renditions of a source with one of its subtitle tracks in the picture, made when first asked for. It owns them, and the temporary files that they need.
 * Invariant: `#ladders` has one entry for each track that was asked for and can be burnt in.
 */
export class BurntIn implements AsyncDisposable {
  readonly #source: Source;
  readonly #material: Material;
  readonly #transcoding: Transcoding;
  readonly #capabilities: Capabilities;
  readonly #files: TextFiles;
  readonly #ladders = new Map<number, readonly TranscodedVideo[]>();
  #disposed = false;

  private constructor(source: Source, material: Material, transcoding: Transcoding, capabilities: Capabilities) {
    this.#source = source;
    this.#material = material;
    this.#transcoding = transcoding;
    this.#capabilities = capabilities;
    this.#files = new TextFiles(source, material.opened.info, transcoding.folder);
  }

  static async open(source: Source, material: Material, transcoding: Transcoding): Promise<BurntIn> {
    return new BurntIn(source, material, transcoding, await transcoding.capabilities);
  }

  /** Why a subtitle track cannot be burnt in, as a part of a sentence; undefined when it can. */
  refusal({ codec, unreadable }: Track): string | undefined {
    const { ffmpeg, canTranscodeVideo, canBurnInPictures, canBurnInText } = this.#capabilities;
    const isText = isTextCodec(codec);
    if (unreadable) return 'it is encrypted, or stored in a way that nobody can undo';
    if (!isText && !isBitmapCodec(codec)) return `subtitles in ${codec} are not supported`;
    if (this.#material.direct) return 'only FFmpeg reads this container';
    if (ffmpeg === undefined) return 'FFmpeg is not installed';
    if (!canTranscodeVideo) return 'this FFmpeg cannot transcode video';
    if (isText && !canBurnInText) return 'this FFmpeg lacks the filter subtitles (libass)';
    if (!isText && !canBurnInPictures) return 'this FFmpeg lacks the filter overlay';
    return transcodableVideo(this.#material, this.#capabilities)
      ? undefined
      : 'there is no video that can be transcoded';
  }

  /** A sentence for each of the source's fonts that is not used for a track, as far as is known. */
  ignoredFonts({ codec }: Track): readonly string[] {
    return codec === 'ass' ? this.#files.ignoredFonts : [];
  }

  /**
   * The renditions with this subtitle track, from the best; at least one.
   * @throws AppError `subtitle-not-found`, `burn-in-unavailable`.
   */
  ladder(index: number): readonly TranscodedVideo[] {
    const known = this.#ladders.get(index);
    if (known !== undefined) return known;
    const subtitles = this.#material.opened.info.tracks.filter(({ type }) => type === 'subtitle');
    const track = subtitles.find((candidate) => candidate.index === index);
    if (track === undefined) {
      const has = subtitles.length === 0 ? 'it has none' : `it has ${subtitles.length}, counted from 0`;
      throw new AppError('subtitle-not-found', `subtitle: the source has no subtitle track ${index}: ${has}.`);
    }
    const refusal = this.refusal(track);
    if (refusal !== undefined || this.#disposed) {
      const why = refusal ?? 'the source is no longer open';
      throw new AppError('burn-in-unavailable', `subtitle: track ${index} cannot be burnt in: ${why}.`);
    }
    const made = burntInLadder(this.#material, this.#transcoding, this.#capabilities, this.#burnIn(track));
    this.#ladders.set(index, made);
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.all([...this.#ladders.values()].flat().map((rendition) => rendition[Symbol.asyncDispose]()));
    await this.#files[Symbol.asyncDispose]();
  }

  #burnIn(track: Track): BurnIn {
    const { opened } = this.#material;
    const { latency } = this.#source;
    return isTextCodec(track.codec)
      ? new TextBurnIn(track, opened, latency, this.#files)
      : new PictureBurnIn(track, opened, latency);
  }
}
