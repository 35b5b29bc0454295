/**
 * Runs every test that speaks to the server from outside, on an executable instead of the sources: with an empty environment but FFmpeg's PATH.
 * The last lines are the summary, of which the last is `N passed, N failed`.
 *
 *   node scripts/binaries/test.mjs [--smoke] [FILE...]     the one for this platform in dist/, or RAFFI_TEST_EXECUTABLE
 *
 * --smoke: only the executables' own tests. FILE: of those in test/, only these.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TARGETS } from './targets.mjs';

/** @typedef {import('./report.mjs').Counts} Counts @typedef {import('./report.mjs').Exception} Exception */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Which tests start no server that could be an executable, and so are none of its tests. */
const INSIDE = new Map([
  ['embedding.test.ts', 'the library'],
  ['package.test.ts', "the registry's package"],
  ['tiers.test.ts', 'what rooms need of each other'],
  ['torrent-engine.test.ts', 'the torrent engine by itself'],
  ['torrent-engine-interop.test.ts', 'the torrent engine by itself'],
  ['torrent-engine-storage.test.ts', 'the torrent engine by itself'],
  ['torrent-engine-utp.test.ts', 'the torrent engine by itself'],
]);

/** What is done to executables' files is tested here, without starting one. */
const OF_FILES = 'formats.test.ts';

/** Tests that need an Internet: one that is all on this machine (test/fixtures/internet.ts). */
const OF_THE_INTERNET = new Set(['security-sources.test.ts', 'security-hls-source.test.ts']);

const asked = process.argv.slice(2).filter((word) => word !== '--smoke');
const folders = process.argv.includes('--smoke') ? ['binary'] : ['binary', 'integration', 'e2e'];
const files = folders
  .flatMap((folder) => globSync(`test/${folder}/*.test.ts`, { cwd: ROOT }).sort())
  .filter((file) => !INSIDE.has(basename(file)))
  .filter((file) => asked.length === 0 || asked.some((word) => join(ROOT, file).endsWith(word)));
const stage = mkdtempSync(join(tmpdir(), 'raffi-test-binary-'));
const started = join(stage, 'started');

/** @returns {string} its path */
function executableUnderTest() {
  const ours = TARGETS.find(({ platform, arch }) => platform === process.platform && arch === process.arch);
  const path = process.env.RAFFI_TEST_EXECUTABLE ?? `${ROOT}dist/${ours?.file}`;
  if (!existsSync(path)) throw new Error(`There is no ${path}: npm run build:binary`);
  return path;
}

/** The words before a command that give it network and mounts of its own; undefined where this may not be. */
function apart() {
  if (process.platform !== 'linux') return undefined;
  const words = ['unshare', ...(process.getuid?.() === 0 ? [] : ['--map-root-user']), '--net', '--mount', '--'];
  const { status } = spawnSync(words[0] ?? '', [...words.slice(1), 'ip', 'link', 'set', 'lo', 'up'], {
    stdio: 'ignore',
  });
  return status === 0 ? words : undefined;
}

/**
 * @param {readonly string[]} before words before the command
 * @param {readonly string[]} some files
 * @param {Record<string, string>} variables
 * @returns {Promise<(Counts | Exception)[]>}
 */
async function run(before, some, variables) {
  if (some.length === 0) return [];
  const facts = join(stage, basename(some[0] ?? ''));
  const to = (/** @type {string} */ reporter, /** @type {string} */ target) => [
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${target}`,
  ];
  const reporters = [...to('spec', 'stdout'), ...to(join(ROOT, 'scripts/binaries/report.mjs'), facts)];
  const words = [...before, process.execPath, '--test', '--test-concurrency=2', ...reporters, ...some];
  const child = spawn(words[0] ?? '', words.slice(1), {
    cwd: ROOT,
    env: { ...process.env, ...variables },
    stdio: 'inherit',
  });
  const end = () => child.kill();
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, end);
  const [status, signal] = await once(child, 'exit');
  for (const name of ['SIGINT', 'SIGTERM']) process.off(name, end);
  const lines = existsSync(facts) ? readFileSync(facts, 'utf8').trim().split('\n').filter(Boolean) : [];
  const found = lines.map((line) => JSON.parse(line));
  if (status === 0 || found.some(({ kind }) => kind === 'failed')) return found;
  return [
    ...found,
    { kind: 'failed', file: some.join(' '), name: 'node --test', why: `it ended with ${signal ?? status}` },
  ];
}

/** @param {readonly (Counts | Exception)[]} facts @returns {number} failures */
function summarise(facts) {
  const counts = facts.filter((fact) => fact.kind === 'counts');
  const exceptions = facts.filter((fact) => fact.kind !== 'counts');
  // A file of which something ran, and none of it on the executable, has tested something else.
  for (const { file, passed } of counts)
    if (passed > 0 && basename(file) !== OF_FILES && !existsSync(join(started, basename(file))))
      exceptions.push({ kind: 'failed', file, name: basename(file), why: 'it did not start the executable' });
  const short = (/** @type {string} */ file) => file.replace(ROOT, '');
  if (asked.length === 0 && folders.length > 1)
    for (const [file, why] of INSIDE) console.log(`not of the executable: ${file}: ${why}`);
  for (const { kind, file, name, why } of exceptions)
    console.log(`${kind}: ${short(file)}: ${name}: ${why.split('\n')[0]}`);
  const sum = (/** @type {'passed' | 'skipped'} */ key) => counts.reduce((total, one) => total + one[key], 0);
  const failed = exceptions.filter(({ kind }) => kind === 'failed').length;
  console.log(
    `${counts.length} files of tests on the executable; ${sum('skipped')} tests skipped, whose reasons are above`,
  );
  console.log(`${sum('passed')} passed, ${failed} failed`);
  return failed;
}

try {
  mkdirSync(started);
  const variables = { RAFFI_TEST_EXECUTABLE: executableUnderTest(), RAFFI_TEST_STARTED: started };
  const before = apart();
  const isApart = (/** @type {string} */ file) => before !== undefined && OF_THE_INTERNET.has(basename(file));
  const together = files.filter((file) => !isApart(file));
  const facts = await run([], together, variables);
  for (const file of files.filter(isApart))
    facts.push(...(await run(before ?? [], [file], { ...variables, RAFFI_TEST_INTERNET: '1' })));
  process.exitCode = facts.length > 0 && summarise(facts) === 0 ? 0 : 1;
} finally {
  rmSync(stage, { recursive: true });
}
