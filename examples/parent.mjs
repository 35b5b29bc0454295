/**
 * A parent process for the server, as an Electron main process is one: docs/embedding.md. Node and nothing else; take it as it is, or what you need of it.
 *
 *   node examples/parent.mjs COMMAND [ARGUMENT...]
 *
 * Invariant: there is at most one child, and none any more once `stop` has resolved.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/** The server's first line on stdout, once it accepts connections. */
const LISTENING = /^Server listening on (http:\/\/\S+)$/;
const START_MS = 30_000;
const HEALTH = { everyMs: 10_000, answerMs: 5_000 };
/** So many times in a row without an answer, and the server hangs. */
const HEALTH_FAILURES = 3;
/** The server ends within 2.5 s of SIGTERM. */
const STOP_MS = 5_000;
/** Pauses before starts after a crash: doubled each time, and the first one again after so long without. */
const RESTART_MS = { first: 250, most: 30_000, forgottenAfter: 60_000 };

/**
 * @typedef {object} Options
 * @property {string} command the executable of the server, or Node
 * @property {readonly string[]} [args]
 * @property {string} [address] `host:port`, or `:port` for all interfaces; port 0 is a free one, which is kept when the server is started again
 * @property {Readonly<Record<string, string>>} [variables] more of the server's variables
 * @property {{ everyMs: number, answerMs: number }} [health] pauses between questions, and the longest wait for an answer
 * @property {(state: State) => void} [onState]
 * @property {(entry: Record<string, unknown>) => void} [onLog] a line of the server's log; `{ msg }` for one that is not JSON
 *
 * @typedef {{ state: 'starting' } | { state: 'running', url: string, pid: number | undefined }
 *   | { state: 'crashed', reason: string, restartInMs: number } | { state: 'stopped' }} State
 */

/**
 * The version of a raffi-server that listens there already, such as one that another copy of the application has started; undefined for anything else.
 * @param {string} url
 */
