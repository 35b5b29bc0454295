import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { defaultCacheBytes } from './segment-folder.ts';
import { type SegmentKey, SegmentStore } from './segment-store.ts';

const KB = 1024;
const never = new AbortController().signal;

class Room implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'raffi-store-'));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
  /** Files in the stores' folders. */
  files(): string[] {
    return readdirSync(this.path).flatMap((name) => {
      const folder = join(this.path, name);
      return statSync(folder).isDirectory() ? readdirSync(folder).map((file) => join(folder, file)) : [];
    });
  }
}

const key = (segment: number, presentation = 'film'): SegmentKey => ({ presentation, rendition: '720p', segment });
/** Recognisable bytes of their own. */
const bytesOf = (segment: number, size = 10 * KB): Uint8Array => new Uint8Array(size).fill(segment + 1);

async function got(store: SegmentStore, wanted: SegmentKey): Promise<Buffer | undefined> {
  const bytes = await store.get(wanted, never);
  return bytes && Buffer.from(bytes);
}

/** Resolves when no file operation is under way or waiting. */
async function idle(store: SegmentStore): Promise<void> {
  let before: string;
  do {
    before = JSON.stringify(store.stats);
    for (let i = 0; i < 5; i++) await store.drop('nothing of that name');
  } while (JSON.stringify(store.stats) !== before);
}

function recorder(): {
  lines: string[];
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
} {
  const lines: string[] = [];
  const note = (level: string) => (_: object, message: string) => void lines.push(`${level} ${message}`);
  return { lines, warn: note('warn'), info: note('info') };
}

test('memory first, then disk, then the longest unused goes', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 30 * KB, diskBytes: 50 * KB, folder: room.path });
  for (let n = 0; n < 3; n++) store.put(key(n), bytesOf(n));
  await idle(store);
  assert.equal(room.files().length, 0, 'what fits into memory is not written');
  for (let n = 3; n < 10; n++) {
    store.put(key(n), bytesOf(n));
    await idle(store);
  }
  assert.deepEqual(store.stats, { memoryBytes: 30 * KB, diskBytes: 50 * KB, hits: 0, misses: 0, evictions: 2 });
  assert.equal(room.files().length, 5);
  for (let n = 0; n < 10; n++) {
    assert.deepEqual(await got(store, key(n)), n < 2 ? undefined : Buffer.from(bytesOf(n)), `segment ${n}`);
  }
  assert.equal(store.stats.hits, 8);
  assert.equal(store.stats.misses, 2);
});

test('a use saves from eviction', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 0, diskBytes: 30 * KB, folder: room.path });
  for (let n = 0; n < 3; n++) {
    store.put(key(n), bytesOf(n));
    await idle(store);
  }
  await store.get(key(0), never);
  store.put(key(3), bytesOf(3));
  await idle(store);
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => store.has(key(n))),
    [true, false, true, true],
  );
});

test('what a player is about to need stays, until its owner says otherwise', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 20 * KB, diskBytes: 20 * KB, folder: room.path });
  const [one, two] = [{}, {}];
  store.protect(one, [key(0), key(1)]);
  store.protect(two, [key(1), key(2)]);
  for (let n = 0; n < 3; n++) store.put(key(n), bytesOf(n));
  const push = async (): Promise<void> => {
    for (let n = 10; n < 20; n++) {
      store.put(key(n), bytesOf(n));
      await idle(store);
    }
  };
  await push();
  for (let n = 0; n < 3; n++) assert.deepEqual(await got(store, key(n)), Buffer.from(bytesOf(n)), `segment ${n}`);
  store.protect(one, [key(1)]);
  store.unprotect(two);
  await push();
  assert.deepEqual(
    [0, 1, 2].map((n) => store.has(key(n))),
    [false, true, false],
  );
  store.unprotect(one);
  await push();
  assert.equal(store.has(key(1)), false);
});

test('protected segments beyond both budgets stay in memory', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 10 * KB, diskBytes: 20 * KB, folder: room.path });
  store.protect(
    store,
    Array.from({ length: 8 }, (_, n) => key(n)),
  );
  for (let n = 0; n < 8; n++) store.put(key(n), bytesOf(n));
  await idle(store);
  for (let n = 0; n < 8; n++) assert.deepEqual(await got(store, key(n)), Buffer.from(bytesOf(n)));
  assert.ok(store.stats.diskBytes <= 20 * KB);
  store.unprotect(store);
  await idle(store);
  assert.ok(store.stats.memoryBytes <= 10 * KB);
});

