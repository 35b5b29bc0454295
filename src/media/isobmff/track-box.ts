/** `trak` (ISO/IEC 14496-12, 8.3): everything of a track that does not need its samples. */
import { type Box, BoxError, boxes, bytesOf, child, descend, fourCC, utf8Text, viewOf } from './boxes.ts';
import { type Edit, parseEditList } from './edit-list.ts';
import { parseSampleDescriptions, type SampleEntry } from './sample-entry.ts';

export interface TrackBox {
  readonly id: number;
  readonly kind: 'video' | 'audio' | 'subtitle';
  /** tkhd: track_enabled. */
  readonly enabled: boolean;
  /** Clockwise, degrees. */
  readonly rotation: 0 | 90 | 180 | 270;
  /** Presentation size of tkhd, in pixels; 0 when absent. */
  readonly presentedWidth: number;
  readonly presentedHeight: number;
  /** Ticks per second of the media. */
  readonly timescale: number;
  readonly language?: string;
  readonly title?: string;
  readonly edits: readonly Edit[];
  readonly stbl: DataView;
  readonly entries: readonly SampleEntry[];
  /** Tracks that it references as chapters (QuickTime). */
  readonly chapterTracks: readonly number[];
}

const KINDS: Readonly<Record<string, TrackBox['kind']>> = {
  vide: 'video',
  soun: 'audio',
  sbtl: 'subtitle',
  subt: 'subtitle',
  text: 'subtitle',
  clcp: 'subtitle',
  subp: 'subtitle',
};

/**
 * Undefined for tracks of foreign handlers (time code, hints, metadata).
 * @throws BoxError when it is damaged.
 */
function parseTrackBox(trak: DataView, movieTimescale: number): TrackBox | undefined {
  const mdia = child(trak, 'mdia');
  const handler = child(mdia, 'hdlr');
  const type = handler !== undefined && handler.byteLength >= 12 ? fourCC(handler, 8) : '';
  const kind = Object.hasOwn(KINDS, type) ? KINDS[type]! : undefined;
  if (kind === undefined) return undefined;
  const stbl = descend(mdia, 'minf', 'stbl');
  const stsd = child(stbl, 'stsd');
  if (stbl === undefined || stsd === undefined) throw new BoxError('a track has no sample table');
  const header = parseTrackHeader(child(trak, 'tkhd'));
  const { timescale, language } = parseMediaHeader(child(mdia, 'mdhd'));
  const extended = child(mdia, 'elng');
  const tag = extended === undefined || extended.byteLength < 5 ? '' : utf8Text(bytesOf(extended, 4)).trim();
  const spoken = /^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$/.test(tag) && tag !== 'und' ? tag : language;
  const title = trackTitle(child(trak, 'udta'), handler!);
  return {
    ...header,
    kind,
    timescale,
    ...(spoken !== undefined && { language: spoken }),
    ...(title !== undefined && { title }),
    edits: parseEditList(descend(trak, 'edts', 'elst'), movieTimescale),
    stbl,
    // A copy, since codec configurations outlive the movie box's memory (`Window.recycle`).
    entries: parseSampleDescriptions(viewOf(bytesOf(stsd).slice()), kind),
    chapterTracks: references(child(trak, 'tref'), 'chap'),
  };
}

function parseTrackHeader(tkhd: DataView | undefined) {
  if (tkhd === undefined || tkhd.byteLength < 84) throw new BoxError('a track has no header (tkhd)');
  const at = tkhd.getUint8(0) === 1 ? 12 : 0;
  if (tkhd.byteLength < 84 + at) throw new BoxError('a track header (tkhd) is cut off');
  return {
    id: tkhd.getUint32(at === 0 ? 12 : 20),
    enabled: (tkhd.getUint8(3) & 1) === 1,
    rotation: rotationOf(tkhd, 40 + at),
    presentedWidth: tkhd.getUint32(76 + at) / 65536,
    presentedHeight: tkhd.getUint32(80 + at) / 65536,
  };
}

/** The matrix a b u c d v x y w (8.3.2): quarter turns only; everything else (scaling, flips) counts as upright. */
function rotationOf(tkhd: DataView, at: number): 0 | 90 | 180 | 270 {
  const a = tkhd.getInt32(at);
  const b = tkhd.getInt32(at + 4);
  const c = tkhd.getInt32(at + 12);
  const d = tkhd.getInt32(at + 16);
  if (a === 0 && d === 0 && b > 0 && c < 0) return 90;
  if (a === 0 && d === 0 && b < 0 && c > 0) return 270;
  if (b === 0 && c === 0 && a < 0 && d < 0) return 180;
  return 0;
}

function parseMediaHeader(mdhd: DataView | undefined): { timescale: number; language: string | undefined } {
  if (mdhd === undefined || mdhd.byteLength < 22) throw new BoxError('a track has no media header (mdhd)');
  const at = mdhd.getUint8(0) === 1 ? 20 : 12;
  const timescale = mdhd.getUint32(at);
  if (timescale === 0) throw new BoxError('a track has the timescale 0');
  const languageAt = at === 20 ? 32 : 20;
  const code = mdhd.byteLength >= languageAt + 2 ? mdhd.getUint16(languageAt) : 0x7fff;
  return { timescale, language: languageOf(code) };
}

/** QuickTime's language codes for Macintosh, the common ones from 0 on (Language Code Values). */
const MACINTOSH =
  'eng fra deu ita nld swe spa dan por nor heb jpn ara fin ell isl mlt tur hrv zho urd hin tha kor lit pol hun est lav'.split(
    ' ',
  );

