/** Mutated files: whatever the bytes are, only AppError comes out, and soon. `FUZZ_RUNS` sets how many there are. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AppError } from '../../errors.ts';
import type { Cut, MediaReader } from '../types.ts';
import { openWithLibrary } from './reader.ts';
import { gridCuts, MediaMaker, memorySource, testTone, testVideo } from './testing.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1000);
/** No file may take more of the processor, milliseconds: the clock on the wall tells of the machine's other work too. */
const LIMIT_MS = 2000;

/** xorshift32: the same files every time. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % Math.max(1, limit);
  }
}

/** A place that favours the head, where the structure is. */
function place(dice: Dice, size: number): number {
  return dice.below(3) === 0 ? dice.below(size) : dice.below(Math.min(size, 4096));
}

function mutate(original: Uint8Array, dice: Dice): Uint8Array {
  let bytes = Uint8Array.from(original);
  for (let count = 1 + dice.below(8); count > 0 && bytes.length > 0; count--) {
    const at = place(dice, bytes.length);
    const length = 1 + dice.below(dice.below(4) === 0 ? 4096 : 8);
    switch (dice.below(7)) {
      case 0:
        bytes = bytes.slice(0, 1 + dice.below(bytes.length));
        break;
      case 1:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + length)]);
        break;
      case 2:
        bytes.copyWithin(at, dice.below(bytes.length), bytes.length);
        break;
      case 3:
        bytes.fill(dice.below(2) * 255, at, at + length);
        break;
      default:
        for (let i = 0; i < Math.min(length, 16); i++) bytes[at + i] = dice.below(256);
    }
  }
  return bytes;
}

async function drain(reader: MediaReader, cuts: readonly Cut[], dice: Dice): Promise<void> {
  const { signal } = new AbortController();
  for (const track of reader.info.tracks) {
    assert.notEqual(track.config === undefined, track.notCopied === undefined && track.type !== 'subtitle');
    for (let i = 0; i < 3; i++) {
      using batch = await reader.read(track.id, cuts[dice.below(cuts.length)]!, signal);
      for (const packet of batch.packets) assert.ok(Number.isFinite(packet.pts) && packet.duration >= 0);
    }
  }
}

async function tryOpen(bytes: Uint8Array, dice: Dice): Promise<boolean> {
  const { signal } = new AbortController();
  const reader = await openWithLibrary(memorySource(bytes, dice.below(2) === 0 ? 'local' : 'remote'), signal);
  if (!reader) return false;
  await using opened = reader;
  const { startTime, duration } = opened.info;
  assert.ok(Number.isFinite(startTime) && Number.isFinite(duration) && duration >= 0);
  const step = Math.max(1, duration / 5);
  await drain(opened, gridCuts(opened, step), dice);
  const index = await opened.scan(signal);
  assert.ok(index.times.length >= 1);
  for (let i = 1; i < index.times.length; i++) assert.ok(index.times[i]! > index.times[i - 1]!);
  const key = dice.below(index.times.length);
  await drain(opened, [{ from: index.starts[key]!, to: Infinity, fromKey: key, toKey: key + 1 }], dice);
  return true;
}

const maker = new MediaMaker();
after(() => maker[Symbol.dispose]());

const FILES: readonly (readonly [name: string, args: string[]])[] = [
  [
    'a.ts',
    [
      ...testVideo(4),
      ...testTone(4),
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-g',
      '20',
      '-b:v',
      '150k',
      '-c:a',
      'aac',
    ],
  ],
  [
    'b.m2ts',
    [
      ...testVideo(4),
      ...testTone(4),
      '-c:v',
      'libx265',
      '-preset',
      'ultrafast',
      '-x265-params',
      'log-level=none:keyint=20',
      '-b:v',
      '150k',
      '-c:a',
      'eac3',
      '-mpegts_m2ts_mode',
      '1',
    ],
  ],
  ['c.ts', [...testVideo(4), ...testTone(4), '-c:v', 'mpeg2video', '-b:v', '300k', '-c:a', 'libmp3lame']],
  ['opus.ogg', [...testTone(6), '-c:a', 'libopus']],
  ['vorbis.ogg', [...testTone(6), '-c:a', 'libvorbis']],
  ['vbr.mp3', [...testTone(6, 44_100), '-c:a', 'libmp3lame', '-q:a', '5']],
  ['a.flac', [...testTone(3)]],
  ['a.aac', [...testTone(6), '-c:a', 'aac']],
  ['a.wav', [...testTone(1)]],
];

describe('the library reader with mutated files', () => {
  before(() => {
    for (const [name, args] of FILES) maker.make(name, ...args);
  });

  for (const [number, [name]] of FILES.entries()) {
    it(`bears ${name}`, async () => {
      const original = maker.bytes(name);
      assert.equal(await tryOpen(original, new Dice(1)), true);
      for (let run = 0; run < Math.ceil(RUNS / FILES.length); run++) {
        const seed = (run + 1) * 64 + number;
        const dice = new Dice(seed);
        const bytes = mutate(original, dice);
        const started = process.cpuUsage();
        try {
          await tryOpen(bytes, dice);
        } catch (error) {
          assert.ok(error instanceof AppError, `seed ${seed}: ${error instanceof Error ? error.stack : error}`);
        }
        const took = process.cpuUsage(started).user / 1000;
        assert.ok(took < LIMIT_MS, `seed ${seed} took ${took} ms`);
      }
    });
  }
});
