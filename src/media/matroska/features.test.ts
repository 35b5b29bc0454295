/** Kinds of files that FFmpeg does not write, made by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import type { Cut, MediaReader, Packet } from '../types.ts';
import { ID } from './ids.ts';
import { openMatroska } from './reader.ts';
import {
  AAC_CONFIG,
  audioTrack,
  cluster,
  compression,
  deflated,
  file,
  lacedBlock,
  lacedMp3,
  MP3_HEADER,
  mp3Frame,
  simpleBlock,
} from './test-handmade.ts';
import { blockHeader, concat, describePacket, element, keyCuts, memorySource, text, uint } from './testing.ts';

const { signal } = new AbortController();
const FRAME = 1152 / 48000;
const WHOLE: Cut = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };

function open(bytes: Uint8Array, latency: 'local' | 'remote' = 'local'): Promise<MediaReader> {
  return openMatroska(memorySource(bytes, latency), signal);
}

/** Packets as plain values: their memory may go. */
async function read(reader: MediaReader, track: number, cut: Cut = WHOLE): Promise<Packet[]> {
  using batch = await reader.read(track, cut, signal);
  return batch.packets.map((packet) => ({ ...packet, data: packet.data.slice() }));
}

function videoTrack(number: number, ...more: Uint8Array[]): Uint8Array {
  const picture = element(ID.Video, uint(ID.PixelWidth, 320), uint(ID.PixelHeight, 240), ...more);
  const head = [uint(ID.TrackNumber, number), uint(ID.TrackUID, number), uint(ID.TrackType, 1)];
  return element(ID.TrackEntry, ...head, text(ID.CodecID, 'V_VP8'), picture);
}

describe('lacing', () => {
  for (const lacing of ['xiph', 'ebml', 'fixed'] as const) {
    it(`${lacing}: every frame once with its own time, wherever the cuts lie`, async () => {
      await using reader = await open(lacedMp3(lacing));
      const index = reader.keyframes ?? assert.fail('no index');
      for (const shift of [0, -0.05, 0.1]) {
        const boundary = (key: number): number => (index.times[key] ?? Number.POSITIVE_INFINITY) + shift;
        const packets: Packet[] = [];
        for (const key of index.times.keys()) {
          const from = key === 0 ? Number.NEGATIVE_INFINITY : boundary(key);
          packets.push(...(await read(reader, 1, { from, to: boundary(key + 1), fromKey: key, toKey: key + 1 })));
        }
        assert.equal(packets.length, 320);
        for (const [i, packet] of packets.entries()) {
          const n = lacing === 'fixed' ? Math.floor(i / 80) * 10 : i;
          assert.deepEqual(packet.data, mp3Frame(n));
          assert.ok(Math.abs(packet.pts - i * FRAME) < 1e-9, `${packet.pts} of frame ${i}`);
          assert.equal(packet.duration, FRAME);
        }
      }
    });
  }

  it('a lace whose sizes leave the block gives no packets', async () => {
    const frames = [mp3Frame(0), mp3Frame(1)];
    const block = lacedBlock(1, 0, frames, 'xiph');
    const at = block.length - (frames[0]?.length ?? 0) - (frames[1]?.length ?? 0) - 2;
    assert.equal(block[at], 255);
    const bytes = file({
      tracks: element(ID.Tracks, audioTrack(1, 'A_MPEG/L3')),
      clusters: [
        cluster(0, simpleBlock(1, 0, mp3Frame(0)), element(ID.SimpleBlock, blockHeader(1, 24, 0x82), [9, 255, 255])),
      ],
    });
    await using reader = await open(bytes);
    assert.equal((await read(reader, 1)).length, 1);
  });
});

