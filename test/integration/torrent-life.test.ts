import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { pino } from 'pino';
import { anyAddress } from '../../src/source/guard.ts';
import { SourcePolicy } from '../../src/source/policy.ts';
import { TorrentService } from '../../src/torrent/service.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { onlyOfSources } from '../fixtures/server-process.ts';
import { type FilmTorrent, filmTorrent } from '../fixtures/torrent-film.ts';
import { startTestServer, type TestServer, until } from './harness.ts';

const anyAccess = new SourcePolicy({
  allowPrivate: true,
  mediaRoots: [],
  ownPort: () => undefined,
  ownNames: [],
}).accessOf({ loopback: true });

/** Filled up to 4 Mb/s, so that it has many pieces. */
const FILLER = ['-b:v', '4M', '-maxrate', '4M', '-bufsize', '4M', '-x264-params', 'nal-hrd=cbr'];
const media = () => numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 40, extraArgs: FILLER });

interface Info {
  readonly status: string;
  readonly error?: string;
  readonly errorCode?: string;
  readonly torrent?: { readonly piecesComplete: number; readonly piecesTotal: number; readonly message: string };
}

/** Files below a folder, with what they take of the disk. */
async function onDisk(folder: string): Promise<{ names: string[]; bytes: number }> {
  const entries = existsSync(folder) ? await readdir(folder, { recursive: true, withFileTypes: true }) : [];
  const files = entries.filter((entry) => entry.isFile());
  const stats = await Promise.all(files.map((file) => stat(join(file.parentPath, file.name)).catch(() => undefined)));
  return {
    names: files.map(({ name }) => name),
    bytes: stats.reduce((sum, found) => sum + (found?.blocks ?? 0) * 512, 0),
  };
}

const drop = (server: TestServer, id: string): Promise<Response> => server.get(`/sessions/${id}`, { method: 'DELETE' });

