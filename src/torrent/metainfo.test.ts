import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTorrent, wrapInfo } from '../../test/fixtures/torrents.ts';
import { type Encodable, type EncodableFields, encode } from './bencode.ts';
import { layoutOf } from './engine/layout.ts';
import { chooseFile } from './file-choice.ts';
import { MetainfoError, parseInfo, parseTorrent } from './metainfo.ts';

const PIECE = 16_384;
const hashes = (count: number): Buffer => Buffer.alloc(20 * count, 1);
const good = { name: 'film.mkv', 'piece length': PIECE, pieces: hashes(2), length: PIECE + 1 };

test('a torrent of one file and one of several', () => {
  const one = makeTorrent({
    name: 'film.mkv',
    pieceLength: PIECE,
    files: [{ content: Buffer.alloc(40_000) }],
    trackers: ['udp://t.example:1/a', 'http://u.example/announce', 'wss://w.example', 'ftp://f.example'],
    isPrivate: true,
  });
  const parsed = parseTorrent(one.bytes);
  assert.equal(parsed.infoHash, one.infoHash);
  assert.deepEqual(Buffer.from(parsed.info), one.info);
  assert.deepEqual(
    parsed.trackers.map(({ url }) => url),
    ['udp://t.example:1/a', 'http://u.example/announce', 'wss://w.example/'],
  );
  assert.equal(parsed.metainfo.isPrivate, true);
  assert.equal(parsed.metainfo.pieceCount, 3);
  assert.deepEqual(parsed.metainfo.files, [
    { index: 0, path: ['film.mkv'], offset: 0, length: 40_000, isPadding: false },
  ]);

  const files = [
    { path: ['a', 'b.mkv'], content: Buffer.alloc(10) },
    { path: ['empty'], content: Buffer.alloc(0) },
    { path: ['c.srt'], content: Buffer.alloc(20_000) },
  ];
  const several = parseTorrent(makeTorrent({ name: 'folder', pieceLength: PIECE, files }).bytes).metainfo;
  assert.deepEqual(
    several.files.map(({ path, offset, length }) => [path.join('/'), offset, length]),
    [
      ['a/b.mkv', 0, 10],
      ['empty', 10, 0],
      ['c.srt', 10, 20_000],
    ],
  );
  assert.equal(several.length, 20_010);
});

test('a hybrid torrent works by its v1 side, padding is not offered, v2 alone is refused', () => {
  const hybrid = {
    name: 'hybrid',
    'meta version': 2,
    'file tree': { 'a.mkv': { '': { length: 5, 'pieces root': hashes(1) } } },
    'piece length': PIECE,
    pieces: hashes(2),
    files: [
      { length: 5, path: ['a.mkv'] },
      { length: PIECE - 5, path: ['.pad', '16379'], attr: 'p' },
      { length: 9, path: ['b.mkv'] },
    ],
  };
  const { files } = parseTorrent(wrapInfo(hybrid).bytes).metainfo;
  assert.deepEqual(
    files.map(({ isPadding }) => isPadding),
    [false, true, false],
  );
  assert.equal(chooseFile(files)?.index, 2);
  const { pieces: _pieces, files: _files, ...v2 } = hybrid;
  assert.throws(
    () => parseTorrent(wrapInfo(v2).bytes),
    (error: Error) => error instanceof MetainfoError && error.unsupported && /v2/.test(error.message),
  );
});

test('the only tracker is asked when nothing of the list of trackers can be used', () => {
  const announce = 'udp://t.example:1/a';
  const trackers = (list: Encodable): string[] =>
    parseTorrent(encode({ announce, 'announce-list': list, info: good })).trackers.map(({ url }) => url);
  for (const list of [[['']], [[]], [['ftp://f.example'], [5]], [], 7]) assert.deepEqual(trackers(list), [announce]);
  assert.deepEqual(trackers([[''], ['http://u.example/a']]), ['http://u.example/a']);
});

