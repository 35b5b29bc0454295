/** The numbers that are read when somebody asks. */
import { readdirSync } from 'node:fs';
import type { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Registry } from 'prom-client';
import type { ClipService } from '../clip/clip-service.ts';
import type { Health } from '../health/health.ts';
import type { Listeners } from '../lib/listeners.ts';
import type { RunChange } from '../presentation/journal.ts';
import type { PresentationStore } from '../presentation/presentation-store.ts';
import type { RunPool } from '../presentation/run-pool.ts';
import type { SegmentStore } from '../presentation/segment-store.ts';
import type { SessionStore } from '../session/session-store.ts';
import { received } from '../source/received.ts';
import type { TorrentService } from '../torrent/service.ts';

/** What is read. */
export interface Measured {
  readonly version: string;
  readonly sessions: SessionStore;
  readonly presentations: PresentationStore;
  readonly pool: RunPool;
  /** Tells of runs that begin and end. */
  readonly runs: Listeners<RunChange>;
  readonly store: SegmentStore;
  readonly clips: ClipService;
  readonly torrents: TorrentService;
  readonly health: Health;
}

type Client = typeof import('prom-client');
/** Nanoseconds. */
type IntervalHistogram = ReturnType<typeof monitorEventLoopDelay>;
/** Label values -> number; a label that is absent is none. */
type Values = readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];

export function registerReadings(
  client: Client,
  registry: Registry,
  measured: Measured,
  delay: IntervalHistogram,
): void {
  const define = (
    type: 'Gauge' | 'Counter',
    name: string,
    help: string,
    read: () => Values | Promise<Values>,
  ): void => {
    const labelNames = new Set<string>();
    const collect = async function (this: { reset(): void; inc(labels: object, value: number): void }) {
      const values = await read();
      this.reset();
      for (const [labels, value] of values) this.inc(labels, value);
    };
    for (const label of LABELS[name] ?? []) labelNames.add(label);
    new client[type]({ name, help, labelNames: [...labelNames], registers: [registry], collect });
  };
  const gauge = (name: string, help: string, read: () => Values | Promise<Values>): void =>
    define('Gauge', name, help, read);
  const total = (name: string, help: string, read: () => Values): void => define('Counter', name, help, read);
  registerService(gauge, total, measured);
  registerProcess(gauge, total, delay);
}

const LABELS: Readonly<Record<string, readonly string[]>> = {
  raffi_build_info: ['version', 'node'],
  raffi_sessions: ['status'],
  raffi_runs: ['state'],
  raffi_segment_store_bytes: ['place'],
  raffi_segment_store_requests_total: ['result'],
  raffi_source_bytes_total: ['kind'],
  raffi_clips: ['state'],
  raffi_torrents: ['stage'],
  raffi_check_level: ['check'],
};

type Define = (name: string, help: string, read: () => Values) => void;
type DefineGauge = (name: string, help: string, read: () => Values | Promise<Values>) => void;

const one = (value: number): Values => [[{}, value]];

/** How many there are of each; `all` are told even when there is none. */
function counted(label: string, all: readonly string[], found: readonly string[]): Values {
  return all.map((name) => [{ [label]: name }, found.filter((each) => each === name).length]);
}

const STATUSES = ['created', 'metadata', 'probing', 'ready', 'streaming', 'error'];
const LEVELS = { ok: 0, limited: 1, failing: 2 };
const STAGES = ['metadata', 'downloading', 'ready', 'error'];

function registerService(gauge: DefineGauge, total: Define, measured: Measured): void {
  const { version, sessions, presentations, pool, store, clips, torrents, health } = measured;
  gauge('raffi_build_info', 'Always 1; what runs is in the labels.', () => [[{ version, node: process.version }, 1]]);
  gauge('raffi_check_level', 'The checks of GET /health/ready: 0 ok, 1 limited, 2 failing.', async () =>
    (await health.check()).map(({ name, state }) => [{ check: name }, LEVELS[state]]),
  );
  gauge('raffi_sessions', 'Sessions, by status.', () =>
    counted(
      'status',
      STATUSES,
      sessions.list().map(({ status }) => status),
    ),
  );
  gauge('raffi_presentations', 'Opened sources; sessions on one source share it.', () => one(presentations.size));
  gauge('raffi_runs', 'Transcoding processes at work, and those that wait for a place.', () => [
    [{ state: 'running' }, pool.size],
    [{ state: 'queued' }, pool.queued],
  ]);
  gauge('raffi_runs_limit', 'Transcoding processes that may work at once (RAFFI_MAX_RUNS).', () => one(pool.limit));
  gauge('raffi_segment_store_bytes', 'Transcoded segments that are kept.', () => [
    [{ place: 'memory' }, store.stats.memoryBytes],
    [{ place: 'disk' }, store.stats.diskBytes],
  ]);
  total('raffi_segment_store_requests_total', 'Transcoded segments that were asked for: kept, or to be made.', () => [
    [{ result: 'hit' }, store.stats.hits],
    [{ result: 'miss' }, store.stats.misses],
  ]);
  total('raffi_segment_store_evictions_total', 'Transcoded segments that were given up for others.', () =>
    one(store.stats.evictions),
  );
  total('raffi_source_bytes_total', 'Bytes read from sources: links, and local files.', () => [
    [{ kind: 'http' }, received.http],
    [{ kind: 'file' }, received.file],
  ]);
  gauge('raffi_clips', 'Clips in the making.', () =>
    counted(
      'state',
      ['queued', 'running'],
      clips.list().map(({ state }) => state),
    ),
  );
  gauge('raffi_torrents', 'Torrents in use, by stage.', () =>
    counted(
      'stage',
      STAGES,
      torrents.list().map((swarm) => swarm.status(swarm.audience.selected).stage),
    ),
  );
  gauge('raffi_torrent_peers', 'Connected peers, of all torrents.', () =>
    one(torrents.list().reduce((sum, { stats }) => sum + (stats?.peers ?? 0), 0)),
  );
}

function registerProcess(gauge: DefineGauge, total: Define, delay: IntervalHistogram): void {
  total('process_cpu_seconds_total', 'User and system CPU time, without that of FFmpeg processes.', () => {
    const { user, system } = process.cpuUsage();
    return one((user + system) / 1e6);
  });
  gauge('process_start_time_seconds', 'Since the epoch.', () => one(performance.timeOrigin / 1000));
  gauge('process_resident_memory_bytes', 'Of this process.', () => one(process.memoryUsage.rss()));
  gauge('process_open_fds', 'Open files and sockets; 0 where the system does not tell.', () => one(openFiles()));
  gauge('nodejs_heap_size_used_bytes', 'JavaScript objects.', () => one(process.memoryUsage().heapUsed));
  gauge('nodejs_external_memory_bytes', 'Buffers, outside of the heap.', () => one(process.memoryUsage().external));
  gauge('nodejs_eventloop_lag_p99_seconds', 'Of the delays of the event loop since it was last asked for.', () =>
    one(seconds(delay.percentile(99))),
  );
  gauge('nodejs_eventloop_lag_max_seconds', 'The longest of these delays; asking begins anew.', () => {
    const longest = seconds(delay.max);
    delay.reset();
    return one(longest);
  });
}

/** From nanoseconds; 0 before anything was measured. */
function seconds(ns: number): number {
  return Number.isFinite(ns) && ns < 1e15 ? Math.max(0, ns) / 1e9 : 0;
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}
