import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { AppError } from '../errors.ts';
import type { EventFeed } from './event-feed.ts';
import { type EventLog, frame } from './event-log.ts';
import { EVENTS } from './event-schemas.ts';
import { problems } from './problem.ts';
import { Binary } from './schemas.ts';

/** A comment now and then, so that connections without a reader come to light. */
const HEARTBEAT_MS = 15_000;
const HEARTBEAT = Buffer.from(':\n\n');
/** Milliseconds after which a client that lost the connection comes back. */
const RETRY = Buffer.from('retry: 2000\n\n');
/** Bytes that wait for a slow reader; one that has more is sent away, and finds what it missed when it comes back. */
const MOST_WAITING = 512 * 1024;
/** Streams at once. */
const MOST_STREAMS = 256;

/**
 * `GET /events`: server-sent events, as docs/events.md has them. An event has an id; who comes back with `Last-Event-ID` gets what came since, or is told
 * that some of it is gone and gets the state of everything, as somebody new does.
 */
export function eventRoutes(feed: EventFeed): FastifyPluginAsyncTypebox {
  const streams = new Set<EventStream>();
  return async (app) => {
    app.addHook('preClose', async () => {
      for (const stream of streams) stream.end();
    });
    app.addHook('onClose', async () => feed[Symbol.dispose]());
    app.get(
      '/events',
      {
        exposeHeadRoute: false,
        config: { tier: 'control' },
        schema: {
          summary: 'What sessions, runs, torrents and clips do, as it happens (server-sent events)',
          description: `Events: ${Object.keys(EVENTS).join(', ')}; docs/events.md has their fields. \`Last-Event-ID\` continues where a client was.`,
          response: {
            200: { description: 'Events.', content: { 'text/event-stream': { schema: Binary } } },
            default: problems(),
          },
        },
      },
      async (request, reply) => {
        if (streams.size >= MOST_STREAMS)
          throw new AppError('server-full', `${MOST_STREAMS} clients listen to events already, which is the most.`);
        const stream = new EventStream(feed.log, MOST_WAITING);
        streams.add(stream);
        reply.raw.once('close', () => {
          streams.delete(stream);
          stream.end();
          stream.readable.destroy();
        });
        for (const bytes of beginning(feed, request.headers['last-event-id'])) stream.push(bytes);
        reply.header('cache-control', 'no-store').header('content-type', 'text/event-stream');
        return reply.send(stream.readable);
      },
    );
  };
}

/** What a client gets first. @param lastId what it says that it has. */
function beginning(feed: EventFeed, lastId: string | string[] | undefined): Buffer[] {
  const id = Array.isArray(lastId) ? lastId.join() : lastId;
  const missed = id ? feed.log.after(id) : undefined;
  // Its id is that of the newest event only where those before have come, or are made up for by what follows.
  if (missed) return [RETRY, frame('hello', { resumed: true }), ...missed];
  const message = 'Some events since then are not known any more; the state of everything follows.';
  const gap = id ? [frame('gap', { lastEventId: id.slice(0, 100), message })] : [];
  return [RETRY, frame('hello', { resumed: false }, feed.log.lastId), ...gap, ...feed.snapshot()];
}

/**
 * The events that one client gets from now on.
 * Invariant: until `end`, it listens and has a timer; afterwards neither, and what is buffered still goes out.
 */
export class EventStream {
  readonly readable = new Readable({ read() {} });
  readonly #mostWaiting: number;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #listening: Disposable;
  #ended = false;

  constructor(log: EventLog, mostWaiting: number) {
    this.#mostWaiting = mostWaiting;
    this.#heartbeat = setInterval(() => this.push(HEARTBEAT), HEARTBEAT_MS);
    this.#listening = log.appended.add((bytes) => {
      // A hole in the middle would go unnoticed; an end does not.
      if (this.readable.readableLength > this.#mostWaiting) this.end();
      else this.push(bytes);
    });
  }

  push(bytes: Buffer): void {
    if (!this.#ended && !this.readable.destroyed) this.readable.push(bytes);
  }

  end(): void {
    if (this.#ended) return;
    clearInterval(this.#heartbeat);
    this.#listening[Symbol.dispose]();
    this.push(Buffer.from(': the end; come back with Last-Event-ID\n\n'));
    this.#ended = true;
    if (!this.readable.destroyed) this.readable.push(null);
  }
}
