import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTorrent } from '../../../test/fixtures/torrents.ts';
import { parseTorrent } from '../metainfo.ts';
import { webSeedOf } from '../web-seed-url.ts';
import { fileUrl } from './file-url.ts';

const content = Buffer.alloc(10);
const one = parseTorrent(makeTorrent({ name: 'a film.mkv', pieceLength: 1024, files: [{ content }] }).bytes).metainfo;
const paths = [['x.mkv'], ['sub', '50% & más?.mkv']];
const several = parseTorrent(
  makeTorrent({ name: 'Films', pieceLength: 1024, files: paths.map((path) => ({ path, content })) }).bytes,
).metainfo;

test('one file lies at the URL itself, or in the folder that it names', () => {
  assert.equal(fileUrl('https://h/f.mkv?key=1', one, one.files[0]!).href, 'https://h/f.mkv?key=1');
  assert.equal(fileUrl('https://h/d/', one, one.files[0]!).href, 'https://h/d/a%20film.mkv');
});

test('several lie in the folder of the torrent, below the URL', () => {
  for (const seed of ['https://h/d', 'https://h/d/'])
    assert.equal(fileUrl(seed, several, several.files[0]!).href, 'https://h/d/Films/x.mkv');
  assert.equal(
    fileUrl('https://h/d/?key=1', several, several.files[1]!).href,
    'https://h/d/Films/sub/50%25%20%26%20m%C3%A1s%3F.mkv?key=1',
  );
});

test('what is named in torrent files and links', () => {
  assert.equal(webSeedOf(' HTTP://User:pw@Host:80/a b#x '), 'http://User:pw@host/a%20b');
  for (const bad of ['', 'ftp://h/f', 'file:///etc/passwd', 'http://', 'javascript:x', `http://h/${'x'.repeat(3000)}`])
    assert.equal(webSeedOf(bad), undefined, bad);
  const files = [{ content }];
  const webSeeds = ['http://a/', 'ftp://b/', 'http://a/', 'https://c/f'];
  const torrent = parseTorrent(makeTorrent({ name: 'f', pieceLength: 1024, files, webSeeds }).bytes);
  assert.deepEqual(torrent.webSeeds, ['http://a/', 'https://c/f']);
  const many = Array.from({ length: 50 }, (_, n) => `http://h/${n}`);
  assert.equal(
    parseTorrent(makeTorrent({ name: 'f', pieceLength: 1024, files, webSeeds: many }).bytes).webSeeds.length,
    20,
  );
});
