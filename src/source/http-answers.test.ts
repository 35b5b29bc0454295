/** Answers to ranged requests that are odd, wrong or false. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { startOrigin, testBytes } from '../../test/fixtures/origin.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';
import { defaultTuning } from './http-tuning.ts';
import type { Source } from './source.ts';

const MB = 1024 * 1024;
const body = testBytes(9 * MB + 123);
const tuning = { ...defaultTuning, headTimeout: 400, stallTimeout: 200, patience: 500, backoff: 5, maxBackoff: 20 };
const { signal } = new AbortController();

const failsWith = (code: ErrorCode, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail, words);
  return true;
};

/** `start` inclusive and `end` exclusive are what is asked for. */
type Answer = (response: ServerResponse, start: number, end: number) => void;

async function withServer(answer: Answer, use: (open: () => Promise<Source>) => Promise<void>): Promise<void> {
  const server = createServer((request: IncomingMessage, response) => {
    const match = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '');
    answer(response, Number(match?.[1] ?? 0), Math.min(body.length, Number(match?.[2] ?? body.length) + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await use(() => openHttp(new URL(`http://127.0.0.1:${port}/v.mp4`), anyAddress, signal, tuning));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const survived: Record<string, Answer> = {
  'a range that begins earlier than asked for': (response, start, end) => {
    const first = Math.max(0, start - 1000);
    response.writeHead(206, { 'content-range': `bytes ${first}-${end - 1}/${body.length}` });
    response.end(body.subarray(first, end));
  },
  'a range that does not end where it was asked to': (response, start) => {
    response.writeHead(206, { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` });
    response.end(body.subarray(start));
  },
  'a size that is told the first time only': (response, start, end) => {
    response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${start === 0 ? body.length : '*'}` });
    response.end(body.subarray(start, end));
  },
  'HTTP/1.0 in its manners: the connection closes after each answer': (response, start, end) => {
    response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${body.length}`, connection: 'close' });
    response.end(body.subarray(start, end));
  },
};

for (const [name, answer] of Object.entries(survived)) {
  test(`survived: ${name}`, () =>
    withServer(answer, async (open) => {
      await using source = await open();
      assert.equal(source.size, body.length);
      for (const [from, to] of [
        [0, 1000],
        [4 * MB, 5 * MB],
        [body.length - 10, body.length],
      ] as const) {
        const bytes = await source.read(from, to - from);
        assert.ok(Buffer.from(bytes).equals(body.subarray(from, to)), `${from}-${to}`);
      }
    }));
}

const refused: [name: string, answer: Answer, code: ErrorCode, words: RegExp][] = [
  [
    '206 without Content-Range',
    (response) => response.writeHead(206).end('x'),
    'source-no-range',
    /does not say which part/,
  ],
  [
    'several ranges at once',
    (response) => response.writeHead(206, { 'content-type': 'multipart/byteranges; boundary=x' }).end('--x--'),
    'source-no-range',
    /does not say which part/,
  ],
  [
    'a size beyond all measure',
    (response) => response.writeHead(206, { 'content-range': `bytes 0-9/${2n ** 60n}` }).end('0123456789'),
    'source-no-range',
    /does not say which part/,
  ],
  ['204', (response) => response.writeHead(204).end(), 'source-http-status', /204 No Content/],
  [
    '416 with a size',
    (response) => response.writeHead(416, { 'content-range': 'bytes */5' }).end(),
    'source-no-range',
    /refuses to send the first part/,
  ],
  [
    'a gigantic file of nothing',
    (response) => response.writeHead(200, { 'content-length': `${2 ** 50}` }).flushHeaders(),
    'source-no-range',
    /too large to be copied/,
  ],
];

for (const [name, answer, code, words] of refused) {
  test(`refused: ${name}`, () =>
    withServer(answer, async (open) => {
      await assert.rejects(open(), failsWith(code, words));
    }));
}

test('a size that is false: the end comes too early, every time', async () => {
  const half = 4 * MB;
  await withServer(
    (response, start, end) => {
      const last = Math.max(start, Math.min(end, half));
      response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${body.length}` });
      response.end(body.subarray(start, last));
    },
    async (open) => {
      await using source = await open();
      await assert.rejects(source.read(3 * MB, 3 * MB), failsWith('source-truncated', /ends at byte 4194304/));
      assert.equal((await source.read(3 * MB, MB)).length, MB);
    },
  );
});

test('an origin that stops knowing ranges: near bytes are read past, far ones refused', async () => {
  await using origin = await startOrigin({ body });
  await using source = await openHttp(new URL(origin.url), anyAddress, signal, tuning);
  origin.behaviour = { noRange: true };
  const bytes = await source.read(2 * MB, 1000);
  assert.ok(Buffer.from(bytes).equals(body.subarray(2 * MB, 2 * MB + 1000)));
  await assert.rejects(
    source.read(8.5 * MB, 1000),
    failsWith('source-no-range', /has stopped answering requests for a part/),
  );
});

test('an origin that goes away after the opening', async () => {
  const origin = await startOrigin({ body });
  await using source = await openHttp(new URL(origin.url), anyAddress, signal, tuning);
  assert.equal((await source.read(0, 1000)).length, 1000);
  await origin.close();
  await assert.rejects(source.read(4 * MB, 1000), failsWith('source-unreachable', /nothing listens/));
  assert.equal((await source.read(0, 1000)).length, 1000);
});
