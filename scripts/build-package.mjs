/**
 * Makes in `dist/npm/` what the registry's package carries: JavaScript, since Node strips no types below `node_modules`. Its folders lie as those of the
 * repository do, so that addresses relative to a file hold in both. npm runs it before it packs.
 *
 *   node scripts/build-package.mjs
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(ROOT, 'dist', 'npm');

/** @param {...string} args */
function compile(...args) {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, error } = spawnSync(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.package.json'), ...args], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`tsc ${args.join(' ')}: ${error?.message ?? `status ${status}`}`);
}

/** The compiler rewrites what is imported, not what is only named, as a worker's file is. */
function nameCompiledFiles() {
  for (const file of globSync('**/*.js', { cwd: OUT })) {
    const path = join(OUT, file);
    const code = readFileSync(path, 'utf8');
    const named = code.replace(/(new URL\('\.[^']*)\.ts(', import\.meta\.url\))/g, '$1.js$2');
    if (named !== code) writeFileSync(path, named);
  }
}

/** The types of what the package exports. They stand for themselves: nobody needs the types of what the server is made of. */
function declareTypes() {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-types-'));
  try {
    compile('--declaration', '--emitDeclarationOnly', '--outDir', folder);
    const types = readFileSync(join(folder, 'src', 'index.d.ts'), 'utf8');
    if (/\bfrom\s*['"]|\bimport\s*\(/.test(types))
      throw new Error('src/index.ts: its types must not need those of other files');
    writeFileSync(join(OUT, 'src', 'index.d.ts'), types);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

rmSync(OUT, { recursive: true, force: true });
compile();
nameCompiledFiles();
declareTypes();
cpSync(join(ROOT, 'web'), join(OUT, 'web'), { recursive: true, filter: (path) => extname(path) !== '.mts' });
rmSync(join(OUT, 'web', 'vendor'), { recursive: true, force: true });
// The server tells its version from the package.json above it.
const { type, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
writeFileSync(join(OUT, 'package.json'), `${JSON.stringify({ type, version }, null, 2)}\n`);