describe('content encodings', () => {
  const frames = Array.from({ length: 20 }, (_, i) => mp3Frame(i));
  const made = (encodings: Uint8Array, encode: (frame: Uint8Array) => Uint8Array): Uint8Array =>
    file({
      tracks: element(ID.Tracks, audioTrack(1, 'A_MPEG/L3', encodings)),
      clusters: [cluster(0, ...frames.map((frame, i) => simpleBlock(1, i * 24, encode(frame))))],
    });

  it('header stripping and zlib are undone', async () => {
    const stripped = made(compression(MP3_HEADER), (frame) => frame.slice(MP3_HEADER.length));
    const zipped = made(compression(undefined), deflated);
    for (const bytes of [stripped, zipped]) {
      await using reader = await open(bytes);
      assert.equal(reader.info.tracks[0]?.config?.codec, 'mp3');
      assert.deepEqual(
        (await read(reader, 1)).map(({ data }) => data),
        frames,
      );
    }
  });

  it('a packet whose zlib data is damaged is left out', async () => {
    let n = 0;
    const bytes = made(compression(undefined), (frame) => (n++ === 7 ? frame : deflated(frame)));
    await using reader = await open(bytes);
    assert.deepEqual(
      (await read(reader, 1)).map(({ data }) => data),
      frames.toSpliced(7, 1),
    );
  });

  it('frames that inflate to hundreds of megabytes are refused', async () => {
    const header = frames[0]!;
    const large = new Uint8Array(16 * 2 ** 20);
    large.set(header);
    const zipped = deflated(large);
    let n = 0;
    const bytes = made(compression(undefined), (frame) => (n++ === 0 ? deflated(frame) : zipped));
    await using reader = await open(bytes);
    await assert.rejects(read(reader, 1), { code: 'media-damaged', message: /more than 64 MB in one segment/ });
  });

  it('CodecPrivate by its scope', async () => {
    const track = (scope: number, data: Uint8Array | number[]): Uint8Array =>
      file({
        tracks: element(
          ID.Tracks,
          audioTrack(1, 'A_AAC', compression(undefined, scope), element(ID.CodecPrivate, data)),
        ),
        clusters: [cluster(0, simpleBlock(1, 0, scope === 2 ? [1, 2, 3] : deflateSync(Uint8Array.of(1, 2, 3))))],
      });
    for (const bytes of [track(2, deflateSync(Uint8Array.from(AAC_CONFIG))), track(1, AAC_CONFIG)]) {
      await using reader = await open(bytes);
      assert.equal(reader.info.tracks[0]?.config?.codecString, 'mp4a.40.2');
      assert.deepEqual((await read(reader, 1))[0]?.data, Uint8Array.of(1, 2, 3));
    }
  });

  it('encrypted tracks and other compressions are told in words', async () => {
    const encrypted = element(ID.ContentEncodings, element(ID.ContentEncoding, uint(ID.ContentEncodingType, 1)));
    const bzip = element(ID.ContentCompression, uint(ID.ContentCompAlgo, 1));
    const other = element(ID.ContentEncodings, element(ID.ContentEncoding, bzip));
    await using one = await open(made(encrypted, (frame) => frame));
    assert.match(one.info.tracks[0]?.notCopied ?? '', /encrypted/);
    assert.equal((await read(one, 1)).length, 0);
    await using two = await open(made(other, (frame) => frame));
    assert.match(two.info.tracks[0]?.notCopied ?? '', /bzip2/);
  });
});

