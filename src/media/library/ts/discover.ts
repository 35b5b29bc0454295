/** What streams a transport stream has: its programmes, and the first and last packets of each stream. */
import type { Source } from '../../../source/source.ts';
import { AudioFramer, type FrameHeader, parserFor } from './audio-frames.ts';
import { type Framing, TS_PACKET_SIZE, walkPackets } from './framing.ts';
import { type Pes, PesAssembler, TICKS, unwrap } from './pes.ts';
import { type ProgramMap, parsePat, parsePmt, SectionCollector } from './psi.ts';
import type { StreamEntry, StreamFile } from './stream-file.ts';
import { isBluRay, languageOf, streamKind } from './stream-types.ts';
import { Timeline } from './timeline.ts';
import { accessKind } from './video-access.ts';

/** Read of a source to find its streams, bytes at most. */
const HEAD_LIMIT = 24 * 1024 * 1024;
const HEAD_CHUNK = 2 * 1024 * 1024;
/** A stream that shows nothing this far past the first video or audio packet is taken as silent at the start, bytes. */
const PATIENCE = 6 * 1024 * 1024;
const TAIL_LIMIT = 16 * 1024 * 1024;
const MAX_SECTION_PIDS = 64;
const MAX_STREAMS = 64;

export interface ProgramInfo {
  readonly streams: readonly StreamEntry[];
  /** PIDs whose packets are scrambled. */
  readonly scrambled: ReadonlySet<number>;
}

interface Survey {
  readonly maps: Map<number, ProgramMap>;
  programs: Map<number, number> | undefined;
  readonly media: Set<number>;
  readonly scrambled: Set<number>;
}

function surveyPacket(survey: Survey, collectors: Map<number, SectionCollector>, bytes: Uint8Array, at: number): void {
  const pid = ((bytes[at + 1]! & 0x1f) << 8) | bytes[at + 2]!;
  const control = bytes[at + 3]!;
  if (pid === 0x1fff || bytes[at + 1]! & 0x80 || !(control & 0x10)) return;
  if (control & 0xc0) {
    survey.scrambled.add(pid);
    return;
  }
  const start = at + 4 + (control & 0x20 ? 1 + bytes[at + 4]! : 0);
  if (start + 3 > at + TS_PACKET_SIZE) return;
  const unitStart = (bytes[at + 1]! & 0x40) !== 0;
  if (unitStart && bytes[start] === 0 && bytes[start + 1] === 0 && bytes[start + 2] === 1) {
    survey.media.add(pid);
    return;
  }
  let collector = collectors.get(pid);
  if (!collector) {
    if (!unitStart || survey.media.has(pid) || collectors.size >= MAX_SECTION_PIDS) return;
    collector = new SectionCollector((section) => {
      if (pid === 0) survey.programs ??= parsePat(section);
      else if (!survey.maps.has(pid)) {
        const map = parsePmt(section);
        if (map) survey.maps.set(pid, map);
      }
    });
    collectors.set(pid, collector);
  }
  collector.push(bytes.subarray(start, at + TS_PACKET_SIZE), unitStart);
}

/** The maps that count, in the order of the PAT; all of them where there is no PAT or it leads nowhere. */
function orderedMaps(survey: Survey): ProgramMap[] {
  const listed = [...(survey.programs?.values() ?? [])].flatMap((pid) => survey.maps.get(pid) ?? []);
  if (listed.length > 0) return listed;
  return [...survey.maps.values()].sort((a, b) => a.programNumber - b.programNumber);
}

function entriesOf(map: ProgramMap): StreamEntry[] {
  const bluRay = isBluRay(map.descriptors);
  const entries: StreamEntry[] = [];
  for (const stream of map.streams.slice(0, MAX_STREAMS)) {
    const kind = streamKind(stream, bluRay);
    if (!kind || entries.some((e) => e.pid === stream.pid)) continue;
    const language = languageOf(stream.descriptors);
    entries.push({ pid: stream.pid, kind, ...(language === undefined ? {} : { language }) });
  }
  return entries;
}

