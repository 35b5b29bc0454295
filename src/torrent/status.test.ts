import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChunkFiles } from './chunk-files.ts';
import type { Content } from './content.ts';
import type { TorrentFile } from './metainfo.ts';
import { PieceMap } from './piece-map.ts';
import type { TorrentStats } from './protocol.ts';
import { type StatusInput, swarmStatus } from './status.ts';
import { Timeline } from './timeline.ts';
import { TorrentSource } from './torrent-source.ts';

const MB = 1024 * 1024;
const file: TorrentFile = { index: 1, path: ['d', 'film.mkv'], offset: 10 * MB, length: 100 * MB, isPadding: false };
const text: TorrentFile = { index: 0, path: ['a.txt'], offset: 0, length: 10 * MB, isPadding: false };

function content(had: readonly number[]): Content {
  const pieces = new PieceMap(MB, 110 * MB, new Uint8Array(14));
  pieces.add(had);
  const metainfo = {
    name: 'x',
    pieceLength: MB,
    pieceCount: 110,
    length: 110 * MB,
    files: [text, file],
    hasFolder: true,
    isPrivate: false,
  };
  return { metainfo, pieces, files: {} as ChunkFiles, chunkLength: 16 * MB };
}

const stats = (fields: Partial<TorrentStats>): TorrentStats => ({
  infoHash: 'x',
  peers: 0,
  seeds: 0,
  knownPeers: 0,
  connecting: 0,
  downloadBytesPerSecond: 0,
  uploadBytesPerSecond: 0,
  downloadedBytes: 0,
  verifiedBytes: 0,
  wastedBytes: 0,
  uploadedBytes: 0,
  badPieces: 0,
  bannedPeers: 0,
  unavailablePieces: 0,
  ...fields,
});

const input = (fields: Partial<StatusInput>): StatusInput => ({
  infoHash: 'x',
  name: 'x',
  content: undefined,
  file: undefined,
  stats: undefined,
  failure: undefined,
  tried: [],
  sources: [],
  capacity: 0,
  ...fields,
});

test('what is going on, in words', () => {
  const failed = { label: 'the DHT', state: 'failed', peers: 0 } as const;
  const cases: [string, Partial<StatusInput>][] = [
    ['Looking for peers.', {}],
    ['No peers found yet; the search goes on.', { tried: [failed] }],
    ['No peer is connected; 3 are known and being tried.', { stats: stats({ knownPeers: 3 }) }],
    ['Asking 1 peer what is in the torrent.', { stats: stats({ peers: 1 }) }],
    ['Downloading from 2 peers.', { stats: stats({ peers: 2 }), content: content([]), file }],
    [
      '2 peers connected; nobody of them has all of it.',
      { stats: stats({ peers: 2, unavailablePieces: 5 }), content: content([]), file },
    ],
    ['All of it is here.', { content: content(Array.from({ length: 100 }, (_, n) => n + 10)), file }],
  ];
  for (const [message, fields] of cases) assert.equal(swarmStatus(input(fields)).message, message);
});

test('stages, progress of the file, and the list of files', () => {
  assert.equal(swarmStatus(input({})).stage, 'metadata');
  const begun = swarmStatus(input({ content: content([0, 1, 50]), file }));
  assert.deepEqual([begun.stage, begun.progress, begun.piecesComplete], ['downloading', 0.01, 3]);
  assert.equal(swarmStatus(input({ content: content([10]), file })).stage, 'ready');
  assert.deepEqual(
    begun.files.map(({ name, kind }) => [name, kind]),
    [
      ['a.txt', 'other'],
      ['d/film.mkv', 'video'],
    ],
  );
});

test('when it starts and whether it keeps up follow from what the swarm gives', async () => {
  const known = content([]);
  const host = {
    infoHash: 'x',
    pieces: known.pieces,
    files: known.files,
    viewers: 1,
    mostAhead: 32 * MB,
    failure: undefined,
    timeline: new Timeline(() => {}),
    changed: () => {},
    closed: () => {},
    lost: async () => {},
  };
  await using source = new TorrentSource(file, true, host, async () => {});
  const ask = (capacity: number) => swarmStatus(input({ content: known, file, sources: [source], capacity }));
  // Beginning, 2 MB, and the last piece.
  assert.equal(ask(MB).startsInSeconds, 3);
  assert.equal(ask(0).startsInSeconds, undefined);
  assert.equal(ask(MB).keepsUp, undefined);
  source.expectRate(MB);
  assert.equal(ask(MB).startsInSeconds, 0);
  assert.equal(ask(MB).keepsUp, false);
  assert.equal(ask(1.2 * MB).keepsUp, true);
  const reading = source.read(50 * MB + 5, MB);
  assert.equal(ask(2 * MB).startsInSeconds, 1, 'two whole pieces');
  const [first] = source.demands();
  assert.deepEqual(first?.waiting, [{ start: 60 * MB + 5, end: 61 * MB + 5 }]);
  assert.deepEqual(first?.ahead, [{ start: 61 * MB + 5, end: 65 * MB + 5 }]);
  await source[Symbol.asyncDispose]();
  await assert.rejects(reading, /was closed/);
});

test('a reader that leaves takes what it wanted along', async () => {
  const known = content([]);
  let changes = 0;
  const host = {
    infoHash: 'x',
    pieces: known.pieces,
    files: known.files,
    viewers: 1,
    mostAhead: 32 * MB,
    failure: undefined,
    timeline: new Timeline(() => {}),
    changed: () => {
      changes += 1;
    },
    closed: () => {},
    lost: async () => {},
  };
  await using source = new TorrentSource(file, false, host, async () => {});
  const controller = new AbortController();
  const reading = source.read(5 * MB, MB, controller.signal);
  assert.equal(source.demands().length, 1);
  const before = changes;
  controller.abort(new Error('left'));
  await assert.rejects(reading, /left/);
  assert.deepEqual(source.demands(), []);
  assert.ok(changes > before, 'and the swarm is told');
  assert.deepEqual(source.index, []);
});

test('beside the beginning of a file, the index at its end is asked for, until somebody reads elsewhere', async () => {
  const known = content([]);
  const host = {
    infoHash: 'x',
    pieces: known.pieces,
    files: known.files,
    viewers: 1,
    mostAhead: 32 * MB,
    failure: undefined,
    timeline: new Timeline(() => {}),
    changed: () => {},
    closed: () => {},
    lost: async () => {},
  };
  const end = file.offset + file.length;
  await using source = new TorrentSource(file, true, host, async () => {});
  const first = source.read(0, 4096);
  assert.deepEqual(source.demands()[0]?.ahead[0], { start: end - 64 * 1024, end });
  const index = source.read(file.length - 1000, 1000);
  assert.ok(source.demands().every(({ ahead }) => ahead.every(({ start }) => start !== end - 64 * 1024)));
  await using bytes = new TorrentSource(file, false, host, async () => {});
  const raw = bytes.read(0, 4096);
  assert.equal(bytes.demands()[0]?.ahead.length, 1, 'who reads raw bytes wants no index');
  await using other = new TorrentSource({ ...file, path: ['film.mp4'] }, true, host, async () => {});
  const begun = other.read(0, 4096);
  assert.equal(other.demands()[0]?.ahead.length, 1, 'where it is, the beginning tells');
  for (const one of [source, bytes, other]) await one[Symbol.asyncDispose]();
  for (const read of [first, index, raw, begun]) await assert.rejects(read, /was closed/);
});
