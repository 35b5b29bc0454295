/**
 * The pictures of a clip. A smart cut copies whole packets from the first IDR picture of the clip on, and encodes what comes before it and what remains behind the last
 * packet that can be copied (docs/decisions/0019).
 *
 * Invariant: batches come in decode order, their pictures are those of the source with `from` <= time < `to`, each once, and no batch needs a later one
 * to be decoded. Their memory is valid until the next one is asked for.
 */
import { AppError } from '../errors.ts';
import { CLIP_TIMESCALE, type ClipVideoJob, clipVideoArguments } from '../ffmpeg/clip-arguments.ts';
import { fragments } from '../ffmpeg/fragments.ts';
import { type TranscodeOptions, transcode } from '../ffmpeg/transcoder.ts';
import { type AvcSplice, avcSplice, bringsParameterSet, isIdr, splicedConfig } from '../media/codecs/avc-splice.ts';
import { describeCodec } from '../media/codecs/codecs.ts';
import { avcRecordOf, packetsOfFragment } from '../media/fmp4/fragment-packets.ts';
import { type CopiedTrack, isCopied } from '../media/fmp4/init-segment.ts';
import type { CodecConfig, Packet } from '../media/types.ts';
import { type Direct, directInput, lateness, PREROLLS, resumed } from '../presentation/direct.ts';
import { clusters } from '../presentation/feed.ts';
import { encodedPicture } from './encoded-picture.ts';
import { groupsOf } from './groups.ts';
import { type Stretch, type TrackSource, videoBatches } from './source-packets.ts';

/** Constant rate factor of pictures between copied ones: hardly to be told from them. */
const EDGE_QUALITY = 18;
/** That of the predecessor. */
const QUALITY = 23;
/** Behind the clip's beginning, an IDR picture from which to copy is looked for so far, seconds. */
const SEARCH_SECONDS = 30;
/** ISO/IEC 23091-2: what pictures that are encoded anew become. */
const BT709 = { primaries: 1, transfer: 1, matrix: 1, fullRange: false };
/** Players find their way into copied pictures at IDR pictures: these may be so far apart, seconds. */
const IDR_SECONDS = 30;
/** Between the times of two pictures there is more than this, seconds. */
const TICK = 0.0005;
const GRACE_MS = 100;

/** What a clip's pictures are made from. */
export interface VideoMaterial extends TrackSource, Stretch {
  /** Undefined where there is no FFmpeg that can encode video; then asked for its error. */
  readonly ffmpeg: string | undefined;
  readonly filters: ReadonlySet<string>;
}

/** Packets with presentation times on the presentation's clock. */
type Batches = AsyncGenerator<readonly Packet[], void>;

export interface ClipVideo {
  readonly method: 'smart' | 'encoded';
  readonly batches: Batches;
  /** Of all that was given; after the last batch. */
  describe(): CopiedTrack;
}

/**
 * Nobody could play or search what was being copied: its packets bring parameter sets that would replace those of the encoder, or it has no IDR pictures. Only a
 * whole re-encode does.
 */
export class SpliceConflict extends Error {}

/** What to encode with; complete but for the times. */
type Encoder = Omit<ClipVideoJob, 'from' | 'to' | 'filters'> & {
  readonly filters: (from: number) => readonly string[];
};

/** A smart cut; undefined where the video cannot be copied, or has no picture within reach from which copying could begin. */
export async function smartVideo(material: VideoMaterial, signal: AbortSignal): Promise<ClipVideo | undefined> {
  const { track } = material;
  const splice = isCopied(track) && !material.direct ? avcSplice(track.config) : undefined;
  if (!isCopied(track) || !splice) return undefined;
  const groups = sourceGroups(material, signal);
  const start = await copyStart(groups, material).catch(async (error: unknown) => {
    await groups.return();
    throw error;
  });
  if (start === undefined) return undefined;
  const edges = new EncodedVideo(material, edgeEncoder(track.config, splice), signal);
  return {
    method: 'smart',
    batches: smartBatches({ groups, ...start, edges, splice, material }),
    describe: () => ({
      ...track,
      config: edges.record ? splicedConfig(track.config, edges.record) : track.config,
    }),
  };
}

