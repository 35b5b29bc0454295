/** Sample entries: ISO/IEC 14496-12, 8.5.2 and 12; QuickTime File Format, "Sample Description Atoms"; ISO/IEC 14496-14 (esds). */
import type { ColourInfo } from '../types.ts';
import { type Box, BoxError, boxes, bytesOf, child, fourCC } from './boxes.ts';
import { audioCodec, OBJECT_TYPE_CODECS, pcmCodec, SUBTITLE_CODECS, VIDEO_CODECS } from './codec-names.ts';
import { type ElementaryStream, parseEsds } from './esds.ts';

export interface SampleEntry {
  /** The sample entry's own four characters. */
  readonly type: string;
  /** FFmpeg's name. */
  readonly codec: string;
  /** As `media/codecs` takes it. */
  readonly privateData?: Uint8Array;
  /** The whole entry with its header, unless it is very long; of video and audio. */
  readonly whole?: Uint8Array;
  readonly encrypted: boolean;
  readonly video?: {
    readonly width: number;
    readonly height: number;
    readonly colour?: ColourInfo;
    readonly pixelAspect?: readonly [number, number];
    /** Profile 5: nothing but a Dolby Vision display shows its colours. */
    readonly dolbyVisionOnly: boolean;
  };
  readonly audio?: {
    readonly channels: number;
    readonly sampleRate: number;
    readonly bitDepth: number;
    /** Bytes of one PCM frame (all channels), or of one QuickTime packet; 0 when samples are packets. */
    readonly frameBytes: number;
    /** PCM frames that `frameBytes` stand for. */
    readonly frameSamples: number;
  };
  /** All its samples are forced subtitles (3GPP TS 26.245, displayFlags). */
  readonly forced: boolean;
  /** Bits per second as esds or btrt tells. */
  readonly bitrate?: number;
}

const MAX_ENTRIES = 64;
/** Longest entry that is kept whole: beyond it stand pictures and other luggage. */
const MAX_WHOLE = 64 * 1024;

export type EntryKind = 'video' | 'audio' | 'subtitle';

/**
 * The entries of an `stsd` body. Entries with the same bytes are one object: samples may change between them freely.
 * @throws BoxError when none can be read.
 */
export function parseSampleDescriptions(stsd: DataView, kind: EntryKind): SampleEntry[] {
  if (stsd.byteLength < 8) throw new BoxError('its sample description (stsd) is cut off');
  const boxVersion = stsd.getUint8(0);
  const entries: SampleEntry[] = [];
  const raw: Buffer[] = [];
  for (const box of boxes(stsd, 8)) {
    // Entries shorter than SampleEntry (8 bytes of reserved fields and a data reference) tell nothing.
    if (box.view.byteLength < 8 || entries.length >= MAX_ENTRIES) break;
    const { buffer, byteOffset, byteLength } = box.view;
    const bytes = Buffer.from(buffer, byteOffset, byteLength);
    const same = raw.findIndex((other, i) => entries[i]!.type === box.type && other.equals(bytes));
    raw.push(bytes);
    if (same >= 0) entries.push(entries[same]!);
    else if (kind === 'video') entries.push(videoEntry(box));
    else if (kind === 'audio') entries.push(audioEntry(box, boxVersion));
    else entries.push(subtitleEntry(box));
  }
  if (entries.length === 0) throw new BoxError('a track has no sample description (stsd)');
  return entries;
}

/** Common encryption (ISO/IEC 23001-7): the original format stands in sinf/frma. */
function originalType(type: string, children: ReadonlyMap<string, DataView>): string {
  if (type !== 'encv' && type !== 'enca' && type !== 'enct' && type !== 'encs') return type;
  const frma = child(children.get('sinf'), 'frma');
  return frma !== undefined && frma.byteLength >= 4 ? fourCC(frma, 0) : type;
}

function isEncrypted(type: string): boolean {
  return type === 'encv' || type === 'enca' || type === 'enct' || type === 'encs' || type === 'drmi' || type === 'drms';
}

/** First child box of each type. */
function childMap(view: DataView, start: number): Map<string, DataView> {
  const map = new Map<string, DataView>();
  if (start > view.byteLength) return map;
  for (const box of boxes(view, start)) if (!map.has(box.type)) map.set(box.type, box.view);
  return map;
}

