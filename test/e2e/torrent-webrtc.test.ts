/** A browser as a peer: webtorrent in a page of Chromium seeds, and the server downloads from it, by a WebSocket tracker and WebRTC. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTracker } from '../fixtures/seeders.ts';
import { noWebRtc } from '../fixtures/server-process.ts';
import { testFolder, torrentOf } from '../fixtures/torrent/engine-kit.ts';
import { launchBrowser, startServer } from './browser.ts';

const BUNDLE = fileURLToPath(new URL('../../node_modules/webtorrent/dist/webtorrent.min.js', import.meta.url));

/** Serves webtorrent for browsers, the content, and an empty page. */
async function site(content: Buffer): Promise<{ readonly url: string } & AsyncDisposable> {
  const bundle = await readFile(BUNDLE);
  const server = createServer(({ url }, response) => {
    const script = url === '/webtorrent.js';
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(script ? bundle : url === '/content' ? content : '<!doctype html>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a page in Chromium that seeds is a peer', { skip: noWebRtc, timeout: 120_000 }, async () => {
  const torrent = torrentOf(4_000_007, 64 * 1024, 5);
  await using tracker = await startTracker();
  await using folder = await testFolder();
  await using pages = await site(torrent.content);
  await using browser = await launchBrowser(['--allow-loopback-in-peer-connection']);
  const page = await browser.newPage();
  await page.goto(pages.url);
  const infoHash = await page.evaluate(`(async () => {
    const { default: WebTorrent } = await import('/webtorrent.js');
    const client = new WebTorrent({ tracker: { rtcConfig: { iceServers: [] } } });
    const file = new File([await (await fetch('/content')).arrayBuffer()], '${torrent.name}');
    const options = { name: '${torrent.name}', pieceLength: ${torrent.pieceLength}, announce: ['${tracker.ws}'] };
    const { infoHash } = await new Promise((resolve) => client.seed(file, options, resolve));
    return infoHash;
  })()`);
  assert.equal(infoHash, torrent.infoHash);
  await using server = await startServer({
    RAFFI_TORRENT_DIR: folder.path,
    RAFFI_TORRENT_DHT: '0',
    RAFFI_TORRENT_LSD: '0',
    RAFFI_TORRENT_STUN: 'none',
    RAFFI_TORRENT_LISTEN: '127.0.0.1:0',
    // The tracker is on this machine.
    RAFFI_ALLOW_PRIVATE_SOURCES: '1',
  });
  const source = `${torrent.magnet}&tr=${encodeURIComponent(tracker.ws)}`;
  await fetch(`${server.url}/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ source }),
  });
  // 503 until the metadata are there.
  let answer: Response;
  do answer = await fetch(`${server.url}/torrents/${torrent.infoHash}/0`);
  while (answer.status === 503);
  assert.equal(answer.status, 200);
  assert.ok(torrent.content.equals(Buffer.from(await answer.arrayBuffer())));
});
