/** The bitmap subtitles that can be read here, and where their pictures come on the video's. */
import type { Packet, Track } from '../types.ts';
import type { Display, DisplayDecoder, DisplayObject, Size } from './display.ts';
import { DvbDecoder, startsPage } from './dvb.ts';
import { PgsDecoder, startsEpoch } from './pgs.ts';
import { VobsubDecoder } from './vobsub.ts';

/** FFmpeg's names of the codecs whose packets are pictures and can be read here. */
const BITMAP_CODECS: ReadonlySet<string> = new Set(['hdmv_pgs_subtitle', 'dvd_subtitle', 'dvb_subtitle']);

export function isBitmapCodec(codec: string): boolean {
  return BITMAP_CODECS.has(codec);
}

/** @param picture coded size of the video. */
export function displayDecoder({ codec, codecPrivate }: Track, picture: Size | undefined): DisplayDecoder {
  if (codec === 'dvd_subtitle') return new VobsubDecoder(codecPrivate, picture);
  return codec === 'dvb_subtitle' ? new DvbDecoder() : new PgsDecoder();
}

/** Whether a decoder may begin with this packet: what is shown from it on needs nothing of earlier ones. */
export function standsAlone(codec: string, { data }: Packet): boolean {
  if (codec === 'dvd_subtitle') return true;
  return codec === 'dvb_subtitle' ? startsPage(data) : startsEpoch(data);
}

/** Aspect ratios that are so near to each other are the same. */
const SAME_ASPECT = 0.03;
/** Subtitles of standard definition have the samples of DVDs, which are not square. */
const STANDARD_LINES = 576;

/** The picture as it is stored, and as it is shown. */
export interface ShownPicture {
  readonly stored: Size;
  readonly shown: Size;
}

/**
 * The part of the canvas that the picture stands for. A canvas of the picture's own shape is stretched to it. One of another shape belongs to a picture that was cropped
 * (films without their black bars): as much of it as has the picture's shape, from its middle.
 */
export function fittingCanvas(canvas: Size, { stored, shown }: ShownPicture): Size {
  const { width, height } = canvas;
  if (isLike(width / height, stored) || isLike(width / height, shown)) return canvas;
  const wanted = shown.width / shown.height;
  const aspect = height > STANDARD_LINES ? width / height : wanted > 1.5 ? 16 / 9 : 4 / 3;
  if (Math.abs(aspect / wanted - 1) < SAME_ASPECT) return canvas;
  if (aspect < wanted) return { width, height: Math.max(2, Math.round((height * aspect) / wanted)) };
  return { width: Math.max(2, Math.round((width * wanted) / aspect)), height };
}

function isLike(aspect: number, { width, height }: Size): boolean {
  return Math.abs(aspect / (width / height) - 1) < SAME_ASPECT;
}

/** The display on a part of its canvas, its pictures moved in where they stood outside. */
export function placed(display: Display, part: Size): Display {
  const { canvas, objects } = display;
  if (canvas.width === part.width && canvas.height === part.height) return display;
  const [left, top] = [(canvas.width - part.width) / 2, (canvas.height - part.height) / 2];
  const within = (at: number, length: number, room: number): number => Math.max(0, Math.min(at, room - length));
  const moved = objects.map(
    (object): DisplayObject => ({
      ...object,
      x: Math.round(within(object.x - left, object.width, part.width)),
      y: Math.round(within(object.y - top, object.height, part.height)),
    }),
  );
  return { ...display, canvas: part, objects: moved };
}
