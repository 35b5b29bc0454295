import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { AppError } from '../errors.ts';
import type { Source } from '../source/source.ts';
import { LoopbackReader } from './loopback.ts';
import { loopbackRange } from './loopback-range.ts';

const BYTES = Uint8Array.from({ length: 300_000 }, (_, n) => (n * 7 + (n >> 8)) & 255);

type Read = Source['read'];

function source(read?: Read): Source {
  return {
    identity: 'test',
    label: 'film.avi',
    name: 'film.avi',
    size: BYTES.length,
    latency: 'local',
    read: read ?? (async (offset, length) => BYTES.slice(offset, offset + length)),
    recycle: () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: Buffer;
}

/** Like fetch, which would not let the Host be another. */
function ask(url: string, options: { method?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, ...options }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('the loopback reader', () => {
  test('answers GET and HEAD, whole and in ranges', async () => {
    await using reader = await LoopbackReader.open(source());
    using loan = reader.lend();
    const whole = await ask(loan.url);
    assert.equal(whole.status, 200);
    assert.deepEqual(whole.body, Buffer.from(BYTES));
    assert.equal(whole.headers['accept-ranges'], 'bytes');
    for (const [range, from, to] of [
      ['bytes=0-', 0, 300_000],
      ['bytes=70000-199999', 70_000, 200_000],
      ['bytes=299999-400000', 299_999, 300_000],
      ['bytes=-5', 299_995, 300_000],
    ] as const) {
      const part = await ask(loan.url, { headers: { range } });
      assert.equal(part.status, 206);
      assert.equal(part.headers['content-range'], `bytes ${from}-${to - 1}/300000`);
      assert.deepEqual(part.body, Buffer.from(BYTES.subarray(from, to)), range);
    }
    const head = await ask(loan.url, { method: 'HEAD', headers: { range: 'bytes=10-19' } });
    assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [206, '10', 0]);
    const beyond = await ask(loan.url, { headers: { range: 'bytes=300000-' } });
    assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */300000']);
  });

  test('knows its own address only, under its own name only', async () => {
    await using reader = await LoopbackReader.open(source());
    using loan = reader.lend();
    const { origin, pathname } = new URL(loan.url);
    assert.match(pathname, /^\/[\w-]{43}$/);
    for (const path of ['/', '/other', `${pathname}/`, `${pathname}?a`, `/${pathname}`, pathname.slice(0, -1)])
      assert.equal((await ask(origin + path)).status, 404, path);
    for (const host of ['localhost', 'evil.example', '127.0.0.1', '127.0.0.1:1'])
      assert.equal((await ask(loan.url, { headers: { host } })).status, 404, host);
    assert.deepEqual((await ask(loan.url, { method: 'POST' })).headers.allow, 'GET, HEAD');
    using second = reader.lend();
    assert.notEqual(second.url, loan.url);
  });

  test('listens on the loopback interface alone', async () => {
    await using reader = await LoopbackReader.open(source());
    using loan = reader.lend();
    assert.equal(new URL(loan.url).hostname, '127.0.0.1');
    const other = connect(Number(new URL(loan.url).port), '127.0.0.2');
    const [error] = await once(other, 'error');
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
  });

  test('a loan that ends, ends its answers and its address, and no others', async () => {
    const begun = Promise.withResolvers<AbortSignal | undefined>();
    const hanging: Read = (_, __, signal) => {
      begun.resolve(signal);
      return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    };
    await using reader = await LoopbackReader.open(source(hanging));
    const loan = reader.lend();
    const supply = loan.supply(() => {});
    const running = supply.run();
    const broken = assert.rejects(ask(loan.url), { code: 'ECONNRESET' });
    const signal = await begun.promise;
    assert.equal(supply.waitingForInput, true);
    loan[Symbol.dispose]();
    await Promise.all([broken, running]);
    assert.equal(signal?.aborted, true);
    assert.equal(supply.waitingForInput, false);
    assert.equal(loan.failure, undefined);
    assert.equal((await ask(loan.url)).status, 404);
    using another = reader.lend();
    assert.equal((await ask(another.url, { method: 'HEAD' })).status, 200);
  });

  test('a source that fails is what the supply fails with; the answer is broken, not short', async () => {
    const gone = new AppError('source-unreachable', 'film.avi is gone.');
    const failing: Read = async (offset, length) => {
      if (offset > 0) throw gone;
      return BYTES.slice(0, length);
    };
    await using reader = await LoopbackReader.open(source(failing));
    using loan = reader.lend();
    const failed = assert.rejects(loan.supply(() => {}).run(), gone);
    await assert.rejects(ask(loan.url), { code: 'ECONNRESET' });
    await failed;
    assert.equal(loan.failure, gone);
  });

  test('a client that leaves is no failure of the source', async () => {
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const read: Read = (offset, length, signal) => {
      if (offset === 0) return Promise.resolve(BYTES.slice(0, length));
      begun.resolve();
      return new Promise((_resolve, reject) =>
        signal?.addEventListener('abort', () => {
          ended.resolve();
          reject(signal.reason);
        }),
      );
    };
    await using reader = await LoopbackReader.open(source(read));
    using loan = reader.lend();
    const { hostname, port, pathname, host } = new URL(loan.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await begun.promise;
    socket.resetAndDestroy();
    await ended.promise;
    assert.equal(loan.failure, undefined);
  });

  test('disposed of, it is gone, with all that hangs on it', async () => {
    const begun = Promise.withResolvers<void>();
    const hanging: Read = (_, __, signal) => {
      begun.resolve();
      return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    };
    const reader = await LoopbackReader.open(source(hanging));
    const { url } = reader.lend();
    const broken = assert.rejects(ask(url), { code: 'ECONNRESET' });
    await begun.promise;
    await reader[Symbol.asyncDispose]();
    await broken;
    await assert.rejects(ask(url), { code: 'ECONNREFUSED' });
    await reader[Symbol.asyncDispose]();
  });
});

test('ranges', () => {
  const whole = { from: 0, to: 100, partial: false };
  for (const header of [undefined, '', 'bytes', 'bytes=-', 'bytes=5-4', 'bytes=0-1,3-4', 'items=0-1', 'bytes=a-'])
    assert.deepEqual(loopbackRange(header, 100), whole, String(header));
  assert.deepEqual(loopbackRange('bytes=5-5', 100), { from: 5, to: 6, partial: true });
  assert.deepEqual(loopbackRange('bytes=-500', 100), { from: 0, to: 100, partial: true });
  assert.equal(loopbackRange('bytes=-0', 100), 'unsatisfiable');
  assert.equal(loopbackRange('bytes=100-100', 100), 'unsatisfiable');
});
