/** Where the runtime of another platform comes from: the package that `package-lock.json` names, and no other bytes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = join(ROOT, '.cache/bases');

/**
 * The bytes of its executable.
 * @param {import('./targets.mjs').Target} target
 */
export function baseOf({ base, executable }) {
  const installed = join(ROOT, 'node_modules', base, executable);
  if (existsSync(installed)) return readFileSync(installed);
  const { version, integrity } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages[
    `node_modules/${base}`
  ];
  const packed = join(FOLDER, `${base}-${version}.tgz`);
  if (!existsSync(packed)) {
    mkdirSync(FOLDER, { recursive: true });
    execFileSync('npm', ['pack', '--silent', '--pack-destination', FOLDER, `${base}@${version}`], {
      cwd: ROOT,
      stdio: 'inherit',
    });
  }
  const found = `sha512-${createHash('sha512').update(readFileSync(packed)).digest('base64')}`;
  if (found !== integrity) {
    rmSync(packed);
    throw new Error(`${base}@${version} is not what package-lock.json says: ${found}`);
  }
  return execFileSync('tar', ['-xzOf', packed, `package/${executable}`], { maxBuffer: 512 * 1024 * 1024 });
}