function bitrateOf(children: ReadonlyMap<string, DataView>, esds: ElementaryStream | undefined): number | undefined {
  const btrt = children.get('btrt');
  const rate = btrt !== undefined && btrt.byteLength >= 12 ? btrt.getUint32(8) : esds?.averageBitrate;
  return rate === 0 ? undefined : rate;
}

/** The box from its size on. */
function wholeEntry({ view, headerSize }: Box): Pick<SampleEntry, 'whole'> {
  if (headerSize !== 8 || view.byteLength > MAX_WHOLE) return {};
  return { whole: new Uint8Array(view.buffer, view.byteOffset - headerSize, view.byteLength + headerSize) };
}

function after(view: DataView | undefined, skip: number): Uint8Array | undefined {
  return view !== undefined && view.byteLength >= skip ? bytesOf(view, skip) : undefined;
}

function videoEntry(box: Box): SampleEntry {
  const { type, view } = box;
  const children = childMap(view, 78);
  const original = originalType(type, children);
  const esds = children.has('esds') ? parseEsds(children.get('esds')!) : undefined;
  let codec = VIDEO_CODECS[original] ?? original.trim().toLowerCase();
  if (original === 'mp4v' && esds !== undefined) codec = OBJECT_TYPE_CODECS[esds.objectType] ?? 'mpeg4';
  const dolby = children.get('dvcC') ?? children.get('dvvC') ?? children.get('dvwC');
  const colour = parseColour(view);
  const pasp = children.get('pasp');
  const pixelAspect: [number, number] | undefined =
    pasp !== undefined && pasp.byteLength >= 8 && pasp.getUint32(0) > 0 && pasp.getUint32(4) > 0
      ? [pasp.getUint32(0), pasp.getUint32(4)]
      : undefined;
  const privateData = videoPrivateData(codec, children, esds);
  const bitrate = bitrateOf(children, esds);
  const hasSize = view.byteLength >= 28;
  return {
    type,
    codec,
    ...wholeEntry(box),
    encrypted: isEncrypted(type),
    forced: false,
    ...(privateData && { privateData }),
    ...(bitrate !== undefined && { bitrate }),
    video: {
      width: hasSize ? view.getUint16(24) : 0,
      height: hasSize ? view.getUint16(26) : 0,
      ...(colour && { colour }),
      ...(pixelAspect && { pixelAspect }),
      dolbyVisionOnly: dolby !== undefined && dolby.byteLength >= 4 && dolby.getUint8(2) >> 1 === 5,
    },
  };
}

function videoPrivateData(
  codec: string,
  children: ReadonlyMap<string, DataView>,
  esds: ElementaryStream | undefined,
): Uint8Array | undefined {
  switch (codec) {
    case 'h264':
      return after(children.get('avcC'), 0);
    case 'hevc':
      return after(children.get('hvcC'), 0);
    case 'av1':
      return after(children.get('av1C'), 0);
    case 'vp9':
    case 'vp8':
      return after(children.get('vpcC'), 4);
    default:
      return esds?.decoderSpecificInfo;
  }
}

/** `colr` of type nclx (14496-12, 12.1.5) or QuickTime's nclc, wherever it stands among other colr boxes (ICC profiles). */
function parseColour(entry: DataView): ColourInfo | undefined {
  if (entry.byteLength < 78) return undefined;
  for (const { type, view } of boxes(entry, 78)) {
    if (type !== 'colr' || view.byteLength < 10) continue;
    const kind = fourCC(view, 0);
    if (kind !== 'nclx' && kind !== 'nclc') continue;
    return {
      primaries: view.getUint16(4),
      transfer: view.getUint16(6),
      matrix: view.getUint16(8),
      fullRange: kind === 'nclx' && view.byteLength >= 11 && (view.getUint8(10) & 0x80) !== 0,
    };
  }
  return undefined;
}

interface AudioHeader {
  readonly channels: number;
  readonly sampleRate: number;
  readonly bitDepth: number;
  readonly formatFlags: number;
  readonly frameBytes: number;
  readonly frameSamples: number;
  readonly childrenAt: number;
}