/** All pictures anew. @throws AppError `media-not-playable`, `ffmpeg-missing`. */
export function encodedVideo(material: VideoMaterial, signal: AbortSignal): ClipVideo {
  const { track } = material;
  const picture = encodedPicture(track, material);
  const { filters, decoderOptions, level } = picture;
  const encoder: Encoder = {
    filters,
    decoderOptions,
    level,
    profile: 'main',
    quality: QUALITY,
    parameterSetId: 0,
    colour: BT709,
  };
  const video = new EncodedVideo(material, encoder, signal);
  return {
    method: 'encoded',
    batches: video.range(material.from, material.to),
    describe: () => {
      const described = describeCodec({ codec: 'h264', privateData: video.record as Uint8Array });
      if (!('config' in described)) throw new AppError('transcode-failed', `FFmpeg: ${described.notCopied}.`);
      return { ...track, codec: 'h264', config: described.config, video: picture.video };
    },
  };
}

function edgeEncoder(config: CodecConfig, { profile, level, id, width, height }: AvcSplice): Encoder {
  const colour = config.video?.colour;
  // yuvj420p: full range, as older versions call it.
  const format = colour?.fullRange ? 'yuvj420p' : 'yuv420p';
  const filters = (from: number): string[] => [
    `trim=start=${from.toFixed(6)}`,
    `scale=${width}:${height}`,
    `format=${format}`,
  ];
  const common = { filters, decoderOptions: [], profile, level, quality: EDGE_QUALITY, parameterSetId: id };
  return colour ? { ...common, colour } : common;
}

/** Encodes stretches of the clip, all with the same parameter sets. */
class EncodedVideo {
  readonly #material: VideoMaterial;
  readonly #encoder: Encoder;
  readonly #signal: AbortSignal;
  /** AVCDecoderConfigurationRecord of what was encoded; undefined when nothing was. */
  record: Uint8Array | undefined;

  constructor(material: VideoMaterial, encoder: Encoder, signal: AbortSignal) {
    this.#material = material;
    this.#encoder = encoder;
    this.#signal = signal;
  }

