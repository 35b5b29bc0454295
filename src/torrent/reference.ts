/** From what a client names a torrent by, to what is known of it. */
import { AppError } from '../errors.ts';
import { openSource } from '../source/open.ts';
import type { SourceAccess } from '../source/policy.ts';
import { parseSource, type SourceSpec } from '../source/spec.ts';
import { invalidTorrent } from './failures.ts';
import { MagnetError, parseMagnet } from './magnet.ts';
import { MetainfoError, parseTorrent } from './metainfo.ts';
import type { TorrentSeed } from './swarm.ts';

/** The largest .torrent file that is read, bytes. */
export const LARGEST_TORRENT_FILE = 8 * 1024 * 1024;

export type TorrentSpec = Extract<SourceSpec, { kind: 'torrent' }>;

/**
 * What can be told without waiting: of magnet links, infohashes and uploaded files; undefined for a path or a URL, which `loadTorrent` reads.
 * @throws AppError `bad-request`, naming the field.
 */
export function readTorrentSpec(spec: TorrentSpec): TorrentSeed | undefined {
  try {
    if (spec.document) return seedOf(spec.document);
    return isLocation(spec.reference) ? undefined : parseMagnet(spec.reference);
  } catch (error) {
    if (error instanceof MagnetError)
      throw new AppError('bad-request', `The field "source" ${error.message}.`, { cause: error });
    if (error instanceof MetainfoError && !error.unsupported)
      throw new AppError('bad-request', `body: ${error.message}`, { cause: error });
    throw error instanceof MetainfoError ? invalidTorrent(error) : error;
  }
}

function isLocation(reference: string): boolean {
  return !/^magnet:/i.test(reference) && !/^(?:[0-9a-f]{40}|[a-z2-7]{32})$/i.test(reference);
}

/** Reads a .torrent file at a path or a URL, if the client may open that. @throws AppError `source-*`, `torrent-invalid`, `torrent-unsupported`; the signal's reason. */
export async function loadTorrent(reference: string, access: SourceAccess, signal: AbortSignal): Promise<TorrentSeed> {
  const spec = parseSource(reference, /^https?:/i.test(reference) ? 'http' : 'file');
  await using source = await openSource(spec, { signal, access });
  if (source.size > LARGEST_TORRENT_FILE) {
    const most = `${LARGEST_TORRENT_FILE / 1024 / 1024} MB`;
    throw new AppError(
      'torrent-invalid',
      `${source.label} has ${source.size} bytes: a torrent file has at most ${most}.`,
    );
  }
  const bytes = await source.read(0, source.size, signal);
  try {
    // A copy: the bytes may be a pool's.
    return seedOf(Uint8Array.from(bytes));
  } catch (error) {
    throw error instanceof MetainfoError ? invalidTorrent(error) : error;
  } finally {
    source.recycle(bytes);
  }
}

function seedOf(bytes: Uint8Array): TorrentSeed {
  const { infoHash, info, metainfo, trackers, webSeeds } = parseTorrent(bytes);
  return { infoHash, info, name: metainfo.name, trackers, peers: [], webSeeds };
}
