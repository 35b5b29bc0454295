import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  contentLength,
  contentRange,
  foreignEncoding,
  type ResponseHead,
  retryAfter,
  sameVersion,
  validators,
} from './http-headers.ts';

const head = (headers: ResponseHead['headers']): ResponseHead => ({ status: 206, headers, url: new URL('http://a/') });

test('Content-Range', () => {
  const cases: [string, ReturnType<typeof contentRange>][] = [
    ['bytes 0-99/1000', { first: 0, last: 99, total: 1000 }],
    ['Bytes 5-5/6', { first: 5, last: 5, total: 6 }],
    ['bytes 0-99/*', { first: 0, last: 99, total: undefined }],
    ['bytes */1000', { first: undefined, total: 1000 }],
    ['bytes 9-5/1000', undefined],
    ['bytes 0-1000/1000', undefined],
    ['bytes 0-99', undefined],
    ['items 0-99/1000', undefined],
    ['bytes 0-99/1152921504606846976', undefined],
    ['bytes 0-99999999999999999999/*', undefined],
    ['bytes -5-99/1000', undefined],
    ['', undefined],
  ];
  for (const [value, expected] of cases)
    assert.deepEqual(contentRange(head({ 'content-range': value })), expected, value);
  assert.equal(contentRange(head({})), undefined);
});

test('Content-Length', () => {
  for (const [value, expected] of [
    ['0', 0],
    ['12', 12],
    ['-1', undefined],
    ['1e3', undefined],
    ['99999999999999999999', undefined],
  ] as const) {
    assert.equal(contentLength(head({ 'content-length': value })), expected, value);
  }
});

test('Retry-After in seconds, as a date, and senseless', () => {
  const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT');
  assert.equal(retryAfter(head({ 'retry-after': '3' }), now), 3000);
  assert.equal(retryAfter(head({ 'retry-after': 'Wed, 21 Oct 2026 07:28:10 GMT' }), now), 10_000);
  assert.equal(retryAfter(head({ 'retry-after': 'Wed, 21 Oct 2026 07:27:00 GMT' }), now), 0);
  assert.equal(retryAfter(head({ 'retry-after': 'soon' }), now), undefined);
  assert.equal(retryAfter(head({}), now), undefined);
});

test('versions: a strong tag settles it, a weak one says nothing, a date is next', () => {
  const version = (etag?: string, lastModified?: string) =>
    validators(head({ etag, 'last-modified': lastModified } as ResponseHead['headers']));
  assert.equal(sameVersion(version('"a"', 'x'), version('"a"', 'y')), true);
  assert.equal(sameVersion(version('"a"', 'x'), version('"b"', 'x')), false);
  assert.equal(sameVersion(version('W/"a"', 'x'), version('W/"b"', 'x')), true);
  assert.equal(sameVersion(version('W/"a"', 'x'), version('W/"a"', 'y')), false);
  assert.equal(sameVersion(version('"a"'), version()), true);
});

test('content codings', () => {
  assert.equal(foreignEncoding(head({})), undefined);
  assert.equal(foreignEncoding(head({ 'content-encoding': 'Identity' })), undefined);
  assert.equal(foreignEncoding(head({ 'content-encoding': 'GZIP' })), 'gzip');
});
