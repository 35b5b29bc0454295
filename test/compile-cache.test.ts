import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = new URL('../', import.meta.url);
const TELL =
  "import { getCompileCacheDir } from 'node:module'; process.once('exit', () => console.error(getCompileCacheDir()));";

/** @returns the folder of compiled code that the script uses; the last line of its standard error. */
async function folderOf(script: string, ...words: string[]): Promise<string> {
  const tell = `data:text/javascript,${encodeURIComponent(TELL)}`;
  const flags = ['--max-semi-space-size=4', '--import', tell];
  const { stderr } = await promisify(execFile)(process.execPath, [
    ...flags,
    fileURLToPath(new URL(script, ROOT)),
    ...words,
  ]);
  return stderr.trim().split('\n').at(-1) ?? '';
}

test('the server uses the code that set-up has compiled', async () => {
  const used = await folderOf('bin/raffi-server.mjs', '--version');
  assert.equal(dirname(used), fileURLToPath(new URL('.cache/compile', ROOT)));
  assert.equal(await folderOf('scripts/compile.mjs'), used);
  assert.ok(existsSync(used) && readdirSync(used).length > 500, `${used} has what was compiled`);
});
