import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PROBLEMS } from './problem.ts';

test('docs/errors.md lists exactly the errors of the table', () => {
  const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const documented = [...text.matchAll(/^\| `([a-z-]+)` *\| (\d+) *\| ([^|]+) \|/gm)].map(([, code, status, title]) => [
    code,
    Number(status),
    title?.trim(),
  ]);
  assert.deepEqual(
    documented,
    Object.entries(PROBLEMS).map(([code, { status, title }]) => [code, status, title]),
  );
});