describe('the life of torrents', { timeout: 300_000 }, () => {
  test('a hundred are created, played and deleted, and nothing is left', async () => {
    await using film = await filmTorrent(await media());
    await using seeder = await film.seed();
    await using server = await startTestServer(film.env);
    const source = film.link(seeder);
    const once_ = async (): Promise<void> => {
      const id = await server.create({ source });
      const range = { range: 'bytes=100000-100999' };
      const part = await server.get(`/sessions/${id}/file`, { headers: range });
      assert.ok(film.content.subarray(100_000, 101_000).equals(new Uint8Array(await part.arrayBuffer())));
      assert.equal((await drop(server, id)).status, 204);
      assert.deepEqual((await onDisk(join(film.folder, 'data'))).names, []);
    };
    const counts = async (): Promise<Record<string, number>> => {
      const { length: descriptors } = await readdir(`/proc/${server.pid}/fd`);
      const resources = process.getActiveResourcesInfo();
      const count = (name: string): number => resources.filter((one) => one === name).length;
      // Those of the requests' own connections come and go.
      return { descriptors, timers: count('Timeout'), ports: count('MessagePort'), datagrams: count('UDPWrap') };
    };
    for (let n = 0; n < 5; n++) await once_();
    const before = await counts();
    for (let n = 0; n < 100; n++) await once_();
    const after = await until('as few as before', async () => {
      const now = await counts();
      return Object.keys(now).every((key) => (now[key] ?? 0) <= (before[key] ?? 0)) ? now : undefined;
    }).catch(counts);
    for (const [key, count] of Object.entries(before))
      assert.ok((after[key] ?? 0) <= count, `${key}: ${count}, then ${after[key]}`);
  });

  test('with RAFFI_TORRENT_KEEP a restart goes on with what is there, without any peer', async () => {
    await using film = await filmTorrent(await media());
    const env = { ...film.env, RAFFI_TORRENT_KEEP: '1' };
    {
      await using seeder = await film.seed();
      await using server = await startTestServer(env);
      const id = await server.create({ source: film.link(seeder) });
      assert.ok(film.content.equals(await server.bytes(`/sessions/${id}/file`)));
      await drop(server, id);
    }
    assert.ok((await onDisk(join(film.folder, 'data', 'kept'))).bytes >= film.content.length);
    await using server = await startTestServer(env);
    const id = await server.create({ source: film.infoHash });
    assert.ok(
      film.content.equals(await server.bytes(`/torrents/${film.infoHash}/0`).catch(() => waitAndRead(server, id))),
    );
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(body.torrent?.piecesComplete, body.torrent?.piecesTotal);
    assert.match(body.torrent?.message ?? '', /All of it is here/);
    await using other = await startTestServer(env);
    await assert.doesNotReject(other.create({ source: film.infoHash }), 'a second server keeps nothing, and works');
  });

  test('no more lies on the disk than may, and all of it can be read all the same', async () => {
    await using film = await filmTorrent(await media());
    await using seeder = await film.seed();
    // Small chunks would be deleted one by one: pieces of 1 MiB make chunks of 16 MiB, so the film must be larger than that.
    await using big = await bigTorrent(film);
    await using bigSeeder = await film.seed({ torrent: big.path });
    await using server = await startTestServer({ ...film.env, RAFFI_TORRENT_BYTES: '40M' });
    const source = `${big.magnet}&x.pe=127.0.0.1:${bigSeeder.peer.port}`;
    const id = await server.create({ source, fileIdx: 0 });
    const path = `/torrents/${big.infoHash}/0`;
    let most = 0;
    await until('known', async () => ((await server.get(path, { method: 'HEAD' })).ok ? true : undefined));
    for (let at = 0; at < big.content.length; at += 8_000_000) {
      const end = Math.min(at + 8_000_000, big.content.length);
      const response = await server.get(path, { headers: { range: `bytes=${at}-${end - 1}` } });
      const bytes = Buffer.from(await response.arrayBuffer());
      const wrong = bytes.findIndex((byte, n) => byte !== big.content[at + n]);
      const length = bytes.length;
      assert.deepEqual(
        { status: response.status, length, wrong },
        { status: 206, length: end - at, wrong: -1 },
        `${at}`,
      );
      most = Math.max(most, (await onDisk(join(film.folder, 'data'))).bytes);
    }
    assert.ok(most < 75_000_000, `${most} bytes lay on the disk`);
    assert.ok(most > 8_000_000);
    await drop(server, id);
    await seeder[Symbol.asyncDispose]();
  });

  test('nobody tells what is in it: an error that says what was tried, until somebody does', async () => {
    await using film = await filmTorrent(await media());
    await using torrents = new TorrentService({
      directory: join(film.folder, 'data'),
      most: 10,
      keep: false,
      diskBytes: undefined,
      utp: false,
      listen: undefined,
      limits: {
        maxConnections: 50,
        maxConnectionsPerTorrent: 50,
        maxHalfOpen: 10,
        uploadBytesPerSecond: 0,
        downloadBytesPerSecond: null,
        bufferBytes: 16 * 1024 * 1024,
        encryption: 'allow',
      },
      trackers: true,
      dht: undefined,
      localDiscovery: false,
      webRtc: undefined,
      guard: anyAddress,
      linksFrom: 'loopback',
      own: () => ({ port: undefined, places: [] }),
      log: pino({ level: 'silent' }),
      metadataMs: 500,
    });
    const link = `${film.magnet}&tr=http%3A%2F%2F127.0.0.1%3A1%2Fannounce`;
    await using claim = torrents.open({ kind: 'torrent', reference: link }, anyAccess);
    const signal = AbortSignal.timeout(60_000);
    await assert.rejects(claim.open(undefined, true, signal), (error: Error & { code?: string; detail?: string }) => {
      assert.equal(error.code, 'torrent-no-metadata');
      assert.match(error.detail ?? '', /within 0\.5 s.*tracker http:\/\/127\.0\.0\.1:1 .*0 peers are known/);
      return true;
    });
    await using seeder = await film.seed();
    await using other = torrents.open({ kind: 'torrent', reference: film.link(seeder) }, anyAccess);
    const source = await until('the metadata is there', () =>
      other.open(undefined, true, signal).catch(() => undefined),
    );
    await using again = await claim.open(undefined, true, signal);
    assert.equal(again.size, film.content.length);
    await source[Symbol.asyncDispose]();
  });

  const skip = onlyOfSources('lets nobody end its engine from outside');
  test('an engine that fails is started again, and what was being played goes on', { skip }, async () => {
    await using film = await filmTorrent(await media());
    await using seeder = await film.seed();
    const workers = new Set<Worker>();
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (...args: Parameters<typeof post>) {
      workers.add(this);
      return post.apply(this, args);
    };
    try {
      await using server = await startTestServer(film.env);
      const id = await server.create({ source: film.link(seeder) });
      const part = async (from: number, to: number): Promise<boolean> => {
        const headers = { range: `bytes=${from}-${to - 1}` };
        const response = await server.get(`/sessions/${id}/file`, { headers });
        return response.ok && film.content.subarray(from, to).equals(new Uint8Array(await response.arrayBuffer()));
      };
      assert.ok(await part(0, 500_000));
      const [first] = [...workers].filter(({ threadId }) => threadId > 0);
      await first?.terminate();
      await until('the bytes come again', async () => ((await part(0, 900_000)) ? true : undefined));
      assert.ok(await part(film.content.length - 700_000, film.content.length));
      assert.equal(workers.size, 2);
    } finally {
      Worker.prototype.postMessage = post;
    }
  });

  test('what a killed process left is swept, and nothing else', async () => {
    await using film = await filmTorrent(await media());
    const dead = spawn('true');
    await once(dead, 'exit');
    const data = join(film.folder, 'data');
    await using first = await startTestServer(film.env);
    await using seeder = await film.seed();
    const id = await first.create({ source: film.link(seeder) });
    await first.bytes(`/sessions/${id}/file`);
    const [own] = (await readdir(data)).filter((name) => name.startsWith('run-'));
    const tag = /^run-([0-9a-f]+)-/.exec(own ?? '')?.[1];
    const leftover = join(data, `run-${tag}-${dead.pid}-abcdef`);
    const others = [join(data, 'run-00000000-1-abcdef'), join(data, 'mine')];
    for (const folder of [leftover, ...others]) {
      await mkdir(folder);
      await writeFile(join(folder, 'x'), 'x');
    }
    await using _second = await startTestServer(film.env);
    await until('swept', () => (existsSync(leftover) ? undefined : true));
    for (const folder of others) assert.ok(existsSync(folder), folder);
    assert.ok((await onDisk(join(data, own ?? ''))).names.length > 0, 'the living keep theirs');
  });
});

async function waitAndRead(server: TestServer, id: string): Promise<Uint8Array> {
  return server.bytes(`/sessions/${id}/file`);
}

/** 100 MB of one file, in pieces of 1 MiB. */
async function bigTorrent(film: FilmTorrent): Promise<FilmTorrent> {
  const copies = Math.ceil(100_000_000 / film.content.length);
  const path = join(film.folder, 'big.bin');
  const part = await readFile(join(film.folder, 'film.mkv'));
  await writeFile(path, Buffer.concat(Array.from({ length: copies }, () => part)));
  const big = await filmTorrent(path, { name: 'big.bin', pieceLength: 1024 * 1024 });
  await writeFile(join(film.folder, 'big.bin.torrent'), big.bytes);
  return { ...big, path: join(film.folder, 'big.bin.torrent') };
}