export async function listeningVersion(url, answerMs = HEALTH.answerMs) {
  try {
    const response = await fetch(new URL('/health', url), { signal: AbortSignal.timeout(answerMs) });
    const { status } = /** @type {{ status?: unknown }} */ (await response.json());
    const [, version] = /^raffi-server\/(\S+)$/.exec(response.headers.get('server') ?? '') ?? [];
    return response.ok && status === 'ok' ? version : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps one server running. */
export class ServerProcess {
  /** @type {Options & { address: string, health: typeof HEALTH }} */
  #options;
  #stopping = new AbortController();
  /** @type {Promise<void> | undefined} */
  #life;

  /** @param {Options} options */
  constructor(options) {
    this.#options = { address: '127.0.0.1:6969', health: HEALTH, ...options };
  }

  /**
   * Resolves with the address when the server answers there. One that listens already is used as it is, and neither watched nor ended.
   * @returns {Promise<string>}
   * @throws Error with the server's last words when its very first start fails: that is a wrong setting, which no new start mends.
   */
  async start() {
    if (this.#life !== undefined) throw new Error('The server was started before.');
    const { address } = this.#options;
    // On all interfaces is on this machine's own too.
    const there = `http://${address.replace(/^(?:0\.0\.0\.0|\[::\]|)(?=:\d+$)/, '127.0.0.1')}`;
    if (!address.endsWith(':0') && (await listeningVersion(there)) !== undefined) {
      this.#tell({ state: 'running', url: there, pid: undefined });
      return there;
    }
    const launching = this.#launch();
    this.#life = launching.then(
      (first) => this.#supervise(first),
      () => {},
    );
    return (await launching).url;
  }

  /** SIGTERM, then SIGKILL. Resolves when there is no child any more. On Windows both end the server at once. */
  async stop() {
    this.#stopping.abort();
    await this.#life;
    this.#tell({ state: 'stopped' });
  }

  /** @param {State} state */
  #tell(state) {
    this.#options.onState?.(state);
  }

  /** Waits for each server's end and starts the next, until it is stopped. @param {Launched} launched */
  async #supervise(launched) {
    const { signal } = this.#stopping;
    let current = /** @type {Launched | { failure: string }} */ (launched);
    for (let restartInMs = RESTART_MS.first; ; restartInMs = Math.min(restartInMs * 2, RESTART_MS.most)) {
      const began = performance.now();
      const reason = 'failure' in current ? current.failure : await this.#watch(current);
      if (signal.aborted) return;
      if (performance.now() - began > RESTART_MS.forgottenAfter) restartInMs = RESTART_MS.first;
      this.#tell({ state: 'crashed', reason, restartInMs });
      await pause(restartInMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      current = await this.#launch().catch(({ message }) => ({ failure: message }));
    }
  }

  /** @typedef {{ child: import('node:child_process').ChildProcess, url: string, exited: Promise<string> }} Launched */

  /** @returns {Promise<Launched>} */
  async #launch() {
    const { command, args = [], address, variables } = this.#options;
    this.#tell({ state: 'starting' });
    const child = spawn(command, args, {
      // The server ends itself when this process is gone, however that came.
      env: { ...process.env, ...variables, RAFFI_SERVER_ADDR: address, RAFFI_PARENT_PID: String(process.pid) },
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    });
    const lastWords = this.#readLog(child.stderr);
    const closed = once(child, 'close').catch(() => {});
    const exited = once(child, 'exit').then(
      async ([status, signal]) => {
        await Promise.race([closed, pause(1_000, undefined, { ref: false })]); // for its last words
        return `it ended with ${signal ?? `status ${status}`}: ${lastWords.join(' ')}`;
      },
      (error) => `it could not be started: ${error.message}`,
    );
    const { signal } = this.#stopping;
    const late = pause(START_MS, 'it did not listen in time', { ref: false, signal }).catch(() => 'it was stopped');
    const outcome = await Promise.race([firstLine(child.stdout), exited, late]);
    const [, url] = LISTENING.exec(outcome) ?? [];
    if (url !== undefined) {
      // Only the port: of a server on all interfaces, the line names one of them.
      this.#options.address = address.replace(/:0$/, `:${new URL(url).port}`);
      this.#tell({ state: 'running', url, pid: child.pid });
      return { child, url, exited };
    }
    child.kill('SIGKILL');
    await exited;
    throw new Error(`The server did not start: ${outcome}`);
  }

  /** Resolves with how the child ended; ends it when it hangs, and when this object is stopped. @param {Launched} launched */
  async #watch({ child, url, exited }) {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const health = this.#untilUnhealthy(url, signal).then(async () => {
      if (over.signal.aborted) return;
      if (!this.#stopping.signal.aborted) return child.kill('SIGKILL');
      child.kill('SIGTERM');
      await pause(STOP_MS, undefined, { signal: over.signal }).catch(() => {});
      return child.kill('SIGKILL'); // does nothing to a child that has ended
    });
    const reason = await exited;
    over.abort();
    await health;
    return reason;
  }

  /** Resolves when the server has not answered several times in a row, or with the signal. @param {string} url @param {AbortSignal} signal */
  async #untilUnhealthy(url, signal) {
    const { everyMs, answerMs } = this.#options.health;
    for (let failures = 0; failures < HEALTH_FAILURES && !signal.aborted; ) {
      await pause(everyMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) failures = (await listeningVersion(url, answerMs)) === undefined ? failures + 1 : 0;
    }
  }

  /** Hands on the log, a line at a time. @param {import('node:stream').Readable} stderr @returns {string[]} the last lines, kept up to date */
  #readLog(stderr) {
    /** @type {string[]} */
    const last = [];
    createInterface({ input: stderr }).on('line', (line) => {
      if (last.push(line) > 5) last.shift();
      this.#options.onLog?.(logEntry(line));
    });
    return last;
  }
}

/** @param {import('node:stream').Readable} stdout @returns {Promise<string>} never, when there is none */
function firstLine(stdout) {
  const lines = createInterface({ input: stdout });
  return new Promise((resolve) => lines.once('line', resolve));
}

/** @param {string} line @returns {Record<string, unknown>} */
function logEntry(line) {
  try {
    return { ...JSON.parse(line) };
  } catch {
    return { msg: line };
  }
}

if (import.meta.main) {
  const [command = 'raffi-server', ...args] = process.argv.slice(2);
  const { RAFFI_SERVER_ADDR: address = '127.0.0.1:6969' } = process.env;
  const print = (/** @type {unknown} */ value) => console.log(JSON.stringify(value));
  const server = new ServerProcess({ command, args, address, onState: print, onLog: print });
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => server.stop().then(() => process.exit(0)));
  await server.start();
}
