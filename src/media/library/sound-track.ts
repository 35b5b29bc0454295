/** One audio track of a file that mediabunny reads. */
import type { EncodedPacket, EncodedPacketSink, InputTrack } from 'mediabunny';
import { describeCodec, packetDuration } from '../codecs/codecs.ts';
import type { Cut, Packet, Track } from '../types.ts';
import type { BunnyInput, Mediabunny } from './bunny-source.ts';

/** Packets before time 0 (Opus pre-skip is below 1.4 s; the shortest packets last 2.5 ms). */
const MAX_LEAD = 600;
/** Packets between two turns of the event loop. */
const BURST = 512;

/** mediabunny's names that are not FFmpeg's. */
function codecName(name: string | null): string {
  if (name === null) return 'unknown';
  if (name === 'ulaw') return 'pcm_mulaw';
  if (name === 'alaw') return 'pcm_alaw';
  if (!name.startsWith('pcm-')) return name;
  const format = name.slice(4);
  return `pcm_${format === 'u8' || format === 's8' || format.endsWith('be') ? format : `${format}le`}`;
}

function descriptionBytes(description: AllowSharedBufferSource | undefined): Uint8Array | undefined {
  if (description === undefined) return undefined;
  if (ArrayBuffer.isView(description)) {
    return new Uint8Array(description.buffer, description.byteOffset, description.byteLength);
  }
  return new Uint8Array(description);
}

export interface SoundTrack {
  readonly track: Track;
  /** Packets of a cut, by presentation time. */
  packets(cut: Cut, signal: AbortSignal): Promise<Packet[]>;
}

class BunnyTrack implements SoundTrack {
  readonly track: Track;
  readonly #input: BunnyInput;
  /** Absent when the track has no packets. */
  readonly #sink: EncodedPacketSink | undefined;
  /** Presentation times of the packets that the library lays on 0 because their sound is (partly) dropped. */
  readonly #lead: readonly number[];

  constructor(input: BunnyInput, sink: EncodedPacketSink | undefined, track: Track, lead: readonly number[]) {
    this.#input = input;
    this.#sink = sink;
    this.track = track;
    this.#lead = lead;
  }

  async packets(cut: Cut, signal: AbortSignal): Promise<Packet[]> {
    const packets: Packet[] = [];
    const sink = this.#sink;
    if (!sink) return packets;
    const work = async (): Promise<void> => {
      // The first packets have times of their own, so whoever wants one of them counts from the first.
      let position = 0;
      let packet = cut.from <= 0 ? null : await sink.getPacket(cut.from);
      if (!packet || packet.timestamp <= 0) packet = await sink.getFirstPacket();
      else position = Number.POSITIVE_INFINITY;
      for (let count = 1; packet; count++) {
        signal.throwIfAborted();
        const pts = this.#lead[position] ?? packet.timestamp;
        if (pts >= cut.to) return;
        if (pts >= cut.from) packets.push(this.#packet(packet, pts));
        packet = await sink.getNextPacket(packet);
        position++;
        if (count % BURST === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await this.#input.wait(work, signal);
    return packets;
  }

  #packet(packet: EncodedPacket, pts: number): Packet {
    const { config } = this.track;
    const duration = (config && packetDuration(config, packet.data)) ?? packet.duration;
    return { data: packet.data, pts, duration, key: true };
  }
}

/** Times of the leading packets that lie before 0, counted back from the first one that does not; empty where there are none. */
async function leadTimes(
  sink: EncodedPacketSink,
  duration: (packet: EncodedPacket) => number | undefined,
): Promise<number[]> {
  const durations: number[] = [];
  let packet = await sink.getFirstPacket();
  let end = 0;
  while (packet && packet.timestamp === 0 && durations.length < MAX_LEAD) {
    const full = duration(packet);
    if (full === undefined || full <= packet.duration + 1e-9) break;
    durations.push(full);
    end = packet.duration;
    packet = await sink.getNextPacket(packet);
  }
  const times: number[] = [];
  let time = packet?.timestamp ?? end;
  for (const step of durations.reverse()) {
    time -= step;
    times.push(time);
  }
  return times.reverse();
}

/** The tracks of an input, in file order; opening only. */
export async function openSoundTrack(
  bunny: Mediabunny,
  input: BunnyInput,
  source: InputTrack,
  index: number,
): Promise<SoundTrack | undefined> {
  if (!source.isAudioTrack()) return undefined;
  const sink = new bunny.EncodedPacketSink(source);
  const codec = codecName(await source.getCodec());
  const decoder = await source.getDecoderConfig();
  const first = await sink.getFirstPacket();
  const sampleRate = await source.getSampleRate();
  const channels = await source.getNumberOfChannels();
  const privateData = descriptionBytes(decoder?.description);
  const described = describeCodec({
    codec,
    ...(privateData === undefined ? {} : { privateData }),
    ...(first === null ? {} : { firstPacket: first.data }),
    sampleRate,
    channels,
  });
  const config = 'config' in described ? described.config : undefined;
  const lead = config?.codec === 'opus' ? await leadTimes(sink, (p) => packetDuration(config, p.data)) : [];
  // Without a first packet, or with a rate of 0, the library's search by time never ends (FLAC, 1.61): there is nothing to search.
  const readable = first !== null && sampleRate > 0;
  const end = (await source.getDurationFromMetadata()) ?? (readable ? await source.computeDuration() : 0);
  const language = await source.getLanguageCode();
  const title = await source.getName();
  const startTime = first?.timestamp ?? 0;
  const track: Track = {
    id: source.id,
    type: 'audio',
    index,
    codec,
    ...described,
    ...(language === 'und' ? {} : { language }),
    ...(title === null ? {} : { title }),
    isDefault: index === 0,
    isForced: false,
    startTime,
    endTime: Number.isFinite(end) ? Math.max(startTime, end) : startTime,
    audio: { sampleRate, channels },
    ...(config === undefined && privateData !== undefined && { codecPrivate: privateData.slice() }),
  };
  return new BunnyTrack(input, readable ? sink : undefined, track, lead);
}