/** Where the sound description's fixed part ends depends on its version: QuickTime's 1 and 2 are longer than ISO's. */
function audioHeader(view: DataView, boxVersion: number): AudioHeader {
  if (view.byteLength < 28) throw new BoxError('an audio sample description is cut off');
  const version = boxVersion === 0 ? view.getUint16(8) : 0;
  const header = {
    channels: view.getUint16(16),
    bitDepth: view.getUint16(18),
    sampleRate: view.getUint16(24) + view.getUint16(26) / 65536,
    formatFlags: 0,
    frameBytes: 0,
    frameSamples: 1,
    childrenAt: 28,
  };
  if (version === 1 && view.byteLength >= 44) {
    return {
      ...header,
      frameSamples: Math.max(1, view.getUint32(28)),
      frameBytes: view.getUint32(36),
      childrenAt: 44,
    };
  }
  if (version === 2 && view.byteLength >= 64) {
    const sampleRate = view.getFloat64(32);
    return {
      channels: view.getUint32(40),
      sampleRate: Number.isFinite(sampleRate) && sampleRate > 0 ? sampleRate : header.sampleRate,
      bitDepth: view.getUint32(48),
      formatFlags: view.getUint32(52),
      frameBytes: view.getUint32(56),
      frameSamples: Math.max(1, view.getUint32(60)),
      childrenAt: 64,
    };
  }
  return header;
}

function audioEntry(box: Box, boxVersion: number): SampleEntry {
  const { type, view } = box;
  const header = audioHeader(view, boxVersion);
  const children = childMap(view, header.childrenAt);
  const original = originalType(type, children);
  // QuickTime wraps esds and the byte order in `wave`; some writers do so in MP4 too.
  const wave = children.get('wave');
  const esdsBox = children.get('esds') ?? child(wave, 'esds');
  const esds = esdsBox === undefined ? undefined : parseEsds(esdsBox);
  const enda = child(wave, 'enda') ?? children.get('enda');
  const littleEndian = enda !== undefined && enda.byteLength >= 2 && (enda.getUint16(0) & 1) === 1;
  const pcm = pcmCodec(original, header.bitDepth, header.formatFlags, littleEndian, children.get('pcmC'));
  let codec = pcm?.codec ?? audioCodec(original);
  if (original === 'mp4a' || original === 'm4a ') codec = (esds && OBJECT_TYPE_CODECS[esds.objectType]) ?? 'aac';
  const privateData = audioPrivateData(codec, children, wave, esds);
  const bitrate = bitrateOf(children, esds);
  const tailored = srat(children) ?? header.sampleRate;
  return {
    type,
    codec,
    ...wholeEntry(box),
    encrypted: isEncrypted(type),
    forced: false,
    ...(privateData && { privateData }),
    ...(bitrate !== undefined && { bitrate }),
    audio: {
      channels: header.channels,
      sampleRate: tailored,
      bitDepth: pcm?.bits ?? header.bitDepth,
      frameBytes: pcm ? Math.max(1, (header.channels * pcm.bits) >> 3) : header.frameBytes,
      frameSamples: pcm ? 1 : header.frameSamples,
    },
  };
}

/** SamplingRateBox (14496-12, 12.2.4): rates that 16 bits cannot hold. */
function srat(children: ReadonlyMap<string, DataView>): number | undefined {
  const box = children.get('srat');
  return box !== undefined && box.byteLength >= 8 && box.getUint32(4) > 0 ? box.getUint32(4) : undefined;
}

function audioPrivateData(
  codec: string,
  children: ReadonlyMap<string, DataView>,
  wave: DataView | undefined,
  esds: ElementaryStream | undefined,
): Uint8Array | undefined {
  switch (codec) {
    case 'opus':
      return after(children.get('dOps'), 0) ?? esds?.decoderSpecificInfo;
    case 'flac':
      return after(children.get('dfLa'), 4);
    case 'ac3':
      return after(children.get('dac3'), 0);
    case 'eac3':
      return after(children.get('dec3'), 0);
    case 'alac':
      return after(children.get('alac') ?? child(wave, 'alac'), 4);
    case 'mp3':
      return undefined;
    default:
      return esds?.decoderSpecificInfo;
  }
}

function subtitleEntry({ type, view }: Box): SampleEntry {
  // TextSampleEntry (3GPP TS 26.245, 5.16): displayFlags first; 0x80000000 says that all samples are forced.
  const forced = type === 'tx3g' && view.byteLength >= 12 && (view.getUint32(8) & 0x80000000) !== 0;
  return {
    type,
    codec: SUBTITLE_CODECS[type] ?? type.trim().toLowerCase(),
    encrypted: isEncrypted(type),
    forced,
    privateData: bytesOf(view, 8),
  };
}
