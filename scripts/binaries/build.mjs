/**
 * Makes executables: Node with the server inside (a "single executable application"). Run under the Node that they are made of.
 *
 *   node scripts/binaries/build.mjs            for this platform
 *   node scripts/binaries/build.mjs --all      for all
 *   node scripts/binaries/build.mjs --all --archive    and their archives, with SHA-256 sums
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { archive, packedName, SUMS } from './archive.mjs';
import { baseOf } from './base.mjs';
import { bundle } from './bundle.mjs';
import * as elf from './elf.mjs';
import * as macho from './macho.mjs';
import { packed } from './packed.mjs';
import { unsigned } from './pe.mjs';
import { signed } from './signature.mjs';
import { TARGETS } from './targets.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OUT = join(ROOT, 'dist');
const HERE = fileURLToPath(new URL('./', import.meta.url));

/** As `npm start` runs it: what is held is bytes outside of a small heap. */
const FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=20'];

/** The runtime without what a debugger needs, and without a signature that would no longer hold. */
const PREPARE = { linux: elf.stripped, darwin: macho.stripped, win32: unsigned };

const stage = mkdtempSync(join(tmpdir(), 'raffi-binaries-'));
try {
  mkdirSync(OUT, { recursive: true });
  const { assets } = await bundle();
  const isOurs = (/** @type {import('./targets.mjs').Target} */ { platform, arch }) =>
    platform === process.platform && arch === process.arch;
  const all = process.argv.includes('--all');
  const targets = TARGETS.filter((target) => all || isOurs(target));
  if (targets.length === 0) throw new Error(`There are no executables for ${process.platform} on ${process.arch}.`);
  // What lies beside an executable is of that one, never of one before.
  for (const name of [...Object.values(SUMS), ...targets.map(({ file }) => packedName(file))])
    rmSync(join(OUT, name), { force: true });
  for (const target of targets) {
    const base = join(stage, `base-${target.file}`);
    writeFileSync(base, PREPARE[target.platform](baseOf(target)));
    const cache = isOurs(target) ? compiled(base, assets) : undefined;
    const made = join(OUT, target.file);
    assemble(base, 'loader.cjs', withCache(assets, cache), made);
    if (target.platform === 'darwin') writeFileSync(made, signed(readFileSync(made), 'raffi-server'));
    chmodSync(made, 0o755);
    rmSync(base);
    console.log(`${target.file}: ${(readFileSync(made).length / 1e6).toFixed(1)} MB`);
  }
  if (process.argv.includes('--archive')) {
    const names = targets.map(({ file }) => file);
    await archive(OUT, names);
  }
} finally {
  rmSync(stage, { recursive: true });
}

/**
 * What V8 makes of the server until it listens; by the very runtime and flags that will use it, which is why only this platform's can have it.
 * @param {string} base
 * @param {Map<string, Uint8Array>} assets
 */
function compiled(base, assets) {
  const executable = join(stage, process.platform === 'win32' ? 'compile.exe' : 'compile');
  const file = join(stage, 'server.cache');
  assemble(base, 'compile-loader.cjs', packed(assets), executable);
  chmodSync(executable, 0o755);
  const env = {
    PATH: '',
    RAFFI_SERVER_ADDR: '127.0.0.1:0',
    RAFFI_CACHE_DIR: stage,
    TORRENT_DIR: join(stage, 'torrents'),
  };
  execFileSync(executable, [file], { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 120_000 });
  return readFileSync(file);
}

/**
 * @param {Map<string, Uint8Array>} assets
 * @param {Uint8Array | undefined} cache
 */
function withCache(assets, cache) {
  const sizes = { 'server.cjs': assets.get('server.cjs')?.length, 'server.cache': cache?.length };
  const about = Buffer.from(JSON.stringify({ sizes }));
  return packed(
    new Map([
      ...assets,
      ['executable.json', about],
      ...(cache ? [/** @type {const} */ (['server.cache', cache])] : []),
    ]),
  );
}

/**
 * @param {string} base the runtime
 * @param {string} main the script that it runs first, in this folder
 * @param {Map<string, Uint8Array>} assets
 * @param {string} output
 */
function assemble(base, main, assets, output) {
  const folder = join(stage, 'assets');
  const paths = [...assets].map(([name, bytes]) => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return [name, path];
  });
  const config = join(stage, 'sea.json');
  const options = {
    executable: base,
    main: join(HERE, main),
    output,
    assets: Object.fromEntries(paths),
    disableExperimentalSEAWarning: true,
    execArgv: FLAGS,
    // A parent's NODE_OPTIONS are for another Node.
    execArgvExtension: 'none',
  };
  writeFileSync(config, JSON.stringify(options));
  execFileSync(process.execPath, ['--build-sea', config], { stdio: ['ignore', 'ignore', 'inherit'] });
}
