import { AppError } from '../errors.ts';
import { planPicture } from '../ffmpeg/picture.ts';
import { fitPicture } from '../hls/ladder.ts';
import { h264Level } from '../media/codecs/h264-level.ts';
import type { MediaInfo, Track } from '../media/types.ts';
import type { Direct } from '../presentation/direct.ts';
import { uprightSize } from '../presentation/rendition.ts';
import { isReadable } from '../presentation/transcoding.ts';

/** Lines of the largest picture: more do not fit into level 4.1. */
const MOST_LINES = 1080;
/** level_idc: the predecessor's. */
const LEVEL = 41;
const USUAL_FRAME_RATE = 30;

/** How the pictures of a clip look that is encoded anew: upright, square pixels, SDR. */
export interface EncodedPicture {
  /** From a time on, seconds on the presentation's clock. */
  readonly filters: (from: number) => readonly string[];
  readonly decoderOptions: readonly string[];
  /** level_idc: 41, or what the frame rate needs. */
  readonly level: number;
  /** For the track's boxes. */
  readonly video: NonNullable<Track['video']>;
}

/** @throws AppError `media-not-playable`. */
export function encodedPicture(
  track: Track,
  source: {
    readonly opened: { readonly info: MediaInfo };
    readonly direct: Direct | undefined;
    /** Filters that FFmpeg has. */
    readonly filters: ReadonlySet<string>;
  },
): EncodedPicture {
  const { video } = track;
  const [width, height] = video ? uprightSize(video) : [0, 0];
  if (!video || !(width > 0 && height > 0) || !isReadable(source, track))
    throw new AppError('media-not-playable', `The video (${track.codec}) cannot be decoded: there is no clip of it.`);
  const { startTime } = source.opened.info;
  const plan = planPicture({ ...track, video }, (track.startTime ?? startTime) - startTime, source.filters);
  const size = fitPicture(width, height, MOST_LINES);
  const { frameRate } = plan;
  return {
    filters: (from) => plan.filters(from, size.width, size.height),
    decoderOptions: plan.decoderOptions,
    level: Math.max(LEVEL, h264Level(size.width, size.height, frameRate ?? USUAL_FRAME_RATE, 0)),
    video: {
      ...size,
      displayWidth: size.width,
      displayHeight: size.height,
      rotation: 0,
      hdr: 'sdr',
      ...(frameRate === undefined ? {} : { frameRate }),
    },
  };
}
