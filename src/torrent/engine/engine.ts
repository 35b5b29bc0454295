/**
 * The engine as the main thread sees it: one worker, commands down, events up.
 *
 * Invariant: every command with an id has exactly one entry in `#waiting` until its answer or the worker's end settles it.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { embedded } from '../../lib/embedded.ts';
import type { AddTorrent, Command, Demand, EngineEvent, EngineLimits, EngineOptions, InfoHash } from '../protocol.ts';

/** The one place that knows where the worker's code lies. */
function startWorker(options: WorkerOptions): Worker {
  const code = embedded('torrent-worker.cjs');
  if (code) return new Worker(code.toString('latin1'), { ...options, eval: true });
  return new Worker(new URL('./worker.ts', import.meta.url), options);
}

type Unsolicited = Exclude<EngineEvent, { type: 'done' | 'failed' }>;

export interface EngineHandlers {
  readonly event: (event: Unsolicited) => void;
  /** The worker is gone without having been asked: every torrent with it. */
  readonly crashed: (error: Error) => void;
}

export class Engine {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #nextId = 1;
  #ended: Error | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: EngineOptions, handlers: EngineHandlers) {
    this.#worker = startWorker({
      workerData: options,
      name: 'torrent',
      resourceLimits: { maxYoungGenerationSizeMb: 16 },
    });
    this.#worker.on('message', (event: EngineEvent) => {
      if (event.type === 'done') this.#settle(event.id)?.resolve();
      else if (event.type === 'failed') this.#settle(event.id)?.reject(new Error(event.message));
      else handlers.event(event);
    });
    this.#worker.on('error', (error: Error) => this.#end(error, handlers));
    this.#worker.on('exit', () => this.#end(new Error('The torrent engine has ended.'), handlers));
  }

  setLimits(limits: EngineLimits): void {
    this.#post({ type: 'limits', limits });
  }

  /** Resolves when the torrent is known to the worker. @throws Error when it is already there, or the directory can't be made. */
  add(torrent: AddTorrent): Promise<void> {
    return this.#ask((id) => ({ type: 'add', id, torrent }));
  }

  /** @param from where who names them is: what is nearer is not called. */
  addPeers(infoHash: InfoHash, peers: AddTorrent['peers'], from: AddTorrent['peersFrom']): void {
    this.#post({ type: 'peers', infoHash, peers, from });
  }

  /** Tells what is in a torrent, if it is not known yet. */
  inform(infoHash: InfoHash, info: Uint8Array): void {
    this.#post({ type: 'info', infoHash, info });
  }

  /** Hands over a connection made by other means (protocol.ts `stream`). */
  attach(stream: Extract<Command, { type: 'stream' }>): void {
    if (this.#ended === undefined) this.#worker.postMessage(stream, [stream.port]);
    else stream.port.close();
  }

  demand(infoHash: InfoHash, demand: Demand): void {
    this.#post({ type: 'demand', infoHash, demand });
  }

  /** Resolves when the space is free. */
  forget(infoHash: InfoHash, chunks: readonly number[]): Promise<void> {
    return this.#ask((id) => ({ type: 'forget', id, infoHash, chunks }));
  }

  /** Resolves when nothing is left of it. */
  remove(infoHash: InfoHash, deleteFiles: boolean): Promise<void> {
    return this.#ask((id) => ({ type: 'remove', id, infoHash, deleteFiles }));
  }

  /** Ends all torrents (what is kept is persisted) and the worker. Again: the same promise. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exited = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    await this.#ask((id) => ({ type: 'stop', id })).catch(() => undefined);
    await this.#worker.terminate();
    await exited;
  }

  #post(command: Command): void {
    if (this.#ended === undefined) this.#worker.postMessage(command);
  }

  #ask(command: (id: number) => Command): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage(command(id));
    });
  }

  #settle(id: number): { resolve: () => void; reject: (error: Error) => void } | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #end(error: Error, handlers: EngineHandlers): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (this.#stopping === undefined) handlers.crashed(error);
  }
}
