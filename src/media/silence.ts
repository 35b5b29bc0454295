import type { CodecConfig, Packet } from './types.ts';

/**
 * Silence where an audio track has none of its own: before a late start, in the middle, after an early end. Players that join picture and sound from
 * two buffers stand still where one of them is empty.
 */

/** Shorter gaps are left to the player, seconds. */
const SHORTEST_GAP = 0.25;
/** As many frames are put in at most, some 15 minutes: a gap beyond that is a damaged timestamp, and would take all memory. */
const MOST_FRAMES = 45_000;

/** Frames of AAC-LC that decode to silence, by number of channels, from 1. */
const SILENT_AAC = [
  '00c800802380',
  '210049900219002380',
  '00c8008020840126400864008e',
  '00c800802084012640086400802c80080238',
  '00c800802084012640086400823004990021900238',
  '00c800802084012640086400823004990021900200b2002008e0',
].map((hex) => Buffer.from(hex, 'hex'));

/** 20 ms of CELT silence (RFC 6716), mono and stereo. */
const SILENT_OPUS = [Buffer.from('f8fffe', 'hex'), Buffer.from('fcfffe', 'hex')];

interface SilentFrame {
  readonly data: Uint8Array;
  readonly seconds: number;
}

/** A frame of silence in the track's own coding; undefined where none is known. */
export function silentFrame({ codec, codecString, audio }: CodecConfig): SilentFrame | undefined {
  if (!audio) return undefined;
  const frames = codec === 'opus' ? SILENT_OPUS : codecString === 'mp4a.40.2' ? SILENT_AAC : [];
  const data = frames[audio.channels - 1];
  const seconds = codec === 'opus' ? 0.02 : (audio.frameSamples ?? 1024) / audio.sampleRate;
  return data && { data, seconds };
}

/**
 * The packets with silence in every gap of a quarter of a second or more between `from` and `to` (seconds, the packets' clock; infinite: not filled on that side), as long as
 * that is some 15 minutes at most in all. A pure function of its arguments. Codecs without a known silent frame stay as they are.
 */
export function withSilence(
  config: CodecConfig,
  packets: readonly Packet[],
  from: number,
  to: number,
): readonly Packet[] {
  const frame = silentFrame(config);
  if (frame === undefined) return packets;
  const filled: Packet[] = [];
  let end = from;
  let left = MOST_FRAMES;
  // Frames that end where the sound goes on, so that the odd bit that is left is at the gap's start.
  const close = (until: number): void => {
    const count = Math.floor((until - end) / frame.seconds + 1e-6);
    if (until - end < SHORTEST_GAP || count > left) return;
    left -= count;
    for (let n = count; n > 0; n--) {
      filled.push({ data: frame.data, pts: until - n * frame.seconds, duration: frame.seconds, key: true });
    }
  };
  for (const packet of packets) {
    close(packet.pts);
    filled.push(packet);
    end = packet.pts + (packet.duration || frame.seconds);
  }
  close(to);
  return filled.length === packets.length ? packets : filled;
}
