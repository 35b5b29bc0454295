/**
 * From start to listening, and what is held when nobody asks for anything: the executable, `node` with the same bundle, what `npm start` runs, and the plain
 * sources; in turns, so that all of them see the same machine. Linux only. On a quiet machine it takes a minute and a half; each dot is a start of all four.
 *
 *   npm run build:binary && node bench/startup.ts [starts, 20] [seconds until idle, 30]
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
const FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=20'];
/** What a process of Linux counts its time in. */
const TICK_MS = 10;

const starts = Number(process.argv[2] ?? 20);
const idleSeconds = Number(process.argv[3] ?? 30);

/** What the executable must keep; of the two for its start, one. */
const MOST = { startMs: 80, startOfPlain: 1 / 3, residentMb: 90, rawMb: 135, packedMb: 45 };

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
  const failed = exited.then(([status, signal]) => {
    throw new Error(`${command} ended with ${signal ?? status} and did not listen.`);
  });
  await Promise.race([once(child.stdout, 'data'), failed]);
  failed.catch(() => {}); // it ends later, when it is told to
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
    { name: 'npm start', command: [node, '--max-semi-space-size=4', `${ROOT}bin/raffi-server.mjs`], ...none() },
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
    process.stderr.write('.');
  }
  process.stderr.write(` all idle for ${idleSeconds} s\n`);
  const resident = await residentWhenIdle(contestants);
  const plain = median(contestants.at(-1)?.wall ?? []);
  console.log(
    `Start to listening, median of ${starts}, and memory after ${idleSeconds} s in which nobody asked for anything:`,
  );
  for (const [n, { name, wall, cpu }] of contestants.entries())
    console.log(
      `  ${name.padEnd(14)} ${median(wall).toFixed(0).padStart(5)} ms (${percent(median(wall) / plain)} of plain sources), ` +
        `${median(cpu).toFixed(0).padStart(5)} ms of CPU, ${resident[n]?.toFixed(1)} MB resident`,
    );
  const ours = median(contestants[0]?.wall ?? []);
  tell(
    `start: ${ours.toFixed(0)} ms, ${percent(ours / plain)} of plain sources (limit ${MOST.startMs} ms, or ${percent(MOST.startOfPlain)})`,
    ours <= MOST.startMs || ours / plain <= MOST.startOfPlain,
  );
  tellAtMost('resident when idle', resident[0], MOST.residentMb);
  tellAtMost('raw', megabytes(built), MOST.rawMb);
  tellAtMost('as .tar.xz', megabytes(`${built}.tar.xz`), MOST.packedMb);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** MB of 1024 x 1024 bytes, of each; all run at once, since none of them does anything. */
async function residentWhenIdle(contestants: readonly Contestant[]): Promise<number[]> {
  await using stack = new AsyncDisposableStack();
  const running: Running[] = [];
  for (const { command } of contestants) running.push(stack.use(await start(command)));
  await pause(idleSeconds * 1000);
  return running.map(({ pid }) => memoryKb(pid, 'VmRSS') / 1024);
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

/** MB of 1,000,000 bytes. */
function megabytes(path: string): number | undefined {
  return existsSync(path) ? statSync(path).size / 1e6 : undefined;
}

function tellAtMost(what: string, mb: number | undefined, most: number): void {
  if (mb === undefined)
    console.log(`        ${what}: not made (limit ${most} MB): node scripts/binaries/build.mjs --archive`);
  else tell(`${what}: ${mb.toFixed(1)} MB (limit ${most} MB)`, mb <= most);
}

function tell(sentence: string, holds: boolean): void {
  console.log(`  ${holds ? 'kept ' : 'MISSED'} ${sentence}`);
  if (!holds) process.exitCode = 1;
}
