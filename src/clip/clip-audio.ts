/**
 * The sound of a clip: AAC packets as they are, or AAC that FFmpeg makes of anything else. Either begins some samples early, which a decoder needs; the edit list
 * leaves them out.
 */
import { AppError } from '../errors.ts';
import { adtsFrames } from '../ffmpeg/adts-frames.ts';
import { audioArguments } from '../ffmpeg/arguments.ts';
import { AUDIO_RATE } from '../ffmpeg/sound.ts';
import { transcode } from '../ffmpeg/transcoder.ts';
import { type CopiedTrack, isCopied } from '../media/fmp4/init-segment.ts';
import type { Packet } from '../media/types.ts';
import { audioSpan, directInput } from '../presentation/direct.ts';
import { clusters } from '../presentation/feed.ts';
import { aacTrack } from '../presentation/transcoded-audio.ts';
import { isReadable } from '../presentation/transcoding.ts';
import { audioBatches, type Stretch, type TrackSource } from './source-packets.ts';

/** Packets of AAC before the first that is heard: one for its overlap, one for the filters of HE-AAC. */
const PREROLL_PACKETS = 2;
/** Packets of the source before the first that is heard, seconds: what its decoder settles in. */
const PREROLL_SECONDS = 0.2;
const CHANNELS = 2;
const BIT_RATE = 160_000;
const FRAME = 1024;
/** Frames of the encoder in one batch. */
const BATCH_FRAMES = 24;
const GRACE_MS = 100;

export interface AudioMaterial extends TrackSource, Stretch {
  readonly ffmpeg: string | undefined;
}

export interface ClipAudio {
  readonly method: 'copied' | 'encoded';
  readonly track: CopiedTrack;
  /** Packets on the presentation's clock, in order. Their memory is valid until the next batch is asked for. */
  readonly batches: AsyncGenerator<readonly Packet[], void>;
}

/** @throws AppError `media-not-playable`, `ffmpeg-missing`. */
export function clipAudio(material: AudioMaterial, signal: AbortSignal): ClipAudio {
  const { track, direct } = material;
  // AAC LC, HE-AAC and HE-AAC v2: what every player of MP4 knows.
  if (!direct && isCopied(track) && /^mp4a\.40\.(2|5|29)$/.test(track.config.codecString))
    return { method: 'copied', track, batches: copied(material, track, signal) };
  if (!isReadable(material, track))
    throw new AppError('media-not-playable', `The audio (${track.codec}) cannot be decoded: there is no clip of it.`);
  if (material.ffmpeg === undefined)
    throw new AppError('ffmpeg-missing', `The audio (${track.codec}) must be encoded for a clip, which needs FFmpeg.`);
  return {
    method: 'encoded',
    track: aacTrack(track, CHANNELS),
    batches: encoded(material, material.ffmpeg, signal),
  };
}

async function* copied(
  material: AudioMaterial,
  track: CopiedTrack,
  signal: AbortSignal,
): AsyncGenerator<readonly Packet[], void> {
  const { opened, from, to } = material;
  const { sampleRate = AUDIO_RATE, frameSamples = FRAME } = track.config.audio ?? {};
  const early = from - (PREROLL_PACKETS * frameSamples) / sampleRate;
  const { startTime } = opened.info;
  for await (const batch of audioBatches(material, { from: early, to }, signal)) {
    using held = batch;
    yield held.packets.map((packet) => ({ ...packet, pts: packet.pts - startTime }));
  }
}

/** The first frame that the encoder gives holds the 1,024 samples before `from`: its priming. */
async function* encoded(
  material: AudioMaterial,
  ffmpeg: string,
  signal: AbortSignal,
): AsyncGenerator<readonly Packet[], void> {
  const { opened, track, direct, from, to } = material;
  const firstSample = Math.round(from * AUDIO_RATE);
  const batches = audioBatches(material, { from: from - PREROLL_SECONDS, to }, signal);
  using loan = direct?.loopback.lend();
  const input = loan ?? clusters(track, opened.info.startTime, batches);
  const mix = { from: track.audio?.channels ?? 0, to: CHANNELS };
  const args = audioArguments({
    ...(direct && loan
      ? { direct: directInput(direct, loan, { info: opened.info, track, span: audioSpan(from) }) }
      : {}),
    firstSample,
    mix,
    gain: undefined,
    bitRate: BIT_RATE,
  });
  let sample = firstSample - FRAME;
  let packets: Packet[] = [];
  const output = transcode({ ffmpeg, args, input, signal, graceMs: GRACE_MS, background: true });
  for await (const data of adtsFrames(output)) {
    const pts = sample / AUDIO_RATE;
    if (pts >= to) break;
    packets.push({ data, pts, duration: FRAME / AUDIO_RATE, key: true });
    sample += FRAME;
    if (packets.length < BATCH_FRAMES) continue;
    yield packets;
    packets = [];
  }
  if (packets.length > 0) yield packets;
}
