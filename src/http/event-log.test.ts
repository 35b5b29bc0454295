import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EventLog } from './event-log.ts';
import { EVENTS } from './event-schemas.ts';
import { EventStream } from './events.ts';

const texts = (frames: readonly Buffer[] | undefined): string[] | undefined =>
  frames?.map((bytes) => /data: (.*)\n/.exec(bytes.toString())?.[1] ?? '');

test('who comes back gets what came since, in order', () => {
  const log = new EventLog();
  const start = log.lastId;
  for (let n = 1; n <= 5; n++) log.append('n', { n });
  assert.deepEqual(texts(log.after(start)), ['{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}', '{"n":5}']);
  const middle = start.replace(/\d+$/, '3');
  assert.deepEqual(texts(log.after(middle)), ['{"n":4}', '{"n":5}']);
  assert.deepEqual(log.after(log.lastId), []);
  assert.match(String(log.after(middle)?.[0]), /^id: \w+-4\nevent: n\ndata: \{"n":4\}\n\n$/);
});

test('of progress only the newest is kept, what is no progress always', () => {
  const log = new EventLog();
  const start = log.lastId;
  log.append('clip', { state: 'running' });
  for (let n = 1; n <= 100; n++) log.append('clip', { n }, 'clip a');
  log.append('clip', { other: 1 }, 'clip b');
  log.append('clip', { state: 'done' });
  assert.deepEqual(texts(log.after(start)), ['{"state":"running"}', '{"n":100}', '{"other":1}', '{"state":"done"}']);
});

test('ids of another process, from before the oldest or from the future, and nonsense, are a gap', () => {
  const log = new EventLog({ events: 3, bytes: 10_000 });
  const start = log.lastId;
  for (let n = 1; n <= 3; n++) log.append('n', { n });
  assert.equal(log.after(start)?.length, 3);
  log.append('n', { n: 4 });
  assert.equal(log.after(start), undefined);
  const epoch = start.split('-')[0];
  assert.deepEqual(texts(log.after(`${epoch}-1`)), ['{"n":2}', '{"n":3}', '{"n":4}']);
  for (const id of [
    `${epoch}-5`,
    `${epoch}--1`,
    `${epoch}-1e0`,
    `${epoch}-`,
    `x-2`,
    '2',
    '',
    '-',
    `${epoch}-2-3`.repeat(99),
  ])
    assert.equal(log.after(id), undefined, id);
});

test('what is kept is bounded in bytes', () => {
  const log = new EventLog({ events: 1_000_000, bytes: 10_000 });
  const start = log.lastId;
  for (let n = 0; n < 1_000; n++) log.append('n', { text: 'x'.repeat(90) });
  assert.equal(log.after(start), undefined);
  const epoch = start.split('-')[0];
  const kept = Array.from({ length: 1_001 }, (_, n) => log.after(`${epoch}-${n}`)).find((found) => found !== undefined);
  const bytes = kept?.reduce((sum, { length }) => sum + length, 0) ?? 0;
  assert.ok(bytes > 9_000 && bytes <= 10_000, `${bytes}`);
  assert.ok(
    kept?.every(({ length, buffer }) => buffer.byteLength === length),
    'nothing else is kept with it',
  );
});

test('a reader who does not read is sent away behind a whole event, and misses nothing on coming back', async () => {
  const log = new EventLog();
  const stream = new EventStream(log, 1_000);
  for (let n = 0; n < 100; n++) log.append('n', { n, text: 'x'.repeat(50) });
  const got = Buffer.concat(await stream.readable.toArray()).toString();
  const ids = [...got.matchAll(/^id: (.*)$/gm)].map(([, id]) => id as string);
  assert.ok(ids.length > 5 && ids.length < 50, `${ids.length} events`);
  assert.ok(got.endsWith('\n\n'));
  assert.equal(log.after(ids.at(-1) as string)?.length, 100 - ids.length);
});

test('a stream that has ended listens to nothing and has no timer', () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const log = new EventLog();
  const streams = Array.from({ length: 50 }, () => new EventStream(log, 1_000_000));
  assert.equal(timers(), before + 50);
  for (const stream of streams) stream.end();
  assert.equal(timers(), before);
  const waiting = streams.map(({ readable }) => readable.readableLength);
  log.append('n', {});
  assert.deepEqual(
    streams.map(({ readable }) => readable.readableLength),
    waiting,
  );
});

test('docs/events.md has the events and their fields, all of them', () => {
  const text = readFileSync(new URL('../../docs/events.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` +\| (.*?) +\|/gm)].map(([, name, fields]) => [
    name,
    [...(fields as string).matchAll(/`(\w+)`(\?)?/g)].map(([, field, optional]) => `${field}${optional ?? ''}`),
  ]);
  const schemas = Object.entries(EVENTS).map(([name, { properties, required }]) => [
    name,
    Object.keys(properties).map((field) => ((required as readonly string[]).includes(field) ? field : `${field}?`)),
  ]);
  assert.deepEqual(
    rows.map(([name, fields]) => [name, [...(fields as string[])].sort()]),
    schemas.map(([name, fields]) => [name, [...(fields as string[])].sort()]),
  );
});
