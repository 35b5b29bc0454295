/** The playback doctor: why a session plays as it does, from what the session, its presentation and its torrent know of themselves. Nothing is asked for anew. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { RunRecord } from '../presentation/run-record.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';
import { Explanation, type Finding, type RunExplained, type TorrentExplained } from './explain-schemas.ts';
import { explainTorrent } from './explain-torrent.ts';
import { explainTracks, type Tracks } from './explain-tracks.ts';
import {
  bytesInWords,
  cacheInWords,
  runInWords,
  secondsInWords,
  stepInWords,
  stepNames,
  totalInWords,
} from './explain-words.ts';
import { problems } from './problem.ts';
import { SessionParams } from './schemas.ts';
import { useSession } from './viewer.ts';

/** `GET /sessions/{id}/explain`. */
export function explainRoutes(store: SessionStore, capabilities: Promise<Capabilities>): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/sessions/:id/explain',
      {
        config: { tier: 'control' },
        schema: {
          summary: 'Why a session plays as it does',
          description:
            'What is copied and what is re-encoded and why, runs, cache, errors, where the time went, the torrent: in words and as data.',
          params: SessionParams,
          response: { 200: Explanation, default: problems('session-not-found') },
        },
      },
      async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        reply.header('cache-control', 'no-store');
        return explain(session, await capabilities);
      },
    );
  };
}

function explain(session: Session, capabilities: Capabilities): Explanation {
  const presentation = session.opened;
  const tracks = explainTracks(session, presentation, capabilities);
  const torrent = explainTorrent(session);
  const runs = (presentation?.journal.runs ?? []).map(runExplained).reverse();
  const startup = startupExplained(session);
  const source = sourceExplained(session);
  const error = session.error ?? presentation?.unplayable;
  const status = error ? 'error' : session.status;
  const errors = errorsExplained(session);
  const findings: Finding[] = [
    ...(error ? [{ level: 'error' as const, text: error.detail }] : []),
    ...tracks.findings,
    ...(torrent && torrent.health !== 'complete' && torrent.health !== 'good'
      ? [{ level: torrent.health === 'searching' ? ('info' as const) : ('warning' as const), text: torrent.text }]
      : []),
    ...transferFindings(presentation),
    ...runFindings(presentation?.journal.runs ?? []),
    ...segmentFindings(presentation),
    ...(tracks.needsFfmpeg ? capabilities.missing.map((text) => ({ level: 'warning' as const, text })) : []),
  ];
  const headed = headline(session, tracks, torrent);
  return {
    id: session.id,
    status,
    verdict: error ? 'failed' : tracks.verdict,
    basis: tracks.basis,
    headline: headed,
    findings: unlike(findings).filter(({ text }) => !headed.includes(text)),
    source,
    tracks: tracks.tracks,
    ffmpeg: {
      installed: capabilities.ffmpeg !== undefined,
      ...(capabilities.ffmpeg ? { version: capabilities.ffmpeg.version } : {}),
      missing: [...capabilities.missing],
    },
    runs,
    cache: cacheExplained(presentation),
    errors,
    startup,
    ...(torrent ? { torrent } : {}),
  };
}

function headline(session: Session, tracks: Tracks, torrent: TorrentExplained | undefined): string {
  const error = session.error ?? session.opened?.unplayable;
  if (error) return session.opened ? 'It cannot be played.' : 'The source cannot be opened.';
  if (session.opened) return tracks.headline;
  const step = session.startup.steps(undefined).at(-1);
  const words = torrent?.health === 'dead' ? 'Nobody has this torrent, as far as is known.' : torrent?.text;
  return `Still opening the source, for ${secondsInWords(step?.ms ?? 0)} now. ${words ?? stepNames[step?.step ?? 'source']}`;
}

function sourceExplained(session: Session): Explanation['source'] {
  const presentation = session.opened;
  const { kind, source } = session.request;
  const where = { file: 'A local file', http: 'A remote file', torrent: 'A file in a torrent' }[kind];
  if (presentation === undefined) return { label: source, text: `${where}. What is in it is not known yet.` };
  const { info, size, indexKind, traffic, material } = presentation;
  const readBy = material.direct || material.opened.reader.describedOnly ? 'ffmpeg' : 'server';
  const index =
    indexKind === 'exact'
      ? 'Its key frames are known, so that segments follow them'
      : 'Where its key frames are is not known: segments lie on a plain grid';
  const reader = readBy === 'ffmpeg' ? ' Only FFmpeg can read this container: all of it is re-encoded.' : '';
  return {
    label: presentation.label,
    text: `${where}: ${info.container}, ${bytesInWords(size)}. ${index}.${reader}`,
    container: info.container,
    durationSeconds: info.duration,
    size,
    index: indexKind,
    readBy,
    ...(traffic
      ? {
          transfer: {
            requests: traffic.requests,
            bytes: traffic.bytes,
            interruptions: traffic.interruptions,
            ...(traffic.lastInterruption === undefined ? {} : { lastInterruption: traffic.lastInterruption }),
          },
        }
      : {}),
  };
}

