import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Web } from '../../source/source.ts';
import { Fetcher } from './fetcher.ts';

test('a place is judged once, however many of its resources are named; every other one by itself', () => {
  const judged: string[] = [];
  const base = new URL('http://films.example/film/index.m3u8');
  const web: Web = {
    url: base,
    isPlaylist: true,
    fetch: () => Promise.reject(new Error('nothing is fetched here')),
    check(url) {
      judged.push(url.href);
      if (url.hostname !== 'films.example' || url.protocol !== 'http:') throw new Error('forbidden');
    },
  };
  const fetcher = new Fetcher(web, new AbortController().signal);
  for (let n = 0; n < 10; n++) fetcher.resolve(`${n}.ts`, { base, label: 'a list' });
  assert.deepEqual(judged.splice(0), ['http://films.example/film/0.ts']);
  const others = [
    'http://films.example:81/',
    'http://evil.example/',
    'https://films.example/',
    'blob:http://films.example/1',
    'file://films.example/1',
  ];
  for (const uri of [...others.slice(1), ...others.slice(1)])
    assert.throws(() => fetcher.resolve(uri, { base, label: 'a list' }), /forbidden/, uri);
  assert.equal(judged.splice(0).length, 8);
  fetcher.resolve(others[0]!, { base, label: 'a list' });
  assert.equal(judged.length, 1);
});

test('a list of addresses of ever other places is refused before they have taken their time', () => {
  const base = new URL('http://films.example/film/index.m3u8');
  const web: Web = {
    url: base,
    isPlaylist: true,
    fetch: () => Promise.reject(new Error('nothing is fetched here')),
    check() {},
  };
  const fetcher = new Fetcher(web, new AbortController().signal);
  const name = (n: number): URL => fetcher.resolve(`http://8.0.${n >> 8}.${n & 255}/`, { base, label: 'a list' });
  for (let n = 0; n < 1000; n++) name(n);
  assert.throws(() => name(1000), /a list leads to more than 1000 places/);
  assert.equal(name(3).hostname, '8.0.0.3');
});