describe('blocks and times', () => {
  it('BlockGroups: references, durations, padding; Void, CRC-32, unknown elements; negative times; other scales', async () => {
    const group = (relative: number, data: number[], ...more: Uint8Array[]): Uint8Array =>
      element(ID.BlockGroup, element(ID.Block, blockHeader(1, relative, 0), data), ...more);
    const reference = element(ID.ReferenceBlock, [0xff]);
    const bytes = file({
      // 0.1 ms
      timestampScale: 100_000,
      tracks: element(ID.Tracks, videoTrack(1)),
      clusters: [
        cluster(
          10_000,
          element(ID.CRC32, [1, 2, 3, 4]),
          group(-100, [1]),
          element(ID.Void, new Uint8Array(300)),
          group(300, [2], reference, uint(ID.BlockDuration, 250), element(ID.DiscardPadding, [0x0f, 0x42, 0x40])),
          element(0x4fff, new Uint8Array(10)),
          simpleBlock(1, 700, [3], false),
        ),
        concat([element(ID.Void, new Uint8Array(20)), cluster(20_000, group(0, [4]))]),
      ],
    });
    await using reader = await open(bytes);
    await reader.scan(signal);
    const packets = (await Promise.all(keyCuts(reader).map((cut) => read(reader, 1, cut)))).flat();
    assert.deepEqual(
      packets.map(({ pts, duration, key, data }) => [pts, duration, key, data[0]]),
      [
        [0.99, 0.04, true, 1],
        [1.03, 0.024, false, 2],
        [1.07, 0.04, false, 3],
        [2, 0.04, true, 4],
      ],
    );
    assert.deepEqual([...(reader.keyframes?.times ?? [])], [0.99, 2]);
  });

  it('text that ends when it begins is never shown; of text without a duration nobody knows', async () => {
    const shown = (relative: number, line: string, ...more: Uint8Array[]): Uint8Array =>
      element(ID.BlockGroup, element(ID.Block, blockHeader(2, relative, 0), [...Buffer.from(line)]), ...more);
    const lines = element(
      ID.TrackEntry,
      uint(ID.TrackNumber, 2),
      uint(ID.TrackUID, 2),
      uint(ID.TrackType, 0x11),
      text(ID.CodecID, 'S_TEXT/UTF8'),
    );
    const bytes = file({
      tracks: element(ID.Tracks, audioTrack(1, 'A_AAC', element(ID.CodecPrivate, AAC_CONFIG)), lines),
      clusters: [
        cluster(
          0,
          simpleBlock(1, 0, [1, 2, 3]),
          shown(10, 'hidden', uint(ID.BlockDuration, 0)),
          shown(20, 'open'),
          shown(30, 'whole', uint(ID.BlockDuration, 1500)),
        ),
      ],
    });
    await using reader = await open(bytes);
    const packets = await read(reader, 2);
    assert.deepEqual(
      packets.map(({ data, duration }) => [Buffer.from(data).toString(), duration]),
      [
        ['open', 0],
        ['whole', 1.5],
      ],
    );
  });

  it('rounded audio times go back to the grid, gaps stay, CodecDelay is taken off', async () => {
    // 21.33 ms a frame, the second half 100.5 ms late.
    const exact = Array.from({ length: 40 }, (_, i) => (i * 1024) / 48 + (i < 20 ? 0 : 110));
    const blocks = exact.map((time, i) => simpleBlock(1, Math.round(time), [i, 1, 2]));
    const config = element(ID.CodecPrivate, AAC_CONFIG);
    const bytes = file({
      tracks: element(ID.Tracks, audioTrack(1, 'A_AAC', config, uint(ID.CodecDelay, 5_000_000))),
      clusters: [cluster(1000, ...blocks)],
    });
    await using reader = await open(bytes);
    assert.equal(reader.info.startTime, 1);
    const packets = await read(reader, 1);
    for (const [i, { pts }] of packets.entries()) {
      const snapped = 0.995 + (i * 1024) / 48000;
      const expected = i < 20 ? snapped : 0.995 + Math.round(exact[i] ?? 0) / 1000;
      assert.ok(Math.abs(pts - expected) < 1e-9, `frame ${i}: ${pts}, expected ${expected}`);
    }
  });

  it('cues deep in large clusters: what precedes them is not read, wrong ones are not believed', async () => {
    const group = (c: number, g: number): Uint8Array =>
      concat(
        Array.from({ length: 10 }, (_, i) => {
          const data = new Uint8Array(60_000).fill(c * 16 + g);
          data[0] = i;
          return simpleBlock(1, g * 1000 + i * 100, data, i === 0);
        }),
      );
    const groups = Array.from({ length: 4 }, (_, c) => Array.from({ length: 3 }, (_, g) => group(c, g)));
    const clusters = groups.map((inner, c) => cluster(c * 3000, ...inner));
    const timestamp = (c: number): number => uint(ID.Timestamp, c * 3000).length;
    const tracks = element(ID.Tracks, videoTrack(1));
    for (const error of [0, 1, 100_000]) {
      const cues = groups.flatMap((inner, c) =>
        inner.map((_, g) => {
          const before = inner.slice(0, g).reduce((sum, bytes) => sum + bytes.length, 0);
          return [c * 3000 + g * 1000, c, timestamp(c) + before + (g > 0 ? error : 0)] as const;
        }),
      );
      const source = memorySource(file({ tracks, clusters, cues, duration: 12_000 }));
      await using reader = await openMatroska(source, signal);
      const cuts = keyCuts(reader);
      source.reads.length = 0;
      const packets = (await Promise.all(cuts.map((cut) => read(reader, 1, cut)))).flat();
      assert.deepEqual(
        packets.map(({ pts }) => Math.round(pts * 1000)),
        Array.from({ length: 120 }, (_, i) => i * 100),
        `error ${error}`,
      );
      const bytes = source.reads.reduce((sum, [, length]) => sum + length, 0);
      if (error === 0) assert.ok(bytes < source.size * 1.4, `${bytes} bytes of ${source.size}`);
    }
  });

  it('cues that point nowhere: the packets are found all the same', async () => {
    const clusters = Array.from({ length: 12 }, (_, c) =>
      cluster(
        c * 1000,
        ...Array.from({ length: 10 }, (_, i) => simpleBlock(1, i * 100, [c, i], i === 0)),
        element(ID.Void, new Uint8Array(70_000)),
      ),
    );
    const cues = clusters.map((_, i) => [i * 1000, i] as const);
    const tracks = element(ID.Tracks, videoTrack(1));
    for (const cueShift of [0, 3, 71_000]) {
      await using reader = await open(file({ tracks, clusters, cues, cueShift, duration: 12_000 }));
      assert.equal(reader.keyframes?.times.length, cueShift > 70_000 ? 11 : 12);
      const packets = (await Promise.all(keyCuts(reader).map((cut) => read(reader, 1, cut)))).flat();
      const expected = clusters.flatMap((_, c) => Array.from({ length: 10 }, (_, i) => `${c}.${i}`));
      assert.deepEqual(
        packets.map(({ data }) => data.join('.')),
        expected,
        `shift ${cueShift}`,
      );
    }
  });
});

