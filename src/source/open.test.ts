import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startOrigin, testBytes } from '../../test/fixtures/origin.ts';
import { AppError } from '../errors.ts';
import { type AddressGuard, anyAddress } from './guard.ts';
import { openSource } from './open.ts';
import { parseSource } from './spec.ts';

const MB = 1024 * 1024;
const body = testBytes(4 * MB);
const { signal } = new AbortController();

function recording(refuse: (what: string) => boolean = () => false): AddressGuard & { seen: string[] } {
  const seen: string[] = [];
  const check = (what: string) => {
    seen.push(what);
    if (refuse(what)) throw new AppError('source-forbidden', `No ${what}.`);
  };
  return {
    seen,
    checkUrl: (url) => check(`url ${url.href}`),
    checkAddress: (origin, address) => check(`address ${origin.host} ${address}`),
  };
}

const accessWith = (guard: AddressGuard) => ({ guardOf: () => guard, pathOf: async (path: string) => path });
const open = (url: string, guard: AddressGuard = anyAddress) =>
  openSource(parseSource(url, 'http'), { signal, access: accessWith(guard) });

const failsWith = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail, words);
  return true;
};

test('each kind of source', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'raffi-open-test-'));
  try {
    const path = join(folder, 'a.bin');
    await writeFile(path, body);
    await using file = await openSource(parseSource(path), { signal, access: accessWith(anyAddress) });
    assert.equal(file.size, body.length);
    await using origin = await startOrigin({ body });
    await using http = await openSource(parseSource(origin.url), { signal, access: accessWith(anyAddress) });
    assert.equal(http.size, body.length);
    await assert.rejects(
      openSource(parseSource('magnet:?xt=urn:btih:x'), { signal, access: accessWith(anyAddress) }),
      failsWith('source-unsupported', /A torrent is opened by its swarm/),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the guard sees every URL and the address of every connection', async () => {
  await using target = await startOrigin({ body });
  await using first = await startOrigin({ redirectTo: target.url });
  const guard = recording();
  await using source = await open(first.url, guard);
  assert.equal(source.size, body.length);
  const host = (url: string) => new URL(url).host;
  assert.deepEqual(guard.seen, [
    `url ${first.url}`,
    `address ${host(first.url)} 127.0.0.1`,
    `url ${target.url}`,
    `address ${host(target.url)} 127.0.0.1`,
  ]);
});

test('a name is checked by the address it resolves to, before anything is connected', async () => {
  await using origin = await startOrigin({ body });
  const port = new URL(origin.url).port;
  const guard = recording((what) => what.endsWith('127.0.0.1') || what.endsWith('::1'));
  await assert.rejects(
    open(`http://localhost:${port}/x`, guard),
    failsWith('source-forbidden', /No address localhost/),
  );
  await assert.rejects(open(origin.url, guard), failsWith('source-forbidden', /No address 127\.0\.0\.1/));
  assert.equal(origin.accepted(), 0);
});

test('a redirect to a refused URL is not followed', async () => {
  await using target = await startOrigin({ body });
  await using first = await startOrigin({ redirectTo: target.url });
  const guard = recording((what) => what === `url ${target.url}`);
  await assert.rejects(open(first.url, guard), failsWith('source-forbidden', /No url/));
  assert.equal(target.accepted(), 0);
  first.behaviour = { redirectTo: 'file:///etc/passwd' };
  await assert.rejects(open(first.url), failsWith('source-unsupported', /only http and https/));
});

test('redirects: the target is remembered, and the original asked again when it refuses', async () => {
  await using old = await startOrigin({ body });
  await using renewed = await startOrigin({ body });
  await using first = await startOrigin({ redirectTo: old.url });
  await using source = await open(first.url);
  assert.equal(source.label, first.url);
  await source.read(MB, MB);
  assert.equal(first.requests.length, 1);
  assert.equal(old.requests.length, 2);
  old.behaviour = { status: 403 };
  first.behaviour = { redirectTo: renewed.url };
  const bytes = await source.read(2 * MB, MB);
  assert.ok(Buffer.from(bytes).equals(body.subarray(2 * MB, 3 * MB)));
  await source.read(3 * MB, MB);
  assert.equal(first.requests.length, 2);
  assert.equal(renewed.requests.length, 2);
  renewed.behaviour = { status: 410 };
  first.behaviour = { status: 404 };
  await assert.rejects(source.read(1024 * 1024 - 300_000, 300_000), failsWith('source-http-status', /404 Not Found/));
});

test('redirects without end, to nowhere, and with an error behind them', async () => {
  await using round = await startOrigin({ redirectTo: '/b' });
  round.behaviour = { status: 302, headers: { location: '/again' } };
  await assert.rejects(open(round.url), failsWith('source-http-status', /redirects more than 5 times/));
  assert.equal(round.requests.length, 6);
  round.behaviour = { status: 301 };
  await assert.rejects(open(round.url), failsWith('source-http-status', /redirects \(301\) to no valid URL/));
  await using gone = await startOrigin({ status: 410 });
  round.behaviour = { redirectTo: `${gone.url}?secret` };
  await assert.rejects(open(round.url), (error) => {
    failsWith('source-http-status', /redirected to http.*answered 410 Gone/)(error);
    assert.ok(!String(error).includes('secret'));
    return true;
  });
});

test('credentials go to their own origin only, and into no label', async () => {
  await using target = await startOrigin({ body });
  await using first = await startOrigin({ redirectTo: target.url });
  await using source = await open(first.url.replace('http://', 'http://us%40er:p%3Ass@'));
  assert.equal(first.requests[0]?.headers.authorization, `Basic ${btoa('us@er:p:ss')}`);
  assert.equal(target.requests[0]?.headers.authorization, undefined);
  assert.ok(!source.label.includes('er'), source.label);
});

test('proxies in the environment are ignored', async () => {
  await using origin = await startOrigin({ body });
  process.env.http_proxy = 'http://127.0.0.1:9';
  try {
    await using source = await open(origin.url);
    assert.equal(source.size, body.length);
  } finally {
    delete process.env.http_proxy;
  }
});

test('what is not HTTP, and headers without end, are told in words', async () => {
  const server = createServer();
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.end('SSH-2.0-OpenSSH_9.2\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await assert.rejects(open(`http://127.0.0.1:${port}/`), failsWith('source-unreachable', /correct HTTP/));
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});