test('a disk that can’t follow bounds memory by eviction', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 1000 * KB, diskBytes: 10 ** 9, folder: room.path });
  for (let n = 0; n < 60; n++) store.put(key(n), bytesOf(n, 1000 * KB));
  assert.ok(store.stats.memoryBytes <= 34 * 1024 * KB);
  assert.ok(store.has(key(59)));
  await idle(store);
  assert.ok(store.stats.memoryBytes <= 1000 * KB);
  for (let n = 40; n < 60; n++) assert.equal((await store.get(key(n), never))?.[0], n + 1);
});

test('a put replaces, a drop takes one presentation whole', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 15 * KB, diskBytes: 500 * KB, folder: room.path });
  for (let n = 0; n < 5; n++) {
    store.put(key(n), bytesOf(n));
    store.put(key(n, 'other'), bytesOf(n + 50));
  }
  store.put(key(0), bytesOf(90, 5 * KB));
  await idle(store);
  assert.deepEqual(await got(store, key(0)), Buffer.from(bytesOf(90, 5 * KB)));
  await store.drop('film');
  await idle(store);
  for (let n = 0; n < 5; n++) {
    assert.equal(await store.get(key(n), never), undefined);
    assert.deepEqual(await got(store, key(n, 'other')), Buffer.from(bytesOf(n + 50)));
  }
  await store.drop('other');
  await idle(store);
  assert.deepEqual(room.files(), []);
  assert.equal(store.stats.diskBytes, 0);
  assert.equal(store.stats.memoryBytes, 0);
});

test('a view does not hold the buffer that it is of', async () => {
  using room = new Room();
  await using store = new SegmentStore({ diskBytes: 0, folder: room.path });
  const big = new Uint8Array(1000 * KB).fill(7);
  store.put(key(1), big.subarray(0, KB));
  const kept = await store.get(key(1), never);
  assert.equal(kept?.length, KB);
  assert.ok(kept.buffer.byteLength < 10 * KB);
});

test('an abort ends the wait, not the read that others share', async () => {
  using room = new Room();
  await using store = new SegmentStore({ memoryBytes: 0, diskBytes: 500 * KB, folder: room.path });
  store.put(key(1), bytesOf(1));
  await idle(store);
  const controller = new AbortController();
  const left = store.get(key(1), controller.signal);
  const stays = store.get(key(1), never);
  controller.abort(new Error('left'));
  await assert.rejects(left, /left/);
  assert.deepEqual(Buffer.from((await stays) ?? []), Buffer.from(bytesOf(1)));
  await assert.rejects(store.get(key(1), controller.signal), /left/);
});

test('damaged, short and missing files are misses, and gone', async () => {
  using room = new Room();
  const log = recorder();
  await using store = new SegmentStore({ memoryBytes: 0, diskBytes: 500 * KB, folder: room.path, log });
  for (let n = 0; n < 4; n++) {
    store.put(key(n), bytesOf(n));
    await idle(store);
  }
  for (const file of room.files()) {
    const bytes = readFileSync(file);
    const n = (bytes[0] as number) - 1;
    if (n === 0) writeFileSync(file, bytes.with(5000, 99));
    if (n === 1) writeFileSync(file, bytes.subarray(0, 100));
    if (n === 2) rmSync(file);
  }
  const found = await Promise.all([0, 1, 2, 3].map((n) => got(store, key(n))));
  assert.deepEqual(found, [undefined, undefined, undefined, Buffer.from(bytesOf(3))]);
  await idle(store);
  assert.equal(room.files().length, 1);
  assert.equal(store.stats.diskBytes, 10 * KB);
  assert.equal(store.stats.misses, 3);
});

test('a folder that is deleted while playing is made anew', async () => {
  using room = new Room();
  const log = recorder();
  await using store = new SegmentStore({ memoryBytes: 0, diskBytes: 500 * KB, folder: room.path, log });
  store.put(key(0), bytesOf(0));
  await idle(store);
  for (const name of readdirSync(room.path)) rmSync(join(room.path, name), { recursive: true });
  store.put(key(1), bytesOf(1));
  await idle(store);
  assert.equal(await store.get(key(0), never), undefined);
  assert.deepEqual(await got(store, key(1)), Buffer.from(bytesOf(1)));
  assert.deepEqual(log.lines, []);
});

