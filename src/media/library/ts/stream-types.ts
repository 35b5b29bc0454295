/** Which codec a PMT entry announces (ISO/IEC 13818-1 table 2-34, ETSI EN 300 468, ATSC A/53, Blu-ray). */
import type { TrackType } from '../../types.ts';
import type { Descriptor, ElementaryEntry } from './psi.ts';

export interface StreamKind {
  readonly type: TrackType;
  /** FFmpeg's name. `mp3` may turn out to be `mp2` once a frame is seen. */
  readonly codec: string;
}

const video = (codec: string): StreamKind => ({ type: 'video', codec });
const audio = (codec: string): StreamKind => ({ type: 'audio', codec });
const subtitle = (codec: string): StreamKind => ({ type: 'subtitle', codec });

const STANDARD: ReadonlyMap<number, StreamKind> = new Map([
  [0x01, video('mpeg1video')],
  [0x02, video('mpeg2video')],
  [0x03, audio('mp3')],
  [0x04, audio('mp3')],
  [0x0f, audio('aac')],
  [0x10, video('mpeg4')],
  [0x11, audio('aac_latm')],
  [0x1b, video('h264')],
  [0x24, video('hevc')],
  [0x33, video('vvc')],
  [0x42, video('cavs')],
  [0x81, audio('ac3')],
  [0x87, audio('eac3')],
  [0xd1, video('dirac')],
  [0xea, video('vc1')],
]);

/** Meaningful only where the programme is registered as `HDMV` or `HDPR` (Blu-ray). */
const BLU_RAY: ReadonlyMap<number, StreamKind> = new Map([
  [0x80, audio('pcm_bluray')],
  [0x82, audio('dts')],
  [0x83, audio('truehd')],
  [0x84, audio('eac3')],
  [0x85, audio('dts')],
  [0x86, audio('dts')],
  [0x90, subtitle('hdmv_pgs_subtitle')],
  [0x92, subtitle('hdmv_text_subtitle')],
  [0xa1, audio('eac3')],
  [0xa2, audio('dts')],
]);

const REGISTERED: ReadonlyMap<string, StreamKind> = new Map([
  ['AC-3', audio('ac3')],
  ['EAC3', audio('eac3')],
  ['DTS1', audio('dts')],
  ['DTS2', audio('dts')],
  ['DTS3', audio('dts')],
  ['Opus', audio('opus')],
  ['BSSD', audio('s302m')],
  ['HEVC', video('hevc')],
  ['VC-1', video('vc1')],
  ['drac', video('dirac')],
  ['AV01', video('av1')],
]);

const DVB_TAGS: ReadonlyMap<number, StreamKind> = new Map([
  [0x56, subtitle('dvb_teletext')],
  [0x59, subtitle('dvb_subtitle')],
  [0x6a, audio('ac3')],
  [0x7a, audio('eac3')],
  [0x7b, audio('dts')],
  [0x7c, audio('aac')],
]);

function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** format_identifier of the registration descriptor (tag 5). */
function registration(descriptors: readonly Descriptor[]): string | undefined {
  const found = descriptors.find((d) => d.tag === 0x05 && d.data.length >= 4);
  return found && ascii(found.data.subarray(0, 4));
}

export function isBluRay(descriptors: readonly Descriptor[]): boolean {
  const id = registration(descriptors);
  return id === 'HDMV' || id === 'HDPR';
}

/** Undefined for what is no video, audio or subtitle (data, tables, splice points). */
export function streamKind(entry: ElementaryEntry, bluRay: boolean): StreamKind | undefined {
  if (bluRay) {
    const known = BLU_RAY.get(entry.streamType);
    if (known) return known;
  }
  const standard = STANDARD.get(entry.streamType);
  if (standard) return standard;
  const id = registration(entry.descriptors);
  const registered = id === undefined ? undefined : REGISTERED.get(id);
  if (registered) return registered;
  if (entry.streamType === 0x06) {
    for (const { tag } of entry.descriptors) {
      const kind = DVB_TAGS.get(tag);
      if (kind) return kind;
    }
  }
  return undefined;
}

/** ISO 639-2 from the language, subtitling or teletext descriptor; absent for `und`. */
export function languageOf(descriptors: readonly Descriptor[]): string | undefined {
  for (const { tag, data } of descriptors) {
    if ((tag !== 0x0a && tag !== 0x56 && tag !== 0x59) || data.length < 3) continue;
    const code = ascii(data.subarray(0, 3)).toLowerCase();
    if (/^[a-z]{3}$/.test(code) && code !== 'und') return code;
  }
  return undefined;
}