/** The first programme whose video is in the file, else the first with anything in it; undefined when there is no programme map. */
function chooseProgram(survey: Survey): StreamEntry[] | undefined {
  const programs = orderedMaps(survey).map(entriesOf);
  const present = (e: StreamEntry): boolean => survey.media.has(e.pid);
  return (
    programs.find((p) => p.some((e) => e.kind.type === 'video' && present(e))) ??
    programs.find((p) => p.some(present)) ??
    programs[0]
  );
}

/** Undefined when the head of the source has no programme map with a video, audio or subtitle stream. */
export async function readProgram(
  source: Source,
  framing: Framing,
  signal: AbortSignal,
): Promise<ProgramInfo | undefined> {
  const survey: Survey = { maps: new Map(), programs: undefined, media: new Set(), scrambled: new Set() };
  const collectors = new Map<number, SectionCollector>();
  await walkPackets({
    source,
    framing,
    from: framing.first,
    to: HEAD_LIMIT,
    chunk: HEAD_CHUNK,
    signal,
    visit: (bytes, at) => {
      surveyPacket(survey, collectors, bytes, at);
      return false;
    },
    // A chunk that holds a map and the video it names is enough.
    pause: () => chooseProgram(survey)?.some((e) => e.kind.type !== 'subtitle' && survey.media.has(e.pid)) ?? false,
  });
  const streams = chooseProgram(survey);
  if (!streams || streams.length === 0) return undefined;
  return { streams, scrambled: survey.scrambled };
}

/** What the start of the source shows of one stream. Ticks are raw until `reference` is known, so all are unwrapped around it. */
export interface StreamHead {
  readonly entry: StreamEntry;
  /** First PES packet with a time. */
  first?: Pes;
  /** Audio: the first whole frame and what its header says. */
  frame?: Uint8Array;
  header?: FrameHeader;
  /** Audio: ticks of that frame. */
  frameTicks?: number;
  /** Video: position and bytes of the first key frame that holds its parameter sets. */
  key?: { readonly position: number; readonly data: Uint8Array };
  /** Video: presentation times of the frames from `key` on, decode order. */
  readonly ticks: number[];
  readonly decodeTicks: number[];
  framer?: AudioFramer;
}

/** Frames of video that are looked at for the start time and the frame rate. */
const VIDEO_FRAMES = 40;

function isComplete(head: StreamHead): boolean {
  if (head.entry.kind.type === 'subtitle') return true;
  if (head.entry.kind.type === 'video') return head.ticks.length >= VIDEO_FRAMES;
  return parserFor(head.entry.kind.codec) ? head.frame !== undefined : head.first !== undefined;
}

function takeVideo(head: StreamHead, pes: Pes, reference: number, usable: (data: Uint8Array) => boolean): void {
  if (pes.pts === undefined || isComplete(head)) return;
  if (!head.key) {
    if (accessKind(head.entry.kind.codec, pes.data, pes.randomAccess) !== 'key' || !usable(pes.data)) return;
    head.key = { position: pes.position, data: pes.data };
  }
  const ticks = unwrap(pes.pts, reference);
  head.ticks.push(ticks);
  head.decodeTicks.push(Math.min(ticks, unwrap(pes.dts ?? pes.pts, reference)));
}

function takeAudio(head: StreamHead, pes: Pes, reference: number): void {
  const parse = parserFor(head.entry.kind.codec);
  if (!parse || head.frame) return;
  // So early in the file no jump has passed, whichever stream the clock will be.
  head.framer ??= new AudioFramer(parse, new Timeline(reference, pes.pid), (frame) => {
    if (head.frame) return;
    head.frame = frame.data;
    head.frameTicks = frame.ticks;
    const header = parse(frame.data, 0);
    if (header) head.header = header;
  });
  head.framer.push(pes);
}