test('a field that is wrong is named', () => {
  const file = (fields: Record<string, Encodable>) => ({ length: PIECE + 1, path: ['x'], ...fields });
  const many = (fields: Record<string, Encodable>) => ({
    name: 'x',
    'piece length': PIECE,
    pieces: hashes(2),
    files: [file(fields)],
  });
  const cases: [string, EncodableFields][] = [
    ['info.piece length', { ...good, 'piece length': 0 }],
    ['info.piece length', { ...good, 'piece length': 1, pieces: hashes(PIECE + 1) }],
    ['info.piece length', { ...good, 'piece length': -PIECE }],
    ['info.piece length', { ...good, 'piece length': 'x' }],
    ['info.piece length', { ...good, 'piece length': 2 ** 40 }],
    ['info.pieces', { ...good, pieces: hashes(3) }],
    ['info.pieces', { ...good, pieces: hashes(1) }],
    ['info.pieces', { ...good, pieces: Buffer.alloc(39) }],
    ['info.pieces', { ...good, pieces: Buffer.alloc(0) }],
    ['info.pieces', { ...good, pieces: 5 }],
    ['info.length', { ...good, length: 0 }],
    ['info.length', { ...good, length: -1 }],
    ['info.length', { ...good, length: [] }],
    ['info.pieces', { ...good, length: 2 ** 52 }],
    ['info.name', { ...good, name: 7 }],
    ['info.name', { ...good, name: undefined }],
    ['info.name', { ...good, name: '..' }],
    ['info.name', { ...good, name: 'a\0b' }],
    ['info.name', { ...good, name: '../../etc/passwd' }],
    ['info.name', { ...good, name: 'a/..' }],
    ['info.name', { ...good, name: 'n'.repeat(5_000) }],
    ['info.files', { ...many({}), files: [] }],
    ['info.files', { ...many({}), files: {} }],
    ['info.files[0]', { ...many({}), files: [5] }],
    ['info.files[0].length', many({ length: -5 })],
    ['info.files[0].length', many({ length: 'x' })],
    ['info.files[0].path', many({ path: [] })],
    ['info.files[0].path', many({ path: 'x' })],
    ['info.files[0].path', many({ path: ['..', 'x'] })],
    ['info.files[0].path', many({ path: ['a/../..', 'x'] })],
    ['info.files[0].path', many({ path: ['a', 7] })],
    ['info.files[0].path', many({ path: ['/etc/passwd'] })],
    ['info.files[0].path', many({ path: ['a\0'] })],
    ['info.files[0].path', many({ path: Array.from({ length: 100 }, () => 'd') })],
    ['info.files[1].length', { ...many({}), files: [file({}), { length: 2 ** 53 - 1, path: ['y'] }] }],
  ];
  for (const [field, info] of cases) {
    assert.throws(
      () => parseTorrent(wrapInfo(info).bytes),
      (error: Error) => error instanceof MetainfoError && error.message.includes(`"${field}"`),
      `${field}: ${JSON.stringify(info).slice(0, 120)}`,
    );
  }
  assert.equal(parseInfo(wrapInfo(good).info).name, 'film.mkv');
});

test('what is no torrent file is told so', () => {
  const bad = [
    '',
    'd',
    'le',
    '<html>',
    'd4:infoi1ee',
    'd8:announce1:xe',
    'd4:info3:abce',
    `d4:info${'d1:a'.repeat(20_000)}`,
  ];
  for (const text of bad) assert.throws(() => parseTorrent(Buffer.from(text)), MetainfoError, text.slice(0, 40));
});

test('names are only names: reserved ones, twice the same, other encodings, marks of direction', () => {
  const names = ['CON', 'CON', 'a\\b', 'nul.mkv', 'exe\u202egpm.mkv', ' . '];
  // One decoder reads them all: nothing of a name that is cut off may be left for the next.
  const encoded = [Buffer.from([0xe9, 0x2e]), Buffer.from([0xc3]), Buffer.from('\u00e9')];
  const files = [...names, ...encoded].map((name) => ({ length: 1, path: [name] }));
  const info = { name: 'x', 'piece length': PIECE, pieces: hashes(1), files };
  const shown = parseTorrent(wrapInfo(info).bytes).metainfo.files.map(({ path }) => path.join('/'));
  assert.deepEqual(shown, ['CON', 'CON', 'a\\b', 'nul.mkv', 'exe\ufffdgpm.mkv', ' . ', '\u00e9.', '\u00c3', '\u00e9']);
});

