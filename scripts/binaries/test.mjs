/**
 * Runs every test that speaks to the server from outside, on an executable instead of the sources.
 *
 *   node scripts/binaries/test.mjs [--smoke]     the one for this platform in dist/, or RAFFI_TEST_EXECUTABLE; --smoke: only its own tests
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TARGETS } from './targets.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ours = TARGETS.find(({ platform, arch }) => platform === process.platform && arch === process.arch);
const executable = process.env.RAFFI_TEST_EXECUTABLE ?? `${ROOT}dist/${ours?.file}`;
if (!existsSync(executable)) throw new Error(`There is no ${executable}: npm run build:binary`);

const folders = process.argv.includes('--smoke') ? ['binary'] : ['binary', 'integration', 'e2e'];
const files = folders.flatMap((folder) => globSync(`test/${folder}/*.test.ts`, { cwd: ROOT }));
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...files], {
  cwd: ROOT,
  env: { ...process.env, RAFFI_TEST_EXECUTABLE: executable },
  stdio: 'inherit',
});
process.exit(status ?? 1);
