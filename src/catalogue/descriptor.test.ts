import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkCatalogue, withoutDuplicates } from './descriptor.ts';
import { addon } from './testing.ts';

const read = (list: unknown[]): Record<string, unknown>[] =>
  (checkCatalogue(list)?.descriptors ?? []).map(({ json }) => JSON.parse(json) as Record<string, unknown>);

test('an add-on keeps all its fields, and has name, url and description beside them', () => {
  const entry = addon('one', { votes: 3 });
  assert.deepEqual(read([entry]), [
    { ...entry, name: 'Add-on one', url: 'https://one.example/manifest.json', description: 'About one' },
  ]);
  const own = { name: 'Own', url: 'https://own.example/', description: 'Own words' };
  assert.deepEqual(read([addon('two', own)]), [addon('two', own)]);
  const [poor] = read([
    addon('three', { name: 3, url: 'javascript:alert(1)', description: null, manifest: { id: 'i', name: 'n' } }),
  ]);
  assert.deepEqual([poor?.name, poor?.url, poor?.description], ['n', 'https://three.example/manifest.json', '']);
});

test('entries of the wrong shape are left out one by one, and counted', () => {
  let deep: unknown = 0;
  for (let n = 0; n < 200_000; n += 1) deep = [deep];
  const bad: [reason: string, entry: unknown][] = [
    ['no object', null],
    ['no object', 'addon'],
    ['no object', [addon('a')]],
    ['no http(s) transportUrl', {}],
    ['no http(s) transportUrl', addon('a', { transportUrl: 7 })],
    ['no http(s) transportUrl', addon('a', { transportUrl: 'stremio://a.example/manifest.json' })],
    ['no http(s) transportUrl', addon('a', { transportUrl: 'javascript:alert(1)' })],
    ['no http(s) transportUrl', addon('a', { transportUrl: `https://a.example/${'a'.repeat(3_000)}` })],
    ['no manifest', addon('a', { manifest: undefined })],
    ['no manifest', addon('a', { manifest: [] })],
    ['no manifest.id', addon('a', { manifest: { name: 'n' } })],
    ['no manifest.id', addon('a', { manifest: { id: ' ', name: 'n' } })],
    ['no manifest.name', addon('a', { manifest: { id: 'i', name: {} } })],
    ['too large', addon('a', { more: 'x'.repeat(200_000) })],
    ['nested too deeply', addon('a', { deep })],
    ['nested too deeply', addon('a', { deep: JSON.parse(`${'['.repeat(200)}${']'.repeat(200)}`) as unknown })],
  ];
  for (const [reason, entry] of bad) {
    const checked = checkCatalogue([addon('good'), entry, addon('fine')]);
    assert.deepEqual(checked?.dropped, { [reason]: 1 });
    assert.deepEqual(
      checked?.descriptors.map(({ manifestId }) => manifestId),
      ['example.good', 'example.fine'],
    );
  }
});

test('half a character, which many parsers refuse, is replaced', () => {
  const checked = checkCatalogue([addon('a', { description: 'cut \ud83c', tags: ['\udf89'] })]);
  const json = checked?.descriptors[0]?.json ?? '';
  assert.doesNotMatch(json, /\\ud/);
  assert.equal((JSON.parse(json) as { description: string }).description, 'cut \ufffd');
});

test('a list may stand alone or under `addons`; anything else is none', () => {
  assert.equal(checkCatalogue({ addons: [addon('a')] })?.descriptors.length, 1);
  assert.deepEqual(checkCatalogue([]), { descriptors: [], dropped: {} });
  for (const answer of [null, 1, 'x', {}, { addons: {} }, { error: 'no' }])
    assert.equal(checkCatalogue(answer), undefined);
});

test('of duplicates the first stays: by transport URL, then by manifest id', () => {
  const list = [
    addon('a', { flags: 1 }),
    addon('a', { transportUrl: 'HTTPS://A.example:443/manifest.json#x' }),
    addon('a', { transportUrl: 'https://mirror.example/manifest.json' }),
    addon('b', { transportUrl: 'https://a.example/manifest.json/' }),
    addon('c'),
  ];
  const { descriptors } = checkCatalogue(list) as NonNullable<ReturnType<typeof checkCatalogue>>;
  const left = withoutDuplicates(descriptors).map(({ json }) => JSON.parse(json) as { flags: unknown; name: string });
  assert.deepEqual(
    left.map(({ name, flags }) => [name, flags]),
    [
      ['Add-on a', 1],
      ['Add-on c', { official: true }],
    ],
  );
});

test('whatever JSON comes: no throw, nothing without its fields, every entry counted', () => {
  const almost = fc.record(
    {
      transportUrl: fc.oneof(fc.webUrl(), fc.jsonValue()),
      manifest: fc.oneof(fc.record({ id: fc.string(), name: fc.string() }), fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.jsonValue({ maxDepth: 3 }), almost), { maxLength: 10 }), (list) => {
      const checked = checkCatalogue(list) as NonNullable<ReturnType<typeof checkCatalogue>>;
      const dropped = Object.values(checked.dropped).reduce((sum, count) => sum + count, 0);
      assert.equal(checked.descriptors.length + dropped, list.length);
      for (const { json } of checked.descriptors) {
        const { name, url, description } = JSON.parse(json) as Record<string, unknown>;
        assert.ok(typeof name === 'string' && typeof url === 'string' && typeof description === 'string');
        assert.match(url, /^https?:/i);
      }
    }),
  );
});
