/** Audio frames in a row (ADTS, MPEG audio, AC-3) that are held in memory: a packed audio segment without its tags. */
import { stripAdts } from '../../codecs/codecs.ts';
import type { Packet, Track } from '../../types.ts';
import { type AudioFrame, AudioFramer, type FrameHeader, type HeaderParser, parserFor } from './audio-frames.ts';
import { type Pes, TICKS } from './pes.ts';
import { Timeline } from './timeline.ts';
import { makeTrack } from './tracks.ts';

export interface PackedAudio {
  readonly codec: string;
  readonly packets: readonly Packet[];
  readonly track: Track;
}

const CODECS = ['aac', 'ac3', 'mp3'];

/**
 * @param start ticks of 90 kHz of the first frame.
 * @returns undefined when there are no such frames.
 */
export function readPacked(data: Uint8Array, start: number): PackedAudio | undefined {
  for (const candidate of CODECS) {
    const parse = parserFor(candidate) as HeaderParser;
    const header = parse(data, 0);
    if (!header || !follows(parse, data, header)) continue;
    const frames = framesOf(parse, data, start);
    const first = frames[0];
    if (!first) continue;
    const { codec } = header;
    const packets = frames.map((frame) => ({
      data: codec === 'aac' ? stripAdts(frame.data) : frame.data,
      pts: frame.ticks / TICKS,
      duration: frame.duration,
      key: true,
    }));
    const pes = pesOf(data, start);
    const entry = { pid: 1, kind: { type: 'audio', codec } } as const;
    const head = { entry, first: pes, frame: first.data, header, frameTicks: start, ticks: [], decodeTicks: [] };
    return { codec, packets, track: makeTrack(head, 0, false, { start }) };
  }
  return undefined;
}

/** The next frame confirms the first one, unless there is none. */
function follows(parse: HeaderParser, data: Uint8Array, { size }: FrameHeader): boolean {
  return size >= data.length || parse(data, size) !== undefined;
}

function framesOf(parse: HeaderParser, data: Uint8Array, start: number): AudioFrame[] {
  const frames: AudioFrame[] = [];
  const framer = new AudioFramer(parse, new Timeline(start, 1), (frame) => frames.push(frame));
  framer.push(pesOf(data, start));
  framer.flush();
  return frames;
}

function pesOf(data: Uint8Array, pts: number): Pes {
  return { pid: 1, position: 0, pts, dts: pts, randomAccess: true, data, damaged: false };
}
