/** Names for people of codecs that fMP4 and HLS have no place for, by FFmpeg's names. */
const FOREIGN: Readonly<Record<string, string>> = {
  dts: 'DTS audio',
  truehd: 'Dolby TrueHD audio',
  mlp: 'MLP audio',
  ac4: 'AC-4 audio',
  vorbis: 'Vorbis audio',
  alac: 'ALAC audio',
  mp1: 'MPEG layer I audio',
  mp2: 'MPEG layer II audio',
  wmav1: 'Windows Media audio',
  wmav2: 'Windows Media audio',
  wmapro: 'Windows Media audio',
  wmalossless: 'Windows Media audio',
  amr_nb: 'AMR audio',
  amr_wb: 'AMR audio',
  speex: 'Speex audio',
  tta: 'TTA audio',
  wavpack: 'WavPack audio',
  ape: "Monkey's Audio",
  cook: 'RealAudio',
  mpeg4: 'MPEG-4 part 2 (Xvid, DivX) video',
  msmpeg4v3: 'DivX 3 video',
  mpeg1video: 'MPEG-1 video',
  mpeg2video: 'MPEG-2 video',
  vp8: 'VP8 video',
  vc1: 'VC-1 video',
  wmv1: 'Windows Media video',
  wmv2: 'Windows Media video',
  wmv3: 'Windows Media video',
  theora: 'Theora video',
  prores: 'ProRes video',
  dnxhd: 'DNxHD video',
  mjpeg: 'Motion JPEG video',
  h263: 'H.263 video',
  flv1: 'Sorenson H.263 video',
  ffv1: 'FFV1 video',
  huffyuv: 'HuffYUV video',
  rawvideo: 'uncompressed video',
  vvc: 'VVC video',
  rv40: 'RealVideo',
};

/** Longest foreign name that is shown: names come from files. */
const MAX_NAME = 32;

export function foreignCodecReason(codec: string): string {
  const known = Object.hasOwn(FOREIGN, codec) ? FOREIGN[codec] : undefined;
  const printable = codec.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_NAME);
  const name =
    known ?? (codec.startsWith('pcm_') ? 'PCM audio' : printable === '' ? 'an unknown codec' : `codec ${printable}`);
  return `${name} cannot be copied into HLS without re-encoding`;
}