/** mdhd's language: three letters of five bits, or a Macintosh code below 0x400. Undefined when undetermined. */
function languageOf(code: number): string | undefined {
  if (code < 0x400) return MACINTOSH[code];
  const letters = [(code >> 10) & 31, (code >> 5) & 31, code & 31];
  if (letters.some((letter) => letter < 1 || letter > 26)) return undefined;
  const text = String.fromCharCode(...letters.map((letter) => letter + 0x60));
  return text === 'und' ? undefined : text;
}

/** Names that writers put there for themselves, not for people. */
const MEANINGLESS =
  /handler|iso media|gpac|bento4|l-smash|mainconcept|core media|apple|lavf|^(video|audio|sound|text|stereo|mono|surround|subtitles?|vide|soun|und|twitter|hevc|avc|aac)$|\.(264|265|h264|hevc|aac|mp4|m4a)\b/i;

function trackTitle(udta: DataView | undefined, hdlr: DataView): string | undefined {
  const name = child(udta, 'name');
  const own = name === undefined ? '' : utf8Text(bytesOf(name)).trim();
  if (own !== '') return own.slice(0, 500);
  if (hdlr.byteLength <= 24) return undefined;
  const bytes = bytesOf(hdlr, 24);
  // QuickTime counts the characters in the first byte, MP4 ends them with zero.
  const counted = bytes[0] === bytes.length - 1 ? bytes.subarray(1) : bytes;
  const text = utf8Text(counted).trim();
  return text === '' || MEANINGLESS.test(text) || text.includes('\ufffd') ? undefined : text.slice(0, 500);
}

function references(tref: DataView | undefined, type: string): number[] {
  const list = child(tref, type);
  if (list === undefined) return [];
  return Array.from({ length: Math.min(64, list.byteLength >> 2) }, (_, i) => list.getUint32(4 * i));
}

export interface MovieBox {
  readonly timescale: number;
  /** Seconds; 0 when unknown. */
  readonly duration: number;
  readonly tracks: readonly TrackBox[];
  /** All track ids that are referenced as chapters. */
  readonly chapterTracks: ReadonlySet<number>;
  readonly mvex: DataView | undefined;
  readonly udta: DataView | undefined;
}

const MAX_TRACKS = 256;

/**
 * `moov` (8.2.1). Damaged tracks are left out while others are good.
 * @throws BoxError when no track can be read.
 */
export function parseMovieBox(moov: DataView): MovieBox {
  const { timescale, duration } = parseMovieHeader(child(moov, 'mvhd'));
  const tracks = new Map<number, TrackBox>();
  let failure: unknown;
  for (const box of tracksIn(moov)) {
    try {
      const track = parseTrackBox(box.view, timescale);
      if (track !== undefined && !tracks.has(track.id)) tracks.set(track.id, track);
    } catch (error) {
      if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
      failure ??= error;
    }
  }
  if (tracks.size === 0 && failure !== undefined) throw failure;
  const list = [...tracks.values()];
  return {
    timescale,
    duration,
    tracks: list,
    chapterTracks: new Set(list.flatMap((track) => track.chapterTracks)),
    mvex: child(moov, 'mvex'),
    udta: child(moov, 'udta'),
  };
}

function tracksIn(moov: DataView): Box[] {
  const found: Box[] = [];
  for (const box of boxes(moov)) if (box.type === 'trak' && found.length < MAX_TRACKS) found.push(box);
  return found;
}

function parseMovieHeader(mvhd: DataView | undefined): { timescale: number; duration: number } {
  if (mvhd === undefined || mvhd.byteLength < 20) throw new BoxError('its index (moov) has no header (mvhd)');
  const wide = mvhd.getUint8(0) === 1;
  if (wide && mvhd.byteLength < 32) throw new BoxError('its movie header (mvhd) is cut off');
  const timescale = mvhd.getUint32(wide ? 20 : 12) || 1000;
  const ticks = wide ? mvhd.getUint32(24) * 2 ** 32 + mvhd.getUint32(28) : mvhd.getUint32(16);
  const unknown = wide ? ticks >= 2 ** 63 : ticks === 0xffffffff;
  return { timescale, duration: unknown ? 0 : ticks / timescale };
}

/** `trex` (8.8.3): defaults of the fragments' samples, by track. */
export interface TrackExtends {
  readonly descriptionIndex: number;
  readonly duration: number;
  readonly size: number;
  readonly flags: number;
}

export function parseTrackExtends(mvex: DataView): Map<number, TrackExtends> {
  const defaults = new Map<number, TrackExtends>();
  for (const { type, view } of boxes(mvex)) {
    if (type !== 'trex' || view.byteLength < 24 || defaults.size >= MAX_TRACKS) continue;
    defaults.set(view.getUint32(4), {
      descriptionIndex: view.getUint32(8),
      duration: view.getUint32(12),
      size: view.getUint32(16),
      flags: view.getUint32(20),
    });
  }
  return defaults;
}

/** Seconds of a fragmented movie as `mehd` tells (8.8.2); 0 when unknown. */
export function movieExtendsDuration(mvex: DataView, timescale: number): number {
  const mehd = child(mvex, 'mehd');
  if (mehd === undefined || mehd.byteLength < 8) return 0;
  const wide = mehd.getUint8(0) === 1 && mehd.byteLength >= 12;
  return (wide ? mehd.getUint32(4) * 2 ** 32 + mehd.getUint32(8) : mehd.getUint32(4)) / timescale;
}
