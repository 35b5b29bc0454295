import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface BenchServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

interface ServerOptions {
  /** A module that it loads first. */
  readonly preload?: string | undefined;
  /** Gets the lines of its log, which go to stderr otherwise. */
  readonly log?: ((line: string) => void) | undefined;
}

/** The real server in a process of its own. */
export async function startServer(
  env: Record<string, string> = {},
  { preload, log }: ServerOptions = {},
): Promise<BenchServer> {
  // As `npm start` does: what is allocated much is bytes outside of the heap, and a young generation of 48 MB would only be resident memory.
  const args = ['--max-semi-space-size=4', ...(preload ? ['--import', preload] : []), `${ROOT}bin/raffi-server.mjs`];
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, RAFFI_SERVER_ADDR: '127.0.0.1:0', ...env },
    stdio: ['ignore', 'pipe', log ? 'pipe' : 'inherit'],
  });
  if (log && child.stderr) createInterface({ input: child.stderr }).on('line', log);
  if (child.stdout === null) throw new Error('no output to read');
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  return {
    url: line.replace('Server listening on ', ''),
    pid: child.pid as number,
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** Node's own server, which does nothing but answer with 2 kB, in a process of its own: how long that takes, the machine is to blame for. */
export async function startPlain(): Promise<{ readonly url: string } & AsyncDisposable> {
  const code = `const body = Buffer.alloc(2048, 32);
    require('node:http').createServer((_, answer) => answer.end(body)).listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    url: `http://127.0.0.1:${port}/`,
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    },
  };
}

/** Kilobytes of `VmRSS` or `VmHWM` of a process on Linux. */
export function memoryKb(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]);
}

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux

/** User and system time of one process and its threads, without its children, seconds. */
export function cpuSeconds(pid: number): number {
  return secondsOf(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

function secondsOf(stat: string): number {
  const fields = (stat.split(') ')[1] as string).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The same by thread: the main one, and those of each name together. Threads that have ended are not in it. */
export function threadSeconds(pid: number): Map<string, number> {
  const seconds = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    const name = Number(thread) === pid ? 'main' : stat.slice(stat.indexOf('(') + 1, stat.indexOf(')'));
    seconds.set(name, (seconds.get(name) ?? 0) + secondsOf(stat));
  }
  return seconds;
}

/** Milliseconds that a process's main thread has been ready to run, and waited for a processor. */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

export async function createSession(server: BenchServer, source: string): Promise<string> {
  const response = await fetch(`${server.url}/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ source }),
  });
  if (response.status !== 201) throw new Error(`POST /sessions: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}

const agent = new Agent({ keepAlive: true });

/** The body of a 200 answer. Plain `node:http`, since the overhead of `fetch` is larger than what is measured. */
export async function getBytes(url: string): Promise<Buffer> {
  const request = get(url, { agent });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(response, 'end');
  const body = Buffer.concat(chunks);
  if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode} ${body}`);
  return body;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] as number;
}
