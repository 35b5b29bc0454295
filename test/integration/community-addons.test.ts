import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addon, json, startUpstream, type Upstream } from '../../src/catalogue/testing.ts';
import { startTestServer, type TestServer } from './harness.ts';

let folder: string;
let upstream: Upstream;
let server: TestServer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'raffi-test-addons-'));
  upstream = await startUpstream((_request, response) => response.writeHead(500).end());
  server = await start();
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const start = (): Promise<TestServer> =>
  startTestServer({ RAFFI_ADDON_CATALOGUES: upstream.url.href, RAFFI_CACHE_DIR: folder });

test('/community-addons: 502 while there is nothing, then the list, which outlives the upstream', async () => {
  const none = await server.json<{ code: string }>('/community-addons');
  assert.deepEqual([none.status, none.body.code], [502, 'addons-unavailable']);

  upstream.answer = json([addon('a'), 7, addon('b'), addon('a')]);
  await server[Symbol.asyncDispose]();
  server = await start();
  const answer = await server.get('/community-addons');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
  assert.equal(answer.headers.get('cache-control'), 'public, max-age=1800');
  const list = (await answer.json()) as Record<string, unknown>[];
  assert.deepEqual(list[1], {
    ...addon('b'),
    name: 'Add-on b',
    url: 'https://b.example/manifest.json',
    description: 'About b',
  });
  assert.equal(list.length, 2);

  const etag = answer.headers.get('etag') as string;
  const again = await server.get('/community-addons', { headers: { 'if-none-match': etag } });
  assert.deepEqual([again.status, await again.text()], [304, '']);
  assert.equal((await server.get('/community-addons', { method: 'HEAD' })).status, 200);

  await server[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  server = await start();
  assert.equal((await server.json<unknown[]>('/community-addons')).body.length, 2);
});
