/**
 * What operators can see of the server, in Prometheus' text format.
 *
 * The library behind it is loaded some time after the start, or when somebody asks: it would make every start a third slower.
 * Invariant: until it is there, what happens waits in `#early`, in its order; then nothing does, and `#instruments` has all of it.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Registry } from 'prom-client';
import type { AppError } from '../errors.ts';
import type { Session } from '../session/session.ts';
import type { TorrentStats } from '../torrent/protocol.ts';
import type { Swarm } from '../torrent/swarm.ts';
import { type Instruments, makeInstruments } from './instruments.ts';
import { type Measured, registerReadings } from './readings.ts';

/** Milliseconds from the start. */
const LOAD_AFTER_MS = 3_000;
/** So much may wait: more is worth the time of loading. */
const MOST_EARLY = 2_000;

type Record = (instruments: Instruments) => void;

export class Metrics implements Disposable {
  readonly #measured: Measured;
  readonly #delay = monitorEventLoopDelay({ resolution: 20 });
  readonly #listening: Disposable[];
  readonly #timer: NodeJS.Timeout;
  readonly #begun = new WeakSet<Session>();
  readonly #failures = new WeakMap<Session, AppError>();
  readonly #torrents = new WeakMap<Swarm, TorrentStats>();
  #early: Record[] = [];
  #instruments: Instruments | undefined;
  #loading: Promise<Registry> | undefined;

  constructor(measured: Measured) {
    this.#measured = measured;
    this.#delay.enable();
    this.#timer = setTimeout(() => void this.#load(), LOAD_AFTER_MS);
    this.#timer.unref();
    const { sessions, torrents, clips, runs } = measured;
    this.#listening = [
      sessions.changes.add((session) => this.#ofSession(session)),
      torrents.changes.add((swarm) => this.#ofTorrent(swarm)),
      runs.add(({ run: { reason } }) => {
        if (reason) this.record(({ runsEnded }) => runsEnded.inc({ reason }));
      }),
      clips.subscribe(({ state, endedAt }) => {
        if (endedAt) this.record(({ clipsEnded }) => clipsEnded.inc({ state }));
      }),
    ];
  }

  /** Counts something, now or as soon as that can be done. */
  record(what: Record): void {
    if (this.#instruments) {
      what(this.#instruments);
      return;
    }
    this.#early.push(what);
    if (this.#early.length === MOST_EARLY) void this.#load();
  }

  /** The text, and its content type. */
  async text(): Promise<{ readonly body: string; readonly contentType: string }> {
    const registry = await this.#load();
    return { body: await registry.metrics(), contentType: registry.contentType };
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#delay.disable();
    for (const one of this.#listening) one[Symbol.dispose]();
  }

  #load(): Promise<Registry> {
    this.#loading ??= import('prom-client').then((client) => {
      const registry = new client.Registry();
      const instruments = makeInstruments(client, registry);
      registerReadings(client, registry, this.#measured, this.#delay);
      for (const what of this.#early) what(instruments);
      this.#early = [];
      this.#instruments = instruments;
      return registry;
    });
    return this.#loading;
  }

  #ofSession(session: Session): void {
    const { status, error, request } = session;
    if (!this.#begun.has(session)) {
      this.#begun.add(session);
      this.record(({ sessionsCreated }) => sessionsCreated.inc({ kind: request.kind }));
    }
    if (status === 'closed') this.record(({ sessionsEnded }) => sessionsEnded.inc());
    if (status !== 'error' || error === undefined || this.#failures.get(session) === error) return;
    this.#failures.set(session, error);
    this.record(({ sessionFailures }) => sessionFailures.inc({ code: error.code }));
  }

  /** The engine counts from the beginning of a swarm, and anew when it was started again. */
  #ofTorrent(swarm: Swarm): void {
    const { stats } = swarm;
    if (stats === undefined) return;
    const before = this.#torrents.get(swarm);
    this.#torrents.set(swarm, stats);
    const more = (name: 'downloadedBytes' | 'verifiedBytes' | 'wastedBytes' | 'uploadedBytes'): number => {
      const since = before === undefined || before[name] > stats[name] ? 0 : before[name];
      return stats[name] - since;
    };
    const directions = {
      received: more('downloadedBytes'),
      verified: more('verifiedBytes'),
      wasted: more('wastedBytes'),
      sent: more('uploadedBytes'),
    };
    this.record(({ torrentBytes }) => {
      for (const [direction, bytes] of Object.entries(directions)) torrentBytes.inc({ direction }, bytes);
    });
  }
}
