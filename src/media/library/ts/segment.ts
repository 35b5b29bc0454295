/**
 * All packets of a short transport stream that is held in memory: a segment of a playlist. Unlike the reader, it keeps what comes before the first key
 * frame, which belongs to the group of the segment before.
 */
import type { Source } from '../../../source/source.ts';
import { annexBToLengthPrefixed, stripAdts } from '../../codecs/codecs.ts';
import type { Packet } from '../../types.ts';
import { AudioFramer, parserFor } from './audio-frames.ts';
import { readProgram } from './discover.ts';
import { detectFraming, TS_PACKET_SIZE, walkPackets } from './framing.ts';
import { type Pes, PesAssembler, TICKS } from './pes.ts';
import type { StreamEntry } from './stream-file.ts';
import { Timeline } from './timeline.ts';
import { accessKind } from './video-access.ts';

export interface TransportStreamPart {
  readonly type: 'video' | 'audio';
  /** As the frames show it, where they do. */
  readonly codec: string;
  /** In decode order; seconds on the stream's clock, unwrapped around the first time in these bytes. */
  readonly packets: readonly Packet[];
}

/** Bytes that are looked at to recognise it. */
const PROBE = 64 * 1024;
const STEP = 1024 * 1024;
/** Seconds; a longer step of the decode times is a jump and no duration. */
const LONGEST_FRAME = 10;

/** One stream under way. */
interface Collector {
  readonly take: (pes: Pes, timeline: Timeline) => void;
  readonly finish: () => TransportStreamPart;
}

/**
 * @returns undefined when it is no transport stream, or has no programme map.
 * @throws the signal's reason.
 */
export async function readWhole(source: Source, signal: AbortSignal): Promise<TransportStreamPart[] | undefined> {
  const framing = detectFraming(await source.read(0, PROBE, signal));
  const program = framing && (await readProgram(source, framing, signal));
  if (!framing || !program) return undefined;
  const collectors = new Map<number, Collector>();
  for (const entry of program.streams) {
    if (entry.kind.type === 'video') collectors.set(entry.pid, videoCollector(entry));
    else if (entry.kind.type === 'audio') collectors.set(entry.pid, audioCollector(entry));
  }
  let timeline: Timeline | undefined;
  const assembler = new PesAssembler(collectors.keys(), (pes) => {
    if (pes.pts !== undefined) timeline ??= new Timeline(pes.dts ?? pes.pts, pes.pid);
    if (timeline) collectors.get(pes.pid)?.take(pes, timeline);
  });
  await walkPackets({
    source,
    framing,
    from: framing.first,
    to: source.size,
    chunk: STEP - (STEP % TS_PACKET_SIZE),
    signal,
    visit: (bytes, at, position) => {
      assembler.packet(bytes, at, position);
      return false;
    },
  });
  assembler.flush();
  return [...collectors.values()].map(({ finish }) => finish());
}

function videoCollector({ kind: { codec } }: StreamEntry): Collector {
  const units: { parts: Uint8Array[]; pts: number; dts: number; randomAccess: boolean }[] = [];
  const isNal = codec === 'h264' || codec === 'hevc';
  return {
    take(pes, timeline) {
      if (pes.pts === undefined) {
        units.at(-1)?.parts.push(pes.data);
        return;
      }
      const pts = timeline.ticks(pes.pts, pes);
      const dts = Math.min(pts, timeline.ticks(pes.dts ?? pes.pts, pes));
      units.push({ parts: [pes.data], pts, dts, randomAccess: pes.randomAccess });
    },
    finish() {
      const steps = units.slice(1).map(({ dts }, i) => (dts - units[i]!.dts) / TICKS);
      const usual = steps.toSorted((a, b) => a - b)[steps.length >> 1] ?? 0;
      const packets: Packet[] = [];
      for (const [i, { parts, pts, randomAccess }] of units.entries()) {
        const unit = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
        const data = isNal ? annexBToLengthPrefixed(unit) : unit;
        if (data.length === 0) continue;
        const step = steps[i] ?? usual;
        const duration = step > 0 && step < LONGEST_FRAME ? step : Math.max(0, usual);
        packets.push({ data, pts: pts / TICKS, duration, key: accessKind(codec, unit, randomAccess) === 'key' });
      }
      return { type: 'video', codec, packets };
    },
  };
}

function audioCollector({ kind }: StreamEntry): Collector {
  const packets: Packet[] = [];
  const parse = parserFor(kind.codec);
  let codec = kind.codec;
  let framer: AudioFramer | undefined;
  const add = (data: Uint8Array, ticks: number, duration: number): void => {
    packets.push({ data, pts: ticks / TICKS, duration, key: true });
  };
  return {
    take(pes, timeline) {
      if (!parse) {
        if (pes.pts !== undefined) add(pes.data, timeline.ticks(pes.pts, pes), 0);
        return;
      }
      framer ??= new AudioFramer(parse, timeline, ({ data, ticks, duration }) => {
        codec = parse(data, 0)?.codec ?? codec;
        add(codec === 'aac' ? stripAdts(data) : data, ticks, duration);
      });
      framer.push(pes);
    },
    finish() {
      framer?.flush();
      return { type: 'audio', codec, packets };
    },
  };
}