test('without its temporary folder memory serves, said once; when it is back, so is the disk', async () => {
  using room = new Room();
  const log = recorder();
  const folder = join(room.path, 'tmp');
  await using store = new SegmentStore({ memoryBytes: 25 * KB, diskBytes: 500 * KB, folder, log, retryMs: 100 });
  writeFileSync(folder, 'a file stands where the folder should');
  for (let n = 0; n < 20; n++) {
    store.put(key(n), bytesOf(n));
    assert.deepEqual(await got(store, key(n)), Buffer.from(bytesOf(n)), `segment ${n} is served while it is the last`);
  }
  await idle(store);
  assert.ok(store.stats.memoryBytes <= 25 * KB);
  assert.equal(store.stats.diskBytes, 0);
  assert.equal(log.lines.length, 1);
  rmSync(folder);
  mkdirSync(folder);
  await setTimeout(150);
  for (let n = 20; n < 30; n++) store.put(key(n), bytesOf(n));
  await idle(store);
  for (let n = 25; n < 30; n++) assert.deepEqual(await got(store, key(n)), Buffer.from(bytesOf(n)));
  assert.deepEqual(
    log.lines.map((line) => line.split(' ')[0]),
    ['warn', 'info'],
  );
});

/** A file system of 256 KB; where none may be mounted, a folder in which nothing can be made. */
function tinyFileSystem(path: string): Disposable {
  mkdirSync(path);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path]).status === 0) {
    return { [Symbol.dispose]: () => void execFileSync('umount', ['-l', path]) };
  }
  rmSync(path, { recursive: true });
  writeFileSync(path, '');
  return { [Symbol.dispose]: () => rmSync(path) };
}

test('a full disk is used as far as it goes, without errors', async () => {
  using room = new Room();
  const folder = join(room.path, 'tiny');
  using _mounted = tinyFileSystem(folder);
  const log = recorder();
  await using store = new SegmentStore({ memoryBytes: 40 * KB, diskBytes: 5000 * KB, folder, log });
  for (let n = 0; n < 100; n++) {
    store.put(key(n), bytesOf(n));
    assert.deepEqual(await got(store, key(n)), Buffer.from(bytesOf(n)));
    if (n % 7 === 0) await idle(store);
  }
  await idle(store);
  let stored = 0;
  for (let n = 0; n < 100; n++) {
    const bytes = await got(store, key(n));
    if (bytes === undefined) continue;
    stored += 1;
    assert.deepEqual(bytes, Buffer.from(bytesOf(n)));
  }
  assert.ok(stored >= 4, `${stored} are stored`);
  assert.ok(store.stats.diskBytes <= 256 * KB);
  assert.equal(log.lines.length, 1);
  assert.match(log.lines[0] as string, /^warn .*memory serves/);
});

test('left-overs of dead processes are swept, nothing else', async () => {
  using room = new Room();
  const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const make = (name: string): string => {
    mkdirSync(join(room.path, name));
    writeFileSync(join(room.path, name, 'segment'), 'x');
    return join(room.path, name);
  };
  const gone = [make(`raffi-cache-${host}-${dead}-aaaaaa`), make(`raffi-cache-${host}-${process.pid}-bbbbbb`)];
  const kept = [
    make(`raffi-cache-${host}-${process.ppid}-cccccc`),
    make(`raffi-cache-00000000-${dead}-dddddd`),
    make(`raffi-cache-${host}-${dead}x-eeeeee`),
    make('raffi-cache'),
    make('somebody-elses'),
  ];
  symlinkSync(kept[4] as string, join(room.path, `raffi-cache-${host}-${dead}-ffffff`));
  await using first = new SegmentStore({ memoryBytes: 0, diskBytes: 100 * KB, folder: room.path });
  first.put(key(1), bytesOf(1));
  await idle(first);
  await using second = new SegmentStore({ memoryBytes: 0, diskBytes: 100 * KB, folder: room.path });
  await idle(second);
  assert.deepEqual(gone.filter(existsSync), []);
  assert.deepEqual(
    kept.filter((path) => existsSync(join(path, 'segment'))),
    kept,
  );
  assert.deepEqual(await got(first, key(1)), Buffer.from(bytesOf(1)), 'a running store is not touched');
});

test('the folder is private, and gone at the end; a closed store is empty and silent', async () => {
  using room = new Room();
  const store = new SegmentStore({ memoryBytes: 0, diskBytes: 500 * KB, folder: room.path });
  for (let n = 0; n < 20; n++) store.put(key(n), bytesOf(n));
  await idle(store);
  const [folder] = readdirSync(room.path);
  assert.equal(statSync(join(room.path, folder as string)).mode & 0o777, 0o700);
  for (const file of room.files()) assert.equal(statSync(file).mode & 0o777, 0o600);
  for (let n = 20; n < 40; n++) store.put(key(n), bytesOf(n));
  const pending = store.get(key(3), never);
  await Promise.all([store[Symbol.asyncDispose](), store[Symbol.asyncDispose]()]);
  const bytes = await pending;
  assert.ok(bytes === undefined || bytes[0] === 4);
  assert.deepEqual(readdirSync(room.path), []);
  store.put(key(1), bytesOf(1));
  store.unprotect(store);
  assert.equal(await store.get(key(1), never), undefined);
  assert.deepEqual(readdirSync(room.path), []);
});

