/** The numbers that are counted as things happen, by their names in Prometheus; docs/operations.md explains each. */
import type { Counter, Histogram, Registry } from 'prom-client';

export interface Instruments {
  readonly requests: Histogram<'route' | 'method' | 'status'>;
  readonly responseBytes: Counter<'route'>;
  readonly malformed: Counter;
  readonly sessionsCreated: Counter<'kind'>;
  readonly sessionsEnded: Counter;
  readonly sessionFailures: Counter<'code'>;
  readonly runsEnded: Counter<'reason'>;
  readonly clipsEnded: Counter<'state'>;
  readonly torrentBytes: Counter<'direction'>;
}

/** Seconds. A page feels 0.1 s; nothing takes more than 20 s by contract. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];

type Client = typeof import('prom-client');

export function makeInstruments({ Counter, Histogram }: Client, registry: Registry): Instruments {
  const registers = [registry];
  return {
    requests: new Histogram({
      name: 'raffi_http_request_duration_seconds',
      help: 'Until the head of the answer was ready, by route and status; `aborted`: the client went away before its end.',
      labelNames: ['route', 'method', 'status'],
      buckets: BUCKETS,
      registers,
    }),
    responseBytes: new Counter({
      name: 'raffi_http_response_bytes_total',
      help: 'Bytes written to clients, heads included.',
      labelNames: ['route'],
      registers,
    }),
    malformed: new Counter({
      name: 'raffi_http_malformed_requests_total',
      help: 'What came over a connection and was no HTTP request, or had an address that cannot be read.',
      registers,
    }),
    sessionsCreated: new Counter({
      name: 'raffi_sessions_created_total',
      help: 'Sessions that began.',
      labelNames: ['kind'],
      registers,
    }),
    sessionsEnded: new Counter({ name: 'raffi_sessions_ended_total', help: 'Sessions that ended.', registers }),
    sessionFailures: new Counter({
      name: 'raffi_session_failures_total',
      help: 'How often the source of a session could not be opened, by error code.',
      labelNames: ['code'],
      registers,
    }),
    runsEnded: new Counter({
      name: 'raffi_runs_ended_total',
      help: 'Transcoding processes that ended, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    clipsEnded: new Counter({
      name: 'raffi_clips_ended_total',
      help: 'Clips that ended: done, failed or cancelled.',
      labelNames: ['state'],
      registers,
    }),
    torrentBytes: new Counter({
      name: 'raffi_torrent_bytes_total',
      help: 'Piece data of torrents: received, of that verified and wasted, and sent.',
      labelNames: ['direction'],
      registers,
    }),
  };
}
