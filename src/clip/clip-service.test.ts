import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { numberedMedia } from '../../test/fixtures/media.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import { Encoders } from '../ffmpeg/hardware.ts';
import { Listeners } from '../lib/listeners.ts';
import { readerOpener } from '../presentation/open-reader.ts';
import { PresentationStore } from '../presentation/presentation-store.ts';
import { RunPool } from '../presentation/run-pool.ts';
import { SegmentStore } from '../presentation/segment-store.ts';
import { SessionStore } from '../session/session-store.ts';
import { anyAddress } from '../source/guard.ts';
import { SourcePolicy } from '../source/policy.ts';
import { TorrentService } from '../torrent/service.ts';
import type { ClipInfo } from './clip-job.ts';
import { ClipService } from './clip-service.ts';

const directory = mkdtempSync(join(tmpdir(), 'raffi-clip-service-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const never = new AbortController().signal;

/** No FFmpeg: everything here is copied. */
const capabilities: Promise<Capabilities> = Promise.resolve({
  encoders: new Set<string>(),
  filters: new Set<string>(),
  muxers: new Set<string>(),
  demuxers: new Set<string>(),
  canTranscodeVideo: false,
  canTranscodeAudio: false,
  canLevelAudio: false,
  canBurnInPictures: false,
  canBurnInText: false,
  missing: [],
});

async function started(resources: AsyncDisposableStack) {
  const log = pino({ level: 'silent' });
  const store = resources.use(new SegmentStore({ diskBytes: 0, folder: directory, log }));
  const reader = readerOpener(capabilities);
  const presentations = new PresentationStore(reader, {
    capabilities,
    encoders: new Encoders('none', capabilities, () => {}, never),
    loudness: -16,
    pool: new RunPool(1),
    runs: new Listeners(),
    store,
    folder: directory,
    stallMs: 20_000,
  });
  const policy = new SourcePolicy({ allowPrivate: undefined, mediaRoots: [], ownPort: () => undefined, ownNames: [] });
  const torrents = resources.use(
    new TorrentService({
      directory: join(directory, 'torrents'),
      most: 10,
      keep: false,
      diskBytes: 0,
      utp: false,
      listen: undefined,
      limits: {
        maxConnections: 1,
        maxConnectionsPerTorrent: 1,
        maxHalfOpen: 1,
        uploadBytesPerSecond: 0,
        downloadBytesPerSecond: null,
        bufferBytes: 2 ** 20,
        encryption: 'allow',
      },
      trackers: false,
      dht: undefined,
      localDiscovery: false,
      webRtc: undefined,
      guard: anyAddress,
      linksFrom: 'public',
      own: () => ({ port: undefined, places: [] }),
      log,
    }),
  );
  const sessions = resources.use(new SessionStore({ presentations, torrents, idleMs: 60_000, maxSessions: 4 }));
  const clips = resources.use(new ClipService({ directory, capabilities }));
  const path = await numberedMedia({ container: 'mp4', video: 'h264', audio: ['aac'], seconds: 20 });
  const request = { source: path, kind: 'file', startTime: 0, quality: 'auto', loudness: false } as const;
  const session = sessions.create(request, { kind: 'file', path }, policy.accessOf({ loopback: true }));
  return { clips, session, sessions };
}

test('every change of every clip is told to who listens, until they stop', async () => {
  await using resources = new AsyncDisposableStack();
  const { clips, session } = await started(resources);
  const told: ClipInfo[] = [];
  const listening = clips.subscribe((clip) => told.push(clip));
  const { info } = await session.presentation(never);
  const zero = (info.tracks.find(({ type }) => type === 'video')?.startTime ?? 0) - info.startTime;
  const job = await clips.create(session, { start: zero, end: zero + 4, name: 'told' }, never);
  const done = await job.finished(never);
  assert.ok(told.every(({ id }) => id === job.id));
  assert.deepEqual([...new Set(told.map(({ state }) => state))], ['queued', 'running', 'done']);
  assert.deepEqual(told.at(-1), done);
  assert.deepEqual(clips.list(), [done]);
  listening[Symbol.dispose]();
  const count = told.length;
  await (await clips.create(session, { start: zero, end: zero + 4 }, never)).finished(never);
  assert.equal(told.length, count);
});

test('a session in whose name a clip is made does not expire', async () => {
  await using resources = new AsyncDisposableStack();
  const { clips, session } = await started(resources);
  await session.presentation(never);
  const job = await clips.create(session, { start: 0, end: 20 }, never);
  assert.equal(session.idleMs, 0);
  await job.finished(never).catch(() => {});
});

test('clips that wait are at most 32', async () => {
  await using resources = new AsyncDisposableStack();
  const { clips, session, sessions } = await started(resources);
  await session.presentation(never);
  const request = { start: 0, end: 20 };
  const jobs = await Promise.all(Array.from({ length: 32 }, () => clips.create(session, request, never)));
  await assert.rejects(clips.create(session, request, never), { code: 'server-busy' });
  await sessions.remove(session.id);
  assert.ok(jobs.every(({ hasEnded }) => hasEnded));
});

test('nothing begins when the server is closing', async () => {
  await using resources = new AsyncDisposableStack();
  const { clips, session } = await started(resources);
  await session.presentation(never);
  await clips[Symbol.asyncDispose]();
  await assert.rejects(clips.create(session, { start: 0, end: 5 }, never), { code: 'server-closing' });
});
