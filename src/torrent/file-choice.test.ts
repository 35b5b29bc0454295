import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFile, fileKind } from './file-choice.ts';
import type { TorrentFile } from './metainfo.ts';

function files(...list: [path: string, length: number][]): TorrentFile[] {
  return list.map(([path, length], index) => ({ index, path: path.split('/'), offset: 0, length, isPadding: false }));
}

test('the largest video that is no sample is played', () => {
  const cases: [expected: number | undefined, ...[string, number][]][] = [
    [1, ['film.nfo', 9e9], ['film.mkv', 100], ['extra.mp4', 50]],
    [1, ['Sample/film.mkv', 200], ['film.mkv', 100]],
    [1, ['film-sample.mkv', 150], ['film.mkv', 100], ['SAMPLE.avi', 140]],
    [1, ['sample.mkv', 5], ['film.mkv', 100]],
    [0, ['The.Sample.2012.1080p.mkv', 36_000_000], ['RARBG.mp4', 54_000]],
    [1, ['Sample (2012)/extra.mp4', 50], ['Sample (2012)/film.mkv', 201], ['advert.mp4', 100]],
    [0, ['Free Samples.mkv', 500], ['other.mkv', 100]],
    [0, ['sample.mkv', 5], ['song.mp3', 10]],
    [1, ['cover.jpg', 500], ['song.flac', 100], ['small.mp3', 5]],
    [0, ['a.mkv', 7], ['b.mkv', 7]],
    [0, ['no-extension', 100]],
    [undefined, ['a.txt', 100], ['b.zip', 100]],
    [undefined, ['a.mkv', 0]],
    [undefined],
  ];
  for (const [expected, ...list] of cases)
    assert.equal(chooseFile(files(...list))?.index, expected, JSON.stringify(list));
});

test('padding is never played', () => {
  const [file] = files(['.pad/1.mkv', 10]) as [TorrentFile];
  assert.equal(fileKind({ ...file, isPadding: true }), 'other');
  assert.equal(chooseFile([{ ...file, isPadding: true }]), undefined);
});