function transferFindings(presentation: Presentation | undefined): Finding[] {
  const { interruptions = 0, lastInterruption = '', requests = 0 } = presentation?.traffic ?? {};
  if (interruptions === 0) return [];
  const often = interruptions === 1 ? 'once' : `${interruptions} times`;
  const text = `The origin failed ${often} in ${requests} requests, and was asked again from where it stood. The last time: ${lastInterruption}`;
  return [{ level: 'warning', text }];
}

function runFindings(runs: readonly RunRecord[]): Finding[] {
  return runs.flatMap((run): Finding[] => {
    const { state, speed, made, rendition, reason, error } = run;
    if (reason === 'failed')
      return [{ level: 'error', text: `The run of ${rendition} failed: ${error?.detail ?? ''}` }];
    if (reason === 'no-room')
      return [{ level: 'warning', text: `A run of ${rendition} found no place: others are at work (RAFFI_MAX_RUNS).` }];
    if (state !== 'running' || speed === undefined || made < 2 || speed >= 1) return [];
    const text = `The run of ${rendition} makes ${speed.toFixed(2)} s of it in a second, which is slower than it plays: a lower quality would keep up.`;
    return [{ level: 'warning', text }];
  });
}

/** The latest segment that could not be had; of what is re-encoded, the runs tell. */
function segmentFindings(presentation: Presentation | undefined): Finding[] {
  const { runs = [], troubles } = presentation?.journal ?? {};
  const failed = troubles?.list.findLast(({ what }) => what.startsWith('segment '));
  if (failed === undefined || runs.some(({ error }) => error?.detail === failed.detail)) return [];
  return [{ level: 'warning', text: `There was no ${failed.what} to be had: ${failed.detail}` }];
}

/** No sentence twice. */
function unlike(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [finding.text, finding])).values()];
}

function runExplained(run: RunRecord): RunExplained {
  const { id, rendition, first, made, position, speed, retries, createdAt, endedAt, reason, error } = run;
  const state = run.state === 'running' ? (run.isWorking ? 'working' : 'waiting') : run.state;
  return {
    id,
    rendition,
    state,
    firstSegment: first,
    segmentsMade: made,
    position,
    ...(speed === undefined ? {} : { speed: Math.round(speed * 100) / 100 }),
    retries,
    startedAt: createdAt.toISOString(),
    ...(endedAt ? { endedAt: endedAt.toISOString() } : {}),
    ...(reason ? { reason } : {}),
    ...(error ? { error: error.detail, errorCode: error.code } : {}),
    text: runInWords(run, state),
  };
}

function cacheExplained(presentation: Presentation | undefined): Explanation['cache'] {
  const { copied, transcoded } = presentation?.journal ?? {
    copied: { segments: 0, bytes: 0, ms: 0 },
    transcoded: { stored: 0, awaited: 0 },
  };
  const copiedMs = copied.segments === 0 ? undefined : Math.round((copied.ms / copied.segments) * 10) / 10;
  const counts = { copiedSegments: copied.segments, hits: transcoded.stored, misses: transcoded.awaited };
  return {
    ...counts,
    copiedBytes: copied.bytes,
    ...(copiedMs === undefined ? {} : { copiedMs }),
    text: cacheInWords({ ...counts, copiedMs }),
  };
}

function errorsExplained({ troubles, opened }: Session): Explanation['errors'] {
  return [...troubles.list, ...(opened?.journal.troubles.list ?? [])]
    .sort((a, b) => b.at.getTime() - a.at.getTime())
    .map(({ at, count, what, code, detail, words }) => ({
      at: at.toISOString(),
      count,
      what,
      code,
      detail,
      ...(words === undefined ? {} : { ffmpeg: words }),
    }));
}

function startupExplained({ startup, opened, error }: Session): Explanation['startup'] {
  const steps = startup.steps(opened?.journal.opening);
  const totalMs = Math.round(steps.reduce((sum, { ms }) => sum + ms, 0));
  const isOver = steps.every((step) => step.isOver);
  return {
    steps: steps.map((step) => ({ ...step, ms: Math.round(step.ms), text: stepInWords(step, error !== undefined) })),
    totalMs,
    isOver,
    text: totalInWords(steps, totalMs, isOver, error !== undefined),
  };
}
