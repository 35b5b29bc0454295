import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { adtsFrames } from './adts-frames.ts';
import { collect, inPieces, never, realFfmpeg } from './test-processes.ts';
import { transcode } from './transcoder.ts';

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Twenty seconds of sound. */
let stream = Buffer.alloc(0);
let whole: Uint8Array[] = [];
before(async () => {
  const ffmpeg = await realFfmpeg();
  const args = [
    ...['-hide_banner', '-loglevel', 'error', '-f', 'lavfi', '-i', 'anoisesrc=duration=20:sample_rate=48000:seed=1'],
    ...['-c:a', 'aac', '-b:a', '96k', '-f', 'adts', 'pipe:1'],
  ];
  stream = Buffer.concat(await collect(transcode({ ffmpeg, args, input: nothing(), signal: never })));
  whole = await collect(adtsFrames(inPieces(stream, () => stream.length)));
});

/** An ADTS header of stereo AAC-LC at 48 kHz; with a CRC that nobody checks. */
function frame(body: Uint8Array, { crc = false, blocks = 1, layer = 0 } = {}): Buffer {
  const length = 7 + (crc ? 2 : 0) + body.length;
  const header = Buffer.of(
    0xff,
    0xf0 | (layer << 1) | (crc ? 0 : 1),
    0x4c,
    0x80 | (length >> 11),
    (length >> 3) & 0xff,
    ((length & 7) << 5) | 0x1f,
    0xfc | (blocks - 1),
  );
  return Buffer.concat([header, crc ? Buffer.of(0xab, 0xcd) : Buffer.alloc(0), body]);
}

const read = (...parts: Uint8Array[]): Promise<Uint8Array[]> =>
  collect(adtsFrames(inPieces(Buffer.concat(parts), () => 5)));
const refused = (reading: Promise<unknown>, words: RegExp): Promise<void> =>
  assert.rejects(reading, (error) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, 'transcode-failed');
    assert.match(error.detail, words);
    return true;
  });
const plain = (frames: readonly Uint8Array[]): Buffer[] => frames.map((one) => Buffer.from(one));

describe('adtsFrames', () => {
  it('gives every frame that FFmpeg writes, without its header', () => {
    assert.equal(whole.length, Math.ceil((20 * 48_000) / 1024) + 1, 'one frame of priming');
    assert.equal(
      whole.reduce((sum, { length }) => sum + length + 7, 0),
      stream.length,
    );
    let at = 0;
    for (const one of whole) {
      assert.ok(stream.subarray(at + 7, at + 7 + one.length).equals(one));
      at += 7 + one.length;
    }
  });

  it('gives the same whatever the cuts', async () => {
    const expected = plain(whole);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 1, maxLength: 50 }), async (sizes) => {
        let at = 0;
        const next = (): number => (sizes[at++ % sizes.length] as number) + (at % sizes.length === 0 ? 1 : 0);
        assert.deepEqual(plain(await collect(adtsFrames(inPieces(stream, next)))), expected);
      }),
      { numRuns: 10 },
    );
    assert.deepEqual(plain(await collect(adtsFrames(inPieces(stream, () => 1)))), expected);
  });

  it('takes CRCs away and gives nothing for nothing', async () => {
    const bodies = [Buffer.of(1, 2, 3), Buffer.of(4), Buffer.alloc(8184, 5)];
    assert.deepEqual(
      plain(await read(...bodies.slice(0, 2).map((body) => frame(body, { crc: true })))),
      bodies.slice(0, 2),
    );
    assert.deepEqual(plain(await read(frame(bodies[0]!, { crc: true }), frame(bodies[2]!))), [bodies[0], bodies[2]]);
    assert.deepEqual(await read(), []);
  });

  it('refuses a loss of sync, frames that are empty or cut, and several under one header', async () => {
    const good = frame(Buffer.of(1, 2, 3));
    await refused(read(good, Buffer.of(0), good), /does not begin/);
    await refused(read(Buffer.from('no sound at all')), /does not begin/);
    await refused(read(good, frame(Buffer.of(1), { layer: 1 })), /does not begin/);
    await refused(read(frame(Buffer.alloc(0))), /empty/);
    await refused(read(frame(Buffer.alloc(0), { crc: true })), /empty/);
    await refused(read(frame(Buffer.of(1, 2), { blocks: 2 })), /several/);
    for (let end = 1; end < good.length; end++) await refused(read(good, good.subarray(0, end)), /middle of a frame/);
  });

  it('bears any bytes', async () => {
    const sample = Buffer.concat(
      Array.from({ length: 8 }, (_, n) => frame(Buffer.alloc(n + 1, n), { crc: n % 2 === 0 })),
    );
    const change = fc.tuple(fc.nat(sample.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const bytes = Buffer.from(sample);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          for (const { length } of await read(bytes)) assert.ok(length > 0);
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });

  it('ends its source when it is left', async () => {
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield frame(Buffer.of(1, 2));
      } finally {
        ended = true;
      }
    }
    for await (const _ of adtsFrames(source())) break;
    assert.equal(ended, true);
  });
});