describe('a duration that the file does not have', () => {
  it('is replaced by the end of the last packets', async () => {
    const blocks = Array.from({ length: 100 }, (_, i) => simpleBlock(1, i * 24, mp3Frame(i)));
    const tracks = element(ID.Tracks, audioTrack(1, 'A_MPEG/L3'));
    await using reader = await open(
      file({ tracks, clusters: [cluster(0, ...blocks)], duration: 500_000, cues: [[0, 0]] }),
    );
    assert.ok(Math.abs(reader.info.duration - 2.4) < 1e-9, `${reader.info.duration}`);
    assert.ok(Math.abs((reader.info.tracks[0]?.endTime ?? 0) - 2.4) < 1e-9);
  });
});

describe('metadata', () => {
  // The last frame, of 21.33 ms, ends at 8 s.
  const clusters = [cluster(0, simpleBlock(1, 0, [1, 2])), cluster(7000, simpleBlock(1, 979, [1, 2]))];

  it('chapters, nested, of the default edition; attachments; statistics tags', async () => {
    const atom = (start: number, end: number | undefined, title: string, ...more: Uint8Array[]): Uint8Array =>
      element(
        ID.ChapterAtom,
        uint(ID.ChapterTimeStart, start * 1e9),
        ...(end === undefined ? [] : [uint(ID.ChapterTimeEnd, end * 1e9)]),
        element(ID.ChapterDisplay, text(ID.ChapString, title)),
        element(ID.ChapterDisplay, text(ID.ChapString, `${title} in French`)),
        ...more,
      );
    const first = element(ID.EditionEntry, atom(0, 9, 'no'));
    const hidden = atom(4, 5, 'hidden', uint(ID.ChapterFlagHidden, 1));
    const edition = [
      uint(ID.EditionFlagDefault, 1),
      atom(0, 5, 'one', atom(2, undefined, 'inner')),
      hidden,
      atom(5, undefined, 'two'),
    ];
    const attached = element(
      ID.AttachedFile,
      text(ID.FileName, 'cover.jpg'),
      text(ID.FileMediaType, 'image/jpeg'),
      element(ID.FileData, [9, 8, 7]),
    );
    const simple = (name: string, value: string): Uint8Array =>
      element(ID.SimpleTag, text(ID.TagName, name), text(ID.TagString, value));
    const tags = element(
      ID.Tag,
      element(ID.Targets, uint(ID.TagTrackUID, 1)),
      simple('BPS', '128000'),
      simple('DURATION', '00:00:07.500000000'),
    );
    const bytes = file({
      tracks: element(
        ID.Tracks,
        audioTrack(1, 'A_AAC', element(ID.CodecPrivate, AAC_CONFIG), text(ID.Language, 'fre')),
      ),
      extra: [
        element(ID.Chapters, first, element(ID.EditionEntry, ...edition)),
        element(ID.Attachments, attached),
        element(ID.Tags, tags),
      ],
      clusters,
      duration: 8000,
      cues: [
        [0, 0],
        [7000, 1],
      ],
    });
    await using reader = await open(bytes);
    const { info } = reader;
    const rounded = info.chapters.map((chapter) => ({ ...chapter, endTime: Number(chapter.endTime.toFixed(6)) }));
    assert.deepEqual(rounded, [
      { startTime: 0, endTime: 5, title: 'one' },
      { startTime: 2, endTime: 5, title: 'inner' },
      { startTime: 5, endTime: 8, title: 'two' },
    ]);
    const [attachment] = info.attachments;
    assert.equal(attachment?.name, 'cover.jpg');
    assert.equal(attachment.mimeType, 'image/jpeg');
    assert.deepEqual([...bytes.subarray(attachment.offset, attachment.offset + attachment.size)], [9, 8, 7]);
    const [track] = info.tracks;
    assert.deepEqual([track?.bitrate, track?.endTime, track?.language], [128_000, 7.5, 'fre']);
    assert.equal(info.duration.toFixed(6), '8.000000');
  });

  it('display size, rotation, colour', async () => {
    const roll = element(ID.Projection, element(ID.ProjectionPoseRoll, [0xc2, 0xb4, 0, 0])); // -90
    const colour = element(
      ID.Colour,
      uint(ID.Primaries, 9),
      uint(ID.TransferCharacteristics, 16),
      uint(ID.MatrixCoefficients, 9),
      uint(ID.Range, 1),
    );
    const shape = [uint(ID.DisplayWidth, 16), uint(ID.DisplayHeight, 9), uint(ID.DisplayUnit, 3)];
    const bytes = file({ tracks: element(ID.Tracks, videoTrack(1, roll, colour, ...shape)), clusters });
    await using reader = await open(bytes);
    const { video, notCopied, codec } = reader.info.tracks[0] ?? assert.fail('no track');
    assert.equal(codec, 'vp8');
    assert.ok(notCopied);
    assert.deepEqual(
      [video?.width, video?.height, video?.displayWidth, video?.displayHeight, video?.rotation, video?.hdr],
      [320, 240, 427, 240, 90, 'hdr10'],
    );
  });

  it('files without tracks, without a Segment, cut in the head: media-damaged', async () => {
    const whole = file({ tracks: element(ID.Tracks, audioTrack(1, 'A_AC3')), clusters });
    for (const bytes of [whole.slice(0, 20), whole.slice(0, 60), file({ tracks: element(ID.Void, [0]), clusters })]) {
      await assert.rejects(open(bytes), { name: 'AppError', code: 'media-damaged', detail: /memory\.mkv/ });
    }
  });

  it('gives memory back once, and an aborted read ends with the reason', async () => {
    const bytes = lacedMp3('xiph');
    await using reader = await open(bytes);
    const batch = await reader.read(1, WHOLE, signal);
    const before = batch.packets.map(describePacket);
    batch[Symbol.dispose]();
    batch[Symbol.dispose]();
    assert.deepEqual((await read(reader, 1)).map(describePacket), before);
    const reason = new Error('gone');
    await assert.rejects(reader.read(1, WHOLE, AbortSignal.abort(reason)), reason);
    await assert.rejects(
      reader.scan(AbortSignal.abort(reason)).then(() => reader.read(1, WHOLE, AbortSignal.abort(reason))),
      reason,
    );
    await assert.rejects(openMatroska(memorySource(bytes), AbortSignal.abort(reason)), reason);
  });
});

it('a frame with the time of the next key frame still belongs to the cut before it', async () => {
  const frames = [0, 40, 80, 120].map((ticks, n) => simpleBlock(1, ticks, [0x10, n], n === 0));
  const bytes = file({
    tracks: element(ID.Tracks, videoTrack(1)),
    clusters: [cluster(0, ...frames), cluster(80, simpleBlock(1, 0, [0x10, 4]), simpleBlock(1, 40, [0x10, 5], false))],
    duration: 160,
    cues: [
      [0, 0],
      [80, 1],
    ],
  });
  await using reader = await open(bytes);
  const numbers: number[][] = [];
  for (const cut of keyCuts(reader)) numbers.push((await read(reader, 1, cut)).map(({ data }) => data[1] as number));
  assert.deepEqual(numbers, [
    [0, 1, 2, 3],
    [4, 5],
  ]);
});
