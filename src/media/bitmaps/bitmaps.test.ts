import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Packet, Track } from '../types.ts';
import { displayDecoder, fittingCanvas, placed } from './bitmaps.ts';
import type { Display } from './display.ts';
import { codeLines, displaySet, PgsDecoder, startsEpoch } from './pgs.ts';
import { VobsubDecoder } from './vobsub.ts';

const packet = (data: Uint8Array | number[], pts = 0, duration = 0): Packet => ({
  data: Uint8Array.from(data),
  pts,
  duration,
  key: true,
});
const CANVAS = { width: 1920, height: 1080 };
const BOX: Display = {
  time: 3,
  canvas: CANVAS,
  palette: Uint8Array.of(1, 126, 128, 128, 255),
  objects: [{ x: 10, y: 20, width: 4, height: 2, isForced: true, data: [codeLines(new Uint8Array(8).fill(1), 4)] }],
};

/** A segment of type, length and body. */
const segment = (type: number, ...body: number[]): number[] => [type, body.length >> 8, body.length & 255, ...body];
const composition = (state: number, ...objects: number[]): number[] =>
  segment(0x16, 7, 128, 4, 56, 0x10, 0, 0, state, 0, 0, objects.length / 8, ...objects);
const shown = (id: number, y: number): number[] => [0, id, 0, 0, 0, 10, 0, y];
const PALETTE = segment(0x14, 0, 0, 1, 126, 128, 128, 255);
const object = (id: number): number[] => segment(0x15, 0, id, 0, 0xc0, 0, 0, 8, 0, 2, 0, 1, 1, 1, 0, 0);
const END = segment(0x80);

describe('PGS', () => {
  test('what is written is read as the same', () => {
    const data = displaySet(BOX);
    assert.equal(startsEpoch(data), true);
    const [read, ...more] = new PgsDecoder().push(packet(data, 3));
    assert.deepEqual(more, []);
    assert.deepEqual(read, BOX);
  });

  test('large objects go in several parts', () => {
    const lines = Uint8Array.from({ length: 300_000 }, (_, i) => (i % 200) + 1);
    const data = [codeLines(lines, 1000)];
    const large: Display = { ...BOX, objects: [{ x: 0, y: 0, width: 1000, height: 300, isForced: false, data }] };
    const [read] = new PgsDecoder().push(packet(displaySet(large), 3));
    assert.deepEqual(Buffer.concat(read?.objects[0]?.data ?? []), Buffer.from(data[0] as Uint8Array));
  });

  test('a set may use what earlier ones of its epoch have brought, and each display is whole', () => {
    const decoder = new PgsDecoder();
    const first = [...composition(0x80, ...shown(1, 5)), ...PALETTE, ...object(1), ...END];
    const moved = [...composition(0, ...shown(1, 50)), ...END];
    const clear = [...composition(0), ...END];
    const other = [...composition(0x80, ...shown(1, 5)), ...PALETTE, ...END];
    const displays = [first, moved, clear, other].flatMap((data, n) => decoder.push(packet(data, n)));
    assert.deepEqual(
      displays.map(({ objects }) => objects.map(({ y }) => y)),
      [[5], [50], [], []],
      'an epoch forgets the objects of the one before',
    );
    const [again] = new PgsDecoder().push(packet(displaySet(displays[1] as Display), 1));
    assert.deepEqual(again?.objects, displays[1]?.objects);
    assert.equal(startsEpoch(Uint8Array.from(moved)), false);
  });

  test('segments that come in packets of their own, as in transport streams', () => {
    const decoder = new PgsDecoder();
    const parts = [composition(0x80, ...shown(1, 5)), PALETTE, object(1), END];
    const displays = parts.flatMap((data, n) => decoder.push(packet(data, 1 + n / 1000)));
    assert.deepEqual(
      displays.map(({ time, objects }) => [time, objects.length]),
      [[1, 1]],
    );
  });
});

/** Two lines, 8 wide: four of colour 1, then colour 2 to the end; below it colour 3. */
const PIXELS = [0x11, 0x00, 0x02, 0x00, 0x03];
function unit(...sequences: number[][]): number[] {
  const control = 4 + PIXELS.length;
  const starts = sequences.map(
    (_, i) => control + sequences.slice(0, i).reduce((sum, { length }) => sum + length + 2, 0),
  );
  const body = sequences.flatMap((sequence, i) => {
    const next = starts[i + 1] ?? (starts[i] as number);
    return [...sequence.slice(0, 2), next >> 8, next & 255, ...sequence.slice(2)];
  });
  const size = control + body.length;
  return [size >> 8, size & 255, control >> 8, control & 255, ...PIXELS, ...body];
}
const SHOW = [
  0, 0, 0x03, 0x32, 0x10, 0x04, 0xff, 0xf0, 0x05, 0, 0x40, 0x0b, 0, 0x20, 0x03, 0x06, 0, 4, 0, 7, 0x01, 0xff,
];
const HIDE = [0, 88, 0x02, 0xff];
const IDX = new TextEncoder().encode(
  `size: 720x480\npalette: ${Array.from({ length: 16 }, (_, i) => (i * 0x101010).toString(16).padStart(6, '0')).join(', ')}\n`,
);

