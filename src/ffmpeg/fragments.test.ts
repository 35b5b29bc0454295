import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { type Fragment, type FragmentOrInit, fragments } from './fragments.ts';
import { collect, inPieces, never, realFfmpeg } from './test-processes.ts';
import { transcode } from './transcoder.ts';

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Six seconds with a key frame each second, as FFmpeg writes them. */
let stream = Buffer.alloc(0);
let whole: FragmentOrInit[] = [];
before(async () => {
  const ffmpeg = await realFfmpeg();
  const args = [
    ...['-hide_banner', '-loglevel', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=6'],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25', '-video_track_timescale', '90000'],
    ...['-f', 'mp4', '-movflags', '+frag_keyframe+empty_moov+default_base_moof', 'pipe:1'],
  ];
  stream = Buffer.concat(await collect(transcode({ ffmpeg, args, input: nothing(), signal: never })));
  whole = await collect(fragments(inPieces(stream, () => stream.length)));
});

function box(type: string, ...content: Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + body.length);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, body]);
}

function largeBox(type: string, body: Uint8Array): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(1);
  header.write(type, 4, 'latin1');
  header.writeBigUInt64BE(BigInt(16 + body.length), 8);
  return Buffer.concat([header, body]);
}

function tfdt(version: 0 | 1, time: bigint): Buffer {
  const body = Buffer.alloc(version === 1 ? 12 : 8);
  body[0] = version;
  if (version === 1) body.writeBigUInt64BE(time, 4);
  else body.writeUInt32BE(Number(time), 4);
  return box('tfdt', body);
}

const moof = (time = tfdt(1, 7n)): Buffer => box('moof', box('mfhd', Buffer.alloc(8)), box('traf', time));
const ftyp = box('ftyp', Buffer.from('iso5'));
const moov = box('moov', Buffer.alloc(40, 1));
const mdat = box('mdat', Buffer.alloc(100, 2));
const init = Buffer.concat([ftyp, moov]);
const read = (...boxes: Uint8Array[]): Promise<FragmentOrInit[]> => {
  const bytes = Buffer.concat(boxes);
  return collect(fragments(inPieces(bytes, () => 7)));
};
const refused = (reading: Promise<unknown>, words: RegExp): Promise<void> =>
  assert.rejects(reading, (error) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, 'transcode-failed');
    assert.match(error.detail, words);
    return true;
  });