test('names that lead nowhere are mended, not refused', () => {
  const cases: [string, readonly string[], readonly string[]][] = [
    ['a slash', ['AC/DC', '1/2 live.mkv'], ['AC_DC', '1_2 live.mkv']],
    ['dots that are no folder', ['...', '..a/b..'], ['...', '..a_b..']],
    ['empty parts', ['', 'a', '', 'b.mkv'], ['a', 'b.mkv']],
    ['the folder itself', ['.', 'b.mkv', '.'], ['b.mkv']],
    ['nothing at all', ['', '.'], ['Films']],
  ];
  for (const [what, path, shown] of cases) {
    const info = { name: 'Films', 'piece length': PIECE, pieces: hashes(1), files: [{ length: 1, path }] };
    assert.deepEqual(parseInfo(wrapInfo(info).info).files[0]?.path, shown, what);
  }
  for (const [name, shown] of [
    ['AC/DC live.mkv', 'AC_DC live.mkv'],
    ['', 'unnamed'],
    ['.', 'unnamed'],
  ] as const) {
    const parsed = parseInfo(wrapInfo({ ...good, name }).info);
    assert.deepEqual([parsed.name, parsed.files[0]?.path], [shown, [shown]]);
  }
});

test('a symbolic link is an empty file, whatever length it names', () => {
  const link = { attr: 'lx', path: ['link.mkv'], 'symlink path': ['film.mkv'] };
  const files = [link, { ...link, length: 5_000 }, { length: 9, path: ['film.mkv'] }];
  const { info } = wrapInfo({ name: 'x', 'piece length': PIECE, pieces: hashes(1), files });
  assert.equal(layoutOf(info).totalLength, 9, 'the engine says the same');
  const parsed = parseInfo(info);
  assert.deepEqual(
    parsed.files.map(({ offset, length }) => [offset, length]),
    [
      [0, 0],
      [0, 0],
      [0, 9],
    ],
  );
  assert.equal(chooseFile(parsed.files)?.index, 2);
});

test('thousands of files and of trackers', () => {
  const files = Array.from({ length: 20_000 }, (_, n) => ({ length: 1, path: ['d', `${n}.mkv`] }));
  const info = { name: 'x', 'piece length': PIECE, pieces: hashes(2), files };
  const trackers = Array.from({ length: 50_000 }, (_, n) => `http://t${n}.example/announce`);
  const parsed = parseTorrent(wrapInfo(info, trackers).bytes);
  assert.equal(parsed.metainfo.files.length, 20_000);
  assert.equal(parsed.trackers.length, 100);
});

test('100,000 damaged torrent files are a torrent or a MetainfoError', () => {
  const whole = makeTorrent({
    name: 'f',
    pieceLength: PIECE,
    files: [
      { path: ['a', 'b.mkv'], content: Buffer.alloc(PIECE) },
      { path: ['c'], content: Buffer.alloc(9) },
    ],
    trackers: ['udp://t:1'],
  }).bytes;
  let state = 4242;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let torrents = 0;
  for (let run = 0; run < 100_000; run++) {
    const damaged = Buffer.from(whole);
    for (let n = random(3); n >= 0; n--)
      damaged[random(damaged.length)] = random(3) === 0 ? random(256) : 0x30 + random(10);
    try {
      const { metainfo } = parseTorrent(damaged);
      assert.equal(Math.ceil(metainfo.length / metainfo.pieceLength), metainfo.pieceCount);
      torrents += 1;
    } catch (error) {
      assert.ok(error instanceof MetainfoError, String(error));
    }
  }
  assert.ok(torrents > 1_000, `${torrents} were torrents`);
});
