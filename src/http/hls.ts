import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import { AppError } from '../errors.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Rendition } from '../presentation/rendition.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';
import { MEDIA_PROBLEMS, problems } from './problem.ts';
import {
  MediaPlaylistQuery,
  PlaylistAnswer,
  RenditionParams,
  SegmentAnswer,
  SegmentParams,
  SessionParams,
  SliceAnswer,
  SliceQuery,
  SubtitleQuery,
} from './schemas.ts';
import { inTorrentTime, openedSource, useSession, viewerSignal } from './viewer.ts';

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl';

const SEGMENT_PROBLEMS = [
  ...MEDIA_PROBLEMS,
  'variant-not-found',
  'segment-not-found',
  'subtitle-not-found',
  'burn-in-unavailable',
  'segment-timeout',
  'transcode-failed',
  'disk-full',
  'server-busy',
] as const;

/** Playlists, initialization segments, segments and slices. */
export function hlsRoutes(store: SessionStore): FastifyPluginAsyncTypebox {
  return async (app) => {
    const config = { tier: 'media' } as const;
    const playlistProblems = problems(...MEDIA_PROBLEMS, 'subtitle-not-found', 'burn-in-unavailable');
    const playlistAnswer = { 200: PlaylistAnswer, default: playlistProblems };
    const mediaPlaylistAnswer = {
      200: PlaylistAnswer,
      default: problems(
        ...MEDIA_PROBLEMS,
        'variant-not-found',
        'segment-not-found',
        'subtitle-not-found',
        'burn-in-unavailable',
      ),
    };
    const binaryAnswer = { 200: SegmentAnswer, default: problems(...SEGMENT_PROBLEMS) };

    const whole: [url: string, base: (id: string) => string][] = [
      ['/sessions/:id/stream.m3u8', () => ''],
      ['/stream/:id/playlist.m3u8', (id) => `../../sessions/${id}/`],
    ];
    for (const [url, base] of whole) {
      app.get(
        url,
        {
          config,
          schema: {
            summary: 'Multivariant playlist',
            params: SessionParams,
            querystring: SubtitleQuery,
            response: playlistAnswer,
          },
        },
        async (request, reply) => {
          const session = useSession(store, request.params.id, reply);
          const presentation = await openedSource(session, reply);
          const startOffset = Math.min(session.request.startTime, presentation.timeline.duration);
          const { audioIndex, quality, request: asked } = session;
          const text = presentation.multivariantPlaylist({
            audioIndex,
            quality,
            loudness: asked.loudness,
            subtitle: request.query.subtitle,
            firstSegment: 0,
            startOffset,
            base: base(session.id),
          });
          return sendPlaylist(reply, text);
        },
      );
    }

    const slices: [url: string, base: string][] = [
      ['/sessions/:id/stream', ''],
      ['/sessions/:id/stream/child.m3u8', '../'],
    ];
    for (const [url, base] of slices) {
      app.get(
        url,
        {
          config,
          schema: {
            summary: 'A playlist that starts at a slice',
            params: SessionParams,
            querystring: SliceQuery,
            response: { 200: SliceAnswer, default: playlistProblems },
          },
        },
        async (request, reply) => {
          const session = useSession(store, request.params.id, reply);
          const presentation = await openedSource(session, reply);
          const { seek, seek_id, force_slice } = request.query;
          const slice = session.slices.get(seek_id || undefined, force_slice === '1', () =>
            presentation.slice(seek ?? session.request.startTime),
          );
          reply.header('x-raffi-slice-start', presentation.segmentStart(slice.segment).toFixed(3));
          const { audioIndex, quality, request: asked } = session;
          const { segment: firstSegment, startOffset } = slice;
          return sendPlaylist(
            reply,
            presentation.multivariantPlaylist({
              audioIndex,
              quality,
              loudness: asked.loudness,
              subtitle: request.query.subtitle,
              firstSegment,
              startOffset,
              base,
              marksStart: seek !== undefined,
            }),
          );
        },
      );
    }

    app.get(
      '/sessions/:id/:rendition/playlist.m3u8',
      {
        config,
        schema: {
          summary: 'Media playlist',
          params: RenditionParams,
          querystring: MediaPlaylistQuery,
          response: mediaPlaylistAnswer,
        },
      },
      async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        const presentation = await openedSource(session, reply);
        const { slice: firstSegment = 0, subtitle } = request.query;
        const rendition = findRendition(presentation, session, request.params.rendition, subtitle);
        return sendPlaylist(reply, presentation.mediaPlaylist(rendition, { firstSegment, startOffset: 0, subtitle }));
      },
    );

    app.get(
      '/sessions/:id/:rendition/:segment',
      {
        config,
        schema: {
          summary: 'Initialization segment (`init.mp4`) or segment (`{n}.m4s`)',
          params: SegmentParams,
          querystring: SubtitleQuery,
          response: binaryAnswer,
        },
      },
      async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        const { rendition: name, segment } = request.params;
        const signal = viewerSignal(reply, session);
        const presentation = await inTorrentTime(session, signal, (ended) => session.presentation(ended));
        const rendition = findRendition(presentation, session, name, request.query.subtitle);
        const number = segmentNumber(segment, rendition);
        // Subtitles are fetched far ahead of where the viewer is.
        const isPlayed = rendition.track.type !== 'subtitle';
        if (isPlayed) session.startup.segmentAsked();
        const bytes =
          number === undefined
            ? ((await presentation.init(rendition, session.position, signal)) as Uint8Array)
            : await segmentBytes(presentation, rendition, number, signal, reply);
        if (number !== undefined && isPlayed) session.played(rendition, number);
        reply.header('content-type', rendition.contentType);
        reply.header('cache-control', rendition.changing ? 'no-store' : 'private, max-age=3600');
        return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      },
    );
  };
}

function sendPlaylist(reply: FastifyReply, text: string): FastifyReply {
  // A Buffer, since Fastify adds a charset to the type of a string, which the contract rules out.
  return reply.header('content-type', PLAYLIST_TYPE).header('cache-control', 'no-cache').send(Buffer.from(text));
}

function findRendition(
  presentation: Presentation,
  session: Session,
  name: string,
  subtitle: number | undefined,
): Rendition {
  const rendition = presentation.rendition(name, session.audioIndex, subtitle);
  if (rendition) return rendition;
  const names = presentation.renditions.map((candidate) => candidate.name).join(', ');
  throw new AppError(
    'variant-not-found',
    `There is no variant ${JSON.stringify(name)} here; there are: ${names || 'none'}.`,
  );
}

/** A segment, whose memory is given back when the answer is sent. */
async function segmentBytes(
  presentation: Presentation,
  rendition: Rendition,
  n: number,
  signal: AbortSignal,
  reply: FastifyReply,
): Promise<Uint8Array> {
  const segment = await presentation.segment(rendition, n, signal);
  reply.raw.once('close', () => segment[Symbol.dispose]());
  return segment.bytes;
}

/** The number in a segment's name; undefined for `init.mp4`. @throws AppError `segment-not-found`. */
function segmentNumber(name: string, rendition: Rendition): number | undefined {
  if (name === 'init.mp4' && rendition.extension === 'm4s') return undefined;
  const [number, extension, more] = name.split('.');
  if (extension !== rendition.extension || more !== undefined || !/^(0|[1-9]\d{0,8})$/.test(number as string)) {
    throw new AppError('segment-not-found', `There is no ${JSON.stringify(name)} here.`);
  }
  return Number(number);
}