describe('fragments', () => {
  it('takes what FFmpeg writes apart: init, then each moof with its mdat', () => {
    const [first, ...rest] = whole;
    assert.ok(first && 'init' in first);
    assert.equal(Buffer.from(first.init.subarray(4, 8)).toString(), 'ftyp');
    assert.deepEqual(
      rest.map((fragment) => (fragment as Fragment).baseMediaDecodeTime),
      [0, 90_000, 180_000, 270_000, 360_000, 450_000],
    );
    // Only the mfra at the end is left out.
    const joined = Buffer.concat([first.init, ...rest.map((fragment) => (fragment as Fragment).bytes)]);
    assert.ok(stream.subarray(0, joined.length).equals(joined));
    assert.equal(stream.toString('latin1', joined.length + 4, joined.length + 8), 'mfra');
  });

  it('gives the same whatever the cuts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 50 }), async (sizes) => {
        let at = 0;
        const next = (): number => (sizes[at++ % sizes.length] as number) + (at % sizes.length === 0 ? 1 : 0);
        assert.deepEqual(await collect(fragments(inPieces(stream, next))), whole);
      }),
      { numRuns: 25 },
    );
    assert.deepEqual(await collect(fragments(inPieces(stream, () => 1))), whole);
  });

  it('leaves other boxes out and takes both versions of tfdt and of sizes', async () => {
    const values = await read(
      box('free', Buffer.alloc(20)),
      ...[ftyp, box('free'), moov, box('styp'), box('sidx', Buffer.alloc(9)), moof(tfdt(0, 0xffff_ffffn)), mdat],
      ...[box('free'), moof(tfdt(1, 1n << 40n)), largeBox('mdat', Buffer.alloc(9)), largeBox('mfra', Buffer.alloc(3))],
    );
    assert.deepEqual(values, [
      { init: new Uint8Array(init) },
      { baseMediaDecodeTime: 0xffff_ffff, bytes: new Uint8Array(Buffer.concat([moof(tfdt(0, 0xffff_ffffn)), mdat])) },
      {
        baseMediaDecodeTime: 2 ** 40,
        bytes: new Uint8Array(Buffer.concat([moof(tfdt(1, 1n << 40n)), largeBox('mdat', Buffer.alloc(9))])),
      },
    ]);
    assert.deepEqual(await read(init), [{ init: new Uint8Array(init) }], 'without any fragment');
    const large = await read(ftyp, moov, largeBox('moof', moof().subarray(8)), mdat);
    assert.equal((large[1] as Fragment).baseMediaDecodeTime, 7);
  });

  it('refuses what ends too early, at any place', async () => {
    const bytes = Buffer.concat([init, box('styp'), moof(), mdat]);
    const ends = new Set([init.length, init.length + 8, bytes.length]);
    for (let end = 0; end < bytes.length; end++) {
      const reading = read(bytes.subarray(0, end));
      if (ends.has(end)) assert.equal((await reading).length, 1);
      else await refused(reading, /ends|no mdat/);
    }
  });

  it('refuses boxes that make no sense', async () => {
    const sized = (size: number): Buffer =>
      Buffer.concat([Buffer.of(size >>> 24, size >>> 16, size >>> 8, size), Buffer.from('mdat')]);
    await refused(read(Buffer.from('this is not MP4 at all')), /a box of \d+ bytes/);
    await refused(read(init, moof(), sized(7)), /a box of 7 bytes/);
    await refused(read(init, moof(), sized(0)), /a box of 0 bytes/);
    await refused(read(init, moof(), sized(64 * 1024 * 1024 + 1)), /a box of/);
    await refused(read(init, moof(), sized(64 * 1024 * 1024)), /boxes of/);
    const huge = largeBox('mdat', Buffer.alloc(0));
    huge.fill(0xff, 8);
    await refused(read(init, moof(), huge), /a box of/);
    await refused(read(moov), /moov box stands/);
    await refused(read(ftyp, ftyp), /ftyp box stands/);
    await refused(read(ftyp, moof()), /moof box stands/);
    await refused(read(init, mdat), /mdat box stands/);
    await refused(read(init, moov), /moov box stands/);
    await refused(read(init, moof(), moof()), /no mdat/);
    await refused(read(init, box('moof'), mdat), /no decode time/);
    await refused(read(init, box('moof', box('traf')), mdat), /no decode time/);
    await refused(read(init, moof(tfdt(1, 7n).subarray(0, 16)), mdat), /do not fit/);
    await refused(read(init, moof(box('tfdt', Buffer.of(1, 0, 0, 0, 0, 0, 0, 0))), mdat), /no decode time/);
    await refused(read(init, moof(tfdt(1, 1n << 63n)), mdat), /the decode time/);
  });

  it('bears any bytes', async () => {
    const sample = Buffer.concat([init, moof(), mdat, moof(), mdat]);
    const change = fc.tuple(fc.nat(sample.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const bytes = Buffer.from(sample);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          await read(bytes);
        } catch (error) {
          assert.ok(error instanceof AppError, String(error));
        }
      }),
      { numRuns: 700 },
    );
  });

  it('ends its source when it is left or fails, and passes on what the source throws', async () => {
    let ended = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield init;
        yield Buffer.concat([moof(), mdat]);
        yield mdat;
        assert.fail('asked too often');
      } finally {
        ended += 1;
      }
    }
    for await (const _ of fragments(source())) break;
    assert.equal(ended, 1);
    await refused(collect(fragments(source())), /mdat box stands/);
    assert.equal(ended, 2);
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield init;
      throw new Error('the source fails');
    }
    await assert.rejects(collect(fragments(failing())), /the source fails/);
  });
});
