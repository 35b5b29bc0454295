/** Web seeds (BEP 19): servers that have a torrent's files, alone and beside peers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SeedWire, type WantedBlock } from '../../src/torrent/webseed/seed-wire.ts';
import { randomBytes, TestEngine, testFolder, torrentOf } from '../fixtures/torrent/engine-kit.ts';
import { WirePeer } from '../fixtures/torrent/wire-peer.ts';
import { type MadeTorrent, makeTorrent } from '../fixtures/torrents.ts';
import { startTestServer, type TestServer } from './harness.ts';

const KB = 1024;
const PIECE = 64 * KB;

interface FileServer extends AsyncDisposable {
  readonly url: string;
  /** `path start-end`, inclusive as in HTTP. */
  readonly asked: string[];
}

/** @param change may answer by itself. */
async function serve(
  files: Readonly<Record<string, Buffer>>,
  change: (request: IncomingMessage, response: ServerResponse) => boolean = () => false,
): Promise<FileServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    asked.push(`${path} ${first}-${last}`);
    if (change(request, response)) return;
    const file = files[path];
    if (file === undefined) response.writeHead(404).end();
    else {
      response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${file.length}` });
      response.end(file.subarray(Number(first), Number(last) + 1));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function start(folder: string, more: Record<string, string> = {}): Promise<TestServer> {
  return startTestServer({
    RAFFI_TORRENT_DIR: folder,
    RAFFI_TORRENT_DHT: '0',
    RAFFI_TORRENT_LSD: '0',
    RAFFI_TORRENT_LISTEN: '127.0.0.1:0',
    // The web seeds of these tests are on this machine.
    RAFFI_ALLOW_PRIVATE_SOURCES: '1',
    ...more,
  });
}

async function create(server: TestServer, torrent: Uint8Array): Promise<string> {
  const answer = await server.get('/sessions', {
    method: 'POST',
    headers: { 'content-type': 'application/x-bittorrent' },
    body: new Uint8Array(torrent),
  });
  assert.equal(answer.status, 201);
  return ((await answer.json()) as { id: string }).id;
}

interface WebSeedReport {
  readonly label: string;
  readonly state: string;
  readonly reason?: string;
}

/** Why web seeds fail, as soon as so many have. */
async function failures(server: TestServer, id: string, count: number): Promise<string[]> {
  for (const deadline = performance.now() + 60_000; ; ) {
    const { body } = await server.json<{ torrent?: { sources: WebSeedReport[] } }>(`/sessions/${id}`);
    const failed = (body.torrent?.sources ?? []).filter(({ state }) => state === 'failed');
    if (failed.length >= count) return failed.map(({ reason = '' }) => reason);
    assert.ok(performance.now() < deadline, JSON.stringify(body.torrent?.sources));
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

const film = randomBytes(1_000_000, 9);
const notes = randomBytes(100_000, 10);

/** Films in a folder with a name that has to be encoded. */
function folderTorrent(webSeeds: readonly string[]): MadeTorrent {
  const files = [
    { path: ['notes & more.txt'], content: notes },
    { path: ['sub', 'the film #1.mkv'], content: film },
  ];
  return makeTorrent({ name: 'Films 100%', pieceLength: PIECE, files, webSeeds });
}

const FOLDER_FILES = {
  '/data/Films%20100%25/notes%20%26%20more.txt': notes,
  '/data/Films%20100%25/sub/the%20film%20%231.mkv': film,
};

describe('web seeds', { timeout: 240_000 }, () => {
  test('a lone web seed gives a torrent of several files, piece by piece', async () => {
    await using folder = await testFolder();
    await using web = await serve(FOLDER_FILES);
    await using server = await start(folder.path);
    const torrent = folderTorrent([`${web.url}/data/`]);
    await create(server, torrent.bytes);
    assert.ok(film.equals(await server.bytes(`/torrents/${torrent.infoHash}/1`)));
    assert.ok(notes.equals(await server.bytes(`/torrents/${torrent.infoHash}/0`)));
    const bytes = web.asked.reduce((sum, range) => {
      const [, first, last] = / (\d+)-(\d+)$/.exec(range) ?? [];
      return sum + Number(last) - Number(first) + 1;
    }, 0);
    assert.ok(bytes < 1.3 * (film.length + notes.length), `${bytes} bytes asked for`);
  });

  test('a magnet link names one, and the metadata come from a peer that then vanishes', async () => {
    await using folder = await testFolder();
    await using web = await serve({ '/film.bin': film });
    await using server = await start(folder.path);
    const torrent = {
      ...makeTorrent({ name: 'film.bin', pieceLength: PIECE, files: [{ content: film }] }),
      content: film,
      pieceLength: PIECE,
      name: 'film.bin',
    };
    await using peer = await WirePeer.start(torrent, { silent: true });
    const seed = encodeURIComponent(`${web.url}/film.bin`);
    const source = `${torrent.magnet}&x.pe=127.0.0.1:${peer.address.port}&ws=${seed}`;
    const id = await server.create({ source });
    for (;;) {
      const { body } = await server.json<{ stage: string }>(`/torrents/${torrent.infoHash}/status`);
      if (body.stage !== 'metadata') break;
    }
    assert.ok(film.equals(await server.bytes(`/sessions/${id}/file`)));
    assert.ok(web.asked.length > 0);
  });

  test('beside peers that have everything it is a reserve: for what a reader waits for, and when they are gone', async () => {
    await using folder = await testFolder();
    const torrent = torrentOf(4_000_000, PIECE, 11);
    await using peer = await WirePeer.start(torrent, { rate: 1_000_000 });
    await using engine = await TestEngine.start();
    await engine.add(torrent, folder.path, [peer.address]);
    const rest = [{ start: 0, end: 3_000_000 }];
    engine.demand({ rest });
    await engine.until(() => engine.have.size > 2);
    const asked: WantedBlock[] = [];
    let askedOnce = Promise.withResolvers<void>();
    const wire = new SeedWire(torrent.infoHash, {
      requested: (block) => {
        asked.push(block);
        askedOnce.resolve();
        const { message, content } = wire.blockMessage(block);
        const at = block.piece * PIECE + block.begin;
        message.set(torrent.content.subarray(at, at + block.length), content);
        wire.send(message);
      },
      cancelled: () => {},
      closed: () => {},
    });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => wire.close());
    const remote = { host: 'a reserve', port: 1 };
    engine.engine.attach({ type: 'stream', infoHash: torrent.infoHash, port: wire.far, remote, isReserve: true });
    await engine.until(() => engine.stats?.peers === 2);
    const had = engine.have.size;
    await engine.until(() => engine.have.size > had + 8);
    assert.deepEqual(asked, []);
    // More than the peer is asked for at once.
    const waiting = { start: 3_000_000, end: 4_000_000 };
    engine.demand({ rest, readers: [{ reader: 1, waiting: [waiting], ahead: [] }] });
    await askedOnce.promise;
    await engine.whenHad(waiting);
    for (const { piece } of asked) assert.ok((piece + 1) * PIECE > waiting.start, `piece ${piece}`);
    askedOnce = Promise.withResolvers<void>();
    engine.demand({ rest });
    await peer.vanish();
    await askedOnce.promise;
    await engine.whenHad({ start: 0, end: 3_000_000 });
    assert.ok((await engine.read({ start: 0, end: 3_000_000 })).equals(torrent.content.subarray(0, 3_000_000)));
  });

  test('one that sends other bytes is asked no more, and who is honest gives the rest', async () => {
    await using folder = await testFolder();
    const bad = Buffer.from(film);
    for (let at = 0; at < bad.length; at += PIECE) bad[at]! ^= 1;
    await using liar = await serve({ '/film.bin': bad });
    await using honest = await serve({ '/film.bin': film });
    await using server = await start(folder.path);
    const webSeeds = [`${liar.url}/film.bin`];
    const torrent = makeTorrent({ name: 'film.bin', pieceLength: PIECE, files: [{ content: film }], webSeeds });
    const id = await create(server, torrent.bytes);
    const bytes = server.bytes(`/sessions/${id}/file`);
    assert.deepEqual(await failures(server, id, 1), ['sent data that is not the torrent']);
    const asked = liar.asked.length;
    await server.create({ source: `${torrent.magnet}&ws=${encodeURIComponent(`${honest.url}/film.bin`)}` });
    assert.ok(film.equals(await bytes));
    assert.equal(liar.asked.length, asked);
  });

  test('one that fails in all manners is tried again until it answers', async () => {
    await using folder = await testFolder();
    let calls = 0;
    await using web = await serve({ '/film.bin': film }, (request, response) => {
      calls += 1;
      const failures: (() => void)[] = [
        () => request.socket.destroy(),
        () => response.writeHead(503).end(),
        () => {
          response.writeHead(206, { 'content-range': `bytes 0-99/${film.length}`, 'content-length': '100' });
          response.write(film.subarray(0, 50));
          setImmediate(() => request.socket.destroy());
        },
      ];
      failures[calls - 1]?.();
      return calls <= failures.length;
    });
    await using server = await start(folder.path);
    const webSeeds = [`${web.url}/film.bin`];
    const torrent = makeTorrent({ name: 'film.bin', pieceLength: PIECE, files: [{ content: film }], webSeeds });
    const id = await create(server, torrent.bytes);
    assert.ok(film.equals(await server.bytes(`/sessions/${id}/file`)));
  });

  test('one with files of other lengths, or without ranges, gives nothing; one at a private address is not asked', async () => {
    await using folder = await testFolder();
    await using other = await serve({ '/film.bin': film.subarray(1) });
    await using whole = await serve({}, (_request, response) => {
      response.writeHead(200, { 'content-length': film.length }).end(film);
      return true;
    });
    const webSeeds = [`${other.url}/film.bin`, `${whole.url}/film.bin`];
    const torrent = makeTorrent({ name: 'film.bin', pieceLength: PIECE, files: [{ content: film }], webSeeds });
    {
      await using server = await start(folder.path);
      const reasons = await failures(server, await create(server, torrent.bytes), 2);
      assert.match(reasons[0] ?? '', /has a file of 999999 bytes where the torrent's has 1000000/);
    }
    await using guarded = await start(join(folder.path, 'guarded'), { RAFFI_ALLOW_PRIVATE_SOURCES: '0' });
    const before = other.asked.length + whole.asked.length;
    const forbidden = await failures(guarded, await create(guarded, torrent.bytes), 2);
    for (const reason of forbidden) assert.match(reason, /leads into this machine/);
    assert.equal(other.asked.length + whole.asked.length, before);
  });
});