test('the default budget is a tenth of what is free, 4 GiB at most', () => {
  const bytes = defaultCacheBytes(tmpdir());
  assert.ok(bytes > 0 && bytes <= 4 * 1024 ** 3);
  assert.equal(defaultCacheBytes('/no such folder'), 0);
});

type Step =
  | { readonly do: 'put'; readonly segment: number; readonly size: number }
  | { readonly do: 'get'; readonly segment: number }
  | { readonly do: 'protect'; readonly owner: number; readonly segments: readonly number[] }
  | { readonly do: 'unprotect'; readonly owner: number }
  | { readonly do: 'drop'; readonly presentation: number }
  | { readonly do: 'idle' };

const SEGMENTS = 12;
const segment = fc.nat(SEGMENTS - 1);
const owner = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('put' as const), segment, size: fc.integer({ min: 1, max: 9000 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('get' as const), segment }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('protect' as const), owner, segments: fc.array(segment, { maxLength: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unprotect' as const), owner }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), presentation: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'idle' as const }) },
);

const keyOf = (n: number): SegmentKey => key(n, `film ${n % 2}`);

/** What the store may and must say, by the history of calls. */
class Model {
  readonly latest = new Map<number, Uint8Array>();
  /** Stored while, or before, it was protected, and protected ever since. */
  readonly kept = new Set<number>();
  readonly owners = [new Set<number>(), new Set<number>(), new Set<number>()];

  isProtected(n: number): boolean {
    return this.owners.some((set) => set.has(n));
  }

  protect(who: number, segments: readonly number[], has: (n: number) => boolean): void {
    this.owners[who] = new Set(segments);
    for (let n = 0; n < SEGMENTS; n++) {
      if (!this.isProtected(n)) this.kept.delete(n);
      else if (has(n)) this.kept.add(n);
    }
  }

  get keptBytes(): number {
    return [...this.kept].reduce((sum, n) => sum + (this.latest.get(n)?.length ?? 0), 0);
  }
}

async function apply(store: SegmentStore, model: Model, action: Step, count: number): Promise<void> {
  switch (action.do) {
    case 'put': {
      const bytes = new Uint8Array(action.size).fill(count);
      model.latest.set(action.segment, bytes);
      if (model.isProtected(action.segment)) model.kept.add(action.segment);
      store.put(keyOf(action.segment), bytes);
      break;
    }
    case 'get': {
      const bytes = await got(store, keyOf(action.segment));
      if (bytes) assert.ok(bytes.equals(model.latest.get(action.segment) ?? Buffer.alloc(0)));
      break;
    }
    case 'protect':
      model.protect(action.owner, action.segments, (n) => store.has(keyOf(n)));
      store.protect(OWNERS[action.owner]!, action.segments.map(keyOf));
      break;
    case 'unprotect':
      model.protect(action.owner, [], () => false);
      store.unprotect(OWNERS[action.owner]!);
      break;
    case 'drop':
      for (let n = action.presentation; n < SEGMENTS; n += 2) {
        model.latest.delete(n);
        model.kept.delete(n);
      }
      await store.drop(`film ${action.presentation}`);
      break;
    case 'idle':
      await idle(store);
  }
}

const OWNERS = [{}, {}, {}];

test('whatever is called in whatever order: right bytes or none, budgets kept, what is protected stays', async () => {
  using room = new Room();
  const limits = fc.record({
    memoryBytes: fc.integer({ max: 20_000, min: 0 }),
    diskBytes: fc.integer({ max: 40_000, min: 0 }),
  });
  await fc.assert(
    fc.asyncProperty(limits, fc.array(step, { maxLength: 60 }), async ({ memoryBytes, diskBytes }, steps) => {
      await using store = new SegmentStore({ memoryBytes, diskBytes, folder: room.path });
      const model = new Model();
      for (const [count, action] of steps.entries()) {
        await apply(store, model, action, count);
        assert.ok(store.stats.diskBytes <= diskBytes, 'disk budget');
        for (const n of model.kept) assert.ok(store.has(keyOf(n)), `protected segment ${n}`);
      }
      await idle(store);
      assert.ok(store.stats.memoryBytes <= memoryBytes + model.keptBytes, 'memory');
      const files = room.files();
      assert.equal(
        files.reduce((sum, file) => sum + statSync(file).size, 0),
        store.stats.diskBytes,
      );
      for (const n of model.kept) assert.ok(await store.get(keyOf(n), never), `protected segment ${n}`);
      for (let n = 0; n < SEGMENTS; n++) await apply(store, model, { do: 'get', segment: n }, 0);
    }),
    { numRuns: 150 },
  );
});