/**
 * Reads from the start until each stream has shown what a track needs, or has kept silent for too long.
 * @param usable does this key frame hold the parameter sets of its codec?
 */
export async function readHeads(
  source: Source,
  framing: Framing,
  program: ProgramInfo,
  usable: (codec: string, data: Uint8Array) => boolean,
  signal: AbortSignal,
): Promise<{ heads: readonly StreamHead[]; reference: number | undefined }> {
  const heads: StreamHead[] = program.streams.map((entry) => ({ entry, ticks: [], decodeTicks: [] }));
  const byPid = new Map(heads.map((h) => [h.entry.pid, h]));
  let reference: number | undefined;
  let firstPosition = 0;
  const assembler = new PesAssembler(byPid.keys(), (pes) => {
    const head = byPid.get(pes.pid)!;
    if (pes.pts === undefined) return;
    if (reference === undefined) {
      reference = pes.pts;
      firstPosition = pes.position;
    }
    head.first ??= pes;
    if (head.entry.kind.type === 'video') takeVideo(head, pes, reference, (d) => usable(head.entry.kind.codec, d));
    else if (head.entry.kind.type === 'audio') takeAudio(head, pes, reference);
  });
  const done = (position: number): boolean =>
    heads.every((h) => isComplete(h) || (reference !== undefined && !h.first && position - firstPosition > PATIENCE));
  let limit = HEAD_LIMIT;
  let count = 0;
  await walkPackets({
    source,
    framing,
    from: framing.first,
    to: source.size,
    chunk: HEAD_CHUNK,
    signal,
    visit: (bytes, at, position) => {
      assembler.packet(bytes, at, position);
      return position > limit || ((++count & 0xff) === 0 && done(position));
    },
    pause: (position) => {
      if (reference === undefined) limit = Math.max(limit, Math.min(position + HEAD_CHUNK, 2 * HEAD_LIMIT));
      return done(position);
    },
  });
  assembler.flush();
  for (const head of heads) head.framer?.flush();
  return { heads, reference };
}

/**
 * Presentation end of each stream, unwrapped ticks, from the last packets of the source. Streams that end long before are absent.
 * @param frame duration of a video frame in ticks.
 */
export async function readEnds(
  file: StreamFile,
  entries: readonly StreamEntry[],
  frame: number,
  signal: AbortSignal,
): Promise<Map<number, number>> {
  const wanted = entries.filter((e) => e.kind.type !== 'subtitle');
  const ends = new Map<number, number>();
  const note = (pid: number, ticks: number): void => {
    if (ticks > (ends.get(pid) ?? Number.NEGATIVE_INFINITY)) ends.set(pid, ticks);
  };
  for (let size = 1024 * 1024; ; size *= 4) {
    const framers = new Map<number, AudioFramer>();
    for (const { pid, kind } of wanted) {
      const parse = parserFor(kind.codec);
      if (parse) {
        const take = new AudioFramer(parse, file.timeline, (f) => note(pid, f.ticks + f.duration * TICKS));
        framers.set(pid, take);
      }
    }
    const from = Math.max(file.framing.first, file.source.size - size);
    const firsts = new Set<number>();
    await file.walk({
      from,
      to: file.source.size,
      signal,
      pids: wanted.map((e) => e.pid),
      chunk: size,
      flush: true,
      onPes: (pes) => {
        const timed = file.timed(pes);
        if (timed && !firsts.has(pes.pid)) {
          firsts.add(pes.pid);
          file.clock(pes.pid).add(timed.position, timed.decodeTicks);
        }
        const framer = framers.get(pes.pid);
        if (framer) framer.push(pes);
        else if (timed) note(pes.pid, timed.ticks + (pes.pid === file.clockPid ? frame : 0));
        return false;
      },
    });
    for (const framer of framers.values()) framer.flush();
    if (wanted.every((e) => ends.has(e.pid)) || from <= file.framing.first || size * 4 > TAIL_LIMIT) return ends;
  }
}
