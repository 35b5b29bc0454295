import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { type App, startApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { frameworkCompilers } from '../../src/http/compilers.ts';

let app: App;
before(async () => {
  app = await startApp(readConfig({ RAFFI_SERVER_ADDR: '127.0.0.1:0' }), pino({ level: 'silent' }));
});
after(() => app[Symbol.asyncDispose]());

test('every route says of which tier it is', () => {
  assert.ok(app.routes.length > 30, `${app.routes.length} routes`);
  for (const { url, method, tier } of app.routes) assert.ok(tier, `${method} ${url} needs \`config: { tier }\``);
});

test('media is read only, and lies under the id of a session', () => {
  const media = app.routes.filter(({ tier }) => tier === 'media');
  assert.ok(media.length >= 12, `${media.length} routes`);
  for (const { url, method } of media) {
    assert.ok(method === 'GET' || method === 'HEAD', `${method} ${url}`);
    assert.match(url, /^\/(sessions|stream)\/:id(\/|$)/);
  }
});

test('only ending a session is for beacons', () => {
  const beacons = app.routes.filter(({ tier }) => tier === 'beacon');
  assert.deepEqual(new Set(beacons.map(({ url }) => url)), new Set(['/cleanup']));
});

/** A schema, or those of each type of content. */
function kinds(schema: unknown): unknown[] {
  if (schema === undefined) return [];
  const { content } = schema as { content?: Record<string, { schema: unknown }> };
  return content ? Object.values(content).map((kind) => kind.schema) : [schema];
}

test('every schema can be compiled, which the server does when it first needs it', () => {
  const { buildValidator, buildSerializer } = frameworkCompilers();
  const validators = buildValidator({}, { customOptions: { strict: true } });
  const serializers = buildSerializer({});
  let compiled = 0;
  for (const { method, url, schema } of app.routes) {
    for (const httpPart of ['params', 'querystring', 'headers', 'body'] as const) {
      for (const one of kinds(schema[httpPart])) {
        assert.equal(typeof validators({ method, url, httpPart, schema: one }), 'function');
        compiled++;
      }
    }
    for (const [httpStatus, answer] of Object.entries(schema.response ?? {})) {
      for (const one of kinds(answer))
        assert.equal(typeof serializers({ method, url, httpStatus, schema: one }), 'function');
      compiled++;
    }
  }
  assert.ok(compiled > 60, `${compiled} schemas`);
});
