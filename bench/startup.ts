/**
 * From start to listening, and what is held when nobody asks for anything: the executable, `node` with the same bundle, what `npm start` runs, and the plain
 * sources; in turns, so that all of them see the same machine. Linux only.
 *
 *   npm run build:binary && node bench/startup.ts [starts, 20] [seconds until idle, 45]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from '../scripts/binaries/bundle.mjs';
import { TARGETS } from '../scripts/binaries/targets.mjs';
import { median, memoryKb } from './lib/server.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=20'];
/** What a process of Linux counts its time in. */
const TICK_MS = 10;

const starts = Number(process.argv[2] ?? 20);
const idleSeconds = Number(process.argv[3] ?? 45);

interface Contestant {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly wall: number[];
  readonly cpu: number[];
}

interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly wallMs: number;
  readonly cpuMs: number;
}

async function start([command, ...args]: Contestant['command']): Promise<Running> {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, RAFFI_SERVER_ADDR: '127.0.0.1:0' };
  const began = performance.now();
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  const wallMs = performance.now() - began;
  const pid = child.pid as number;
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return {
    pid,
    wallMs,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** The bundle as files, and a script that runs it as the executable does, without code compiled before. */
async function writeBundle(folder: string): Promise<string> {
  for (const [name, bytes] of (await bundle()).assets) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
  const script = join(folder, 'run.cjs');
  writeFileSync(
    script,
    `const { readFileSync } = require('node:fs');
    const sea = { isSea: () => true, getRawAsset: (name) => new Uint8Array(readFileSync(__dirname + '/' + name)).buffer };
    const source = readFileSync(__dirname + '/server.cjs', 'latin1');
    new (require('node:vm').Script)(source, { filename: 'server.cjs' })
      .runInThisContext()((name) => (name === 'node:sea' ? sea : require(name)));`,
  );
  return script;
}

const target = TARGETS.find(({ platform, arch }) => platform === process.platform && arch === process.arch);
const built = join(ROOT, 'dist', target?.file ?? '');
if (!target || !existsSync(built)) throw new Error('npm run build:binary first');
const folder = mkdtempSync(join(tmpdir(), 'raffi-bench-startup-'));
try {
  // As installed: a file that was just linked lies in memory in larger pieces, all of which count as resident.
  const executable = join(folder, 'decoder');
  copyFileSync(built, executable);
  const node = process.execPath;
  const none = (): Pick<Contestant, 'wall' | 'cpu'> => ({ wall: [], cpu: [] });
  const contestants: Contestant[] = [
    { name: 'executable', command: [executable], ...none() },
    { name: 'node + bundle', command: [node, ...FLAGS, await writeBundle(folder)], ...none() },
    { name: 'npm start', command: [node, '--max-semi-space-size=8', `${ROOT}bin/raffi-server.mjs`], ...none() },
    { name: 'plain sources', command: [node, `${ROOT}src/main.ts`], ...none() },
  ];
  // The first of each reads its files, and is not counted.
  for (let round = -1; round < starts; round++) {
    for (const { command, wall, cpu } of contestants) {
      await using running = await start(command);
      if (round < 0) continue;
      wall.push(running.wallMs);
      cpu.push(running.cpuMs);
    }
  }
  const plain = median(contestants.at(-1)?.wall ?? []);
  console.log(`Start to listening, median of ${starts} (milliseconds), and memory after ${idleSeconds} s:`);
  for (const { name, command, wall, cpu } of contestants) {
    await using running = await start(command);
    await pause(idleSeconds * 1000);
    const resident = (memoryKb(running.pid, 'VmRSS') / 1024).toFixed(1);
    const ofPlain = Math.round((median(wall) / plain) * 100);
    console.log(
      `  ${name.padEnd(14)} ${median(wall).toFixed(0).padStart(5)} ms (${ofPlain} % of plain), ` +
        `${median(cpu).toFixed(0).padStart(5)} ms of CPU, ${resident} MB resident`,
    );
  }
  const packed = `${built}.tar.xz`;
  const megabytes = (path: string): string =>
    existsSync(path) ? `${(statSync(path).size / 1e6).toFixed(1)} MB` : 'not made';
  console.log(`  ${target.file}: ${megabytes(built)}, as .tar.xz ${megabytes(packed)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