  async *range(from: number, to: number): Batches {
    const { opened, track, direct, ffmpeg } = this.#material;
    const signal = this.#signal;
    if (ffmpeg === undefined)
      throw new AppError('ffmpeg-missing', 'The clip has pictures that must be encoded, which needs FFmpeg.');
    const job = { ...this.#encoder, filters: this.#encoder.filters(from), from, to };
    const options = { ffmpeg, signal, graceMs: GRACE_MS, background: true };
    if (direct) {
      yield* this.#directly(direct, job, options);
      return;
    }
    const input = clusters(track, opened.info.startTime, videoBatches(this.#material, { from, to }, signal));
    yield* this.#packets(transcode({ ...options, args: clipVideoArguments(job), input }));
  }

  /** As for segments: FFmpeg begins to read some time before, and longer before where that was too late. */
  async *#directly(direct: Direct, job: ClipVideoJob, options: Omit<TranscodeOptions, 'args' | 'input'>): Batches {
    const { opened, track } = this.#material;
    const late = job.from + lateness(track);
    for (const preroll of PREROLLS) {
      const span = { seek: job.from - preroll, end: job.to };
      using loan = direct.loopback.lend();
      const input = directInput(direct, loan, { info: opened.info, track, span });
      const output = transcode({ ...options, args: clipVideoArguments({ ...job, direct: input }), input: loan });
      const head = await output.next();
      let begun = false;
      // Without a picture there may be no initialization segment either.
      for await (const packets of head.done ? [] : this.#packets(resumed(head.value, output))) {
        if (!begun && span.seek > 0 && (packets[0]?.pts ?? 0) > late) break;
        begun = true;
        yield packets;
      }
      if (begun || span.seek <= 0) return;
    }
  }

  async *#packets(output: AsyncIterable<Uint8Array>): Batches {
    for await (const part of fragments(output)) {
      if (!('init' in part)) {
        yield packetsOfFragment(part.bytes, CLIP_TIMESCALE);
        continue;
      }
      const record = avcRecordOf(part.init);
      if (this.record && !Buffer.from(this.record).equals(record))
        throw new AppError('transcode-failed', 'FFmpeg described two parts of one clip differently.');
      this.record = record;
    }
  }
}

/** Groups of pictures, on the presentation's clock. */
type Groups = AsyncGenerator<readonly Packet[], void>;

function sourceGroups(material: VideoMaterial, signal: AbortSignal): Groups {
  return groupsOf(videoBatches(material, material, signal), material.opened.info.startTime);
}

interface CopyStart {
  /** It begins with an IDR picture. */
  readonly group: readonly Packet[];
  /** Whether pictures of the clip come before it. */
  readonly head: boolean;
}

/** The first group of the clip that can be copied. */
async function copyStart(groups: Groups, { from, to }: VideoMaterial): Promise<CopyStart | undefined> {
  let head = false;
  for (;;) {
    const { value: group, done } = await groups.next();
    const first = done ? undefined : group[0];
    if (!group || !first || first.pts >= to || first.pts > from + SEARCH_SECONDS) break;
    if (first.pts >= from && isIdr(first.data)) return { group, head };
    head ||= group.some(({ pts }) => pts >= from);
  }
  await groups.return();
  return undefined;
}

async function* smartBatches(parts: {
  readonly groups: Groups;
  readonly group: readonly Packet[];
  readonly head: boolean;
  readonly edges: EncodedVideo;
  readonly splice: AvcSplice;
  readonly material: VideoMaterial;
}): Batches {
  const { groups, edges, material } = parts;
  const { to } = material;
  try {
    if (parts.head) yield* edges.range(material.from, (parts.group[0] as Packet).pts - TICK);
    let copied = Number.NEGATIVE_INFINITY;
    let idr = 0;
    let next: readonly Packet[] | undefined = parts.group;
    for (; next; next = (await groups.next()).value ?? undefined) {
      const group = withIdrKeys(next);
      const first = group[0] as Packet;
      if (first.key) idr = first.pts;
      else if (first.pts > idr + IDR_SECONDS) throw new SpliceConflict();
      if (bringsParameterSet(first.data, parts.splice.id)) throw new SpliceConflict();
      const whole = group.every(({ pts }) => pts < to);
      const taken = whole ? group : cleanPrefix(group, to);
      if (taken.length > 0) yield taken;
      copied = Math.max(copied, ...lastTimes(taken));
      if (whole) continue;
      if (group.some(({ pts }) => pts > copied && pts < to)) yield* edges.range(copied + TICK, to);
      return;
    }
  } finally {
    await groups.return();
  }
}

/**
 * A group whose key frame is one only where it is an IDR picture, as ISO/IEC 14496-15 wants of sync samples. Chromium fails on the leading pictures of an
 * open group when it seeks to one.
 */
function withIdrKeys(group: readonly Packet[]): readonly Packet[] {
  const [first, ...others] = group;
  return !first?.key || isIdr(first.data) ? group : [{ ...first, key: false }, ...others];
}

/** The highest presentation time, in an array; empty when there are no packets. */
function lastTimes(packets: readonly Packet[]): number[] {
  return packets.length === 0 ? [] : [packets.reduce((last, { pts }) => Math.max(last, pts), Number.NEGATIVE_INFINITY)];
}

/** As many packets from the first on as are, decoded, exactly the first pictures to be shown, all before `to`. */
function cleanPrefix(group: readonly Packet[], to: number): readonly Packet[] {
  const lowestFrom = new Float64Array(group.length + 1).fill(Number.POSITIVE_INFINITY);
  for (let i = group.length - 1; i >= 0; i--)
    lowestFrom[i] = Math.min(lowestFrom[i + 1] as number, (group[i] as Packet).pts);
  let highest = Number.NEGATIVE_INFINITY;
  let length = 0;
  for (const [i, { pts }] of group.entries()) {
    highest = Math.max(highest, pts);
    if (highest >= to) break;
    if (highest < (lowestFrom[i + 1] as number)) length = i + 1;
  }
  return group.slice(0, length);
}