describe('VobSub', () => {
  test('times, place, colours and lines', () => {
    const [box, clear, ...more] = new VobsubDecoder(IDX, undefined).push(packet(unit(SHOW, HIDE), 10, 99));
    assert.deepEqual(more, []);
    assert.equal(box?.time, 10);
    assert.deepEqual(box.canvas, { width: 720, height: 480 });
    assert.ok(
      Math.abs((clear?.time ?? 0) - 10 - (88 * 1024) / 90_000) < 1e-9,
      'by its own command, not by the duration',
    );
    assert.deepEqual(clear?.objects, []);
    const [picture] = box.objects;
    assert.deepEqual([picture?.x, picture?.y, picture?.width, picture?.height], [4, 2, 8, 2]);
    // Indices count from 1 here: 4 times colour 1, 4 times colour 2; 8 times colour 3.
    assert.deepEqual([...(picture?.data[0] ?? [])], [0, 0x84, 2, 0, 0x84, 3, 0, 0, 0, 0x88, 4, 0, 0]);
    const alphas = Array.from({ length: 4 }, (_, i) => box.palette[5 * i + 4]);
    assert.deepEqual(alphas, [0, 255, 255, 255]);
    const lumas = Array.from({ length: 4 }, (_, i) => box.palette[5 * i + 1]);
    assert.deepEqual(
      lumas,
      [0, 1, 2, 3].map((colour) => Math.round(16 + (219 * colour * 16) / 255)),
    );
  });

  test('without a command that hides it, the duration does', () => {
    const displays = new VobsubDecoder(IDX, undefined).push(packet(unit(SHOW), 10, 2.5));
    assert.deepEqual(
      displays.map(({ time, objects }) => [time, objects.length]),
      [
        [10, 1],
        [12.5, 0],
      ],
    );
  });

  test('a head of 64 kB of blanks is read in linear time', () => {
    for (const blank of ['\n', '\r\n', ' ', '\t\n', ' size:']) {
      const head = new TextEncoder().encode(blank.repeat(65_536 / blank.length));
      for (let n = 0; n < 10; n++) assert.equal(new VobsubDecoder(head, undefined).usualCanvas.height, 576);
    }
  });
});

test('the canvas of a cropped film: its middle, and what stood in the bars moved in', () => {
  const full = { stored: { width: 1920, height: 1080 }, shown: { width: 1920, height: 1080 } };
  const wide = { stored: { width: 1920, height: 800 }, shown: { width: 1920, height: 800 } };
  const dvd = { stored: { width: 720, height: 576 }, shown: { width: 1024, height: 576 } };
  assert.deepEqual(fittingCanvas(CANVAS, full), CANVAS);
  assert.deepEqual(fittingCanvas(CANVAS, wide), { width: 1920, height: 800 });
  assert.deepEqual(fittingCanvas({ width: 720, height: 576 }, dvd), { width: 720, height: 576 });
  assert.deepEqual(fittingCanvas({ width: 720, height: 480 }, full), { width: 720, height: 480 });
  assert.deepEqual(fittingCanvas({ width: 720, height: 480 }, wide), { width: 720, height: 356 });
  const low: Display = { ...BOX, objects: [{ ...(BOX.objects[0] as Display['objects'][0]), y: 1000, height: 60 }] };
  assert.equal(placed(low, { width: 1920, height: 800 }).objects[0]?.y, 740);
  assert.equal(
    placed({ ...low, objects: [{ ...(low.objects[0] as Display['objects'][0]), y: 0 }] }, CANVAS).objects[0]?.y,
    0,
  );
});

test('hostile bytes show nothing, throw nothing and bind no memory', () => {
  const seeds = [
    displaySet(BOX),
    Uint8Array.from(unit(SHOW, HIDE)),
    Uint8Array.from([...composition(0x80, ...shown(1, 5)), ...PALETTE, ...object(1), ...END]),
  ];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 12 }))
      .map(([seed, changes]) => {
        const changed = seed.slice();
        for (const [at, value] of changes) changed[at % changed.length] = value;
        return changed;
      }),
  );
  for (const codec of ['hdmv_pgs_subtitle', 'dvd_subtitle', 'dvb_subtitle']) {
    const track: Track = { id: 1, type: 'subtitle', index: 0, codec, isDefault: false, isForced: false };
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 6 }), (packets) => {
        const decoder = displayDecoder(track, undefined);
        for (const [n, data] of packets.entries()) {
          for (const display of decoder.push(packet(data, n))) {
            const written = displaySet(placed(display, { width: 640, height: 360 }));
            assert.ok(new PgsDecoder().push(packet(written, n)).length === 1);
          }
        }
      }),
      { numRuns: 400 },
    );
  }
});
