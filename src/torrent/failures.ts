/** What can go wrong with a torrent, in sentences. */
import { AppError } from '../errors.ts';
import type { Nearness } from '../lib/addresses.ts';
import type { AnnounceReport } from './discovery/announcer.ts';
import type { MetainfoError, TorrentFile } from './metainfo.ts';
import { usablePeers } from './peer-guard.ts';
import type { PeerAddress, TorrentStats } from './protocol.ts';

export function invalidTorrent(error: MetainfoError): AppError {
  return new AppError(error.unsupported ? 'torrent-unsupported' : 'torrent-invalid', error.message, { cause: error });
}

/** Why a file can't be played. @param fileIdx the one asked for; undefined: the best one. */
export function noFile(name: string, files: readonly TorrentFile[], fileIdx: number | undefined): AppError {
  const why = (): string => {
    if (fileIdx === undefined) return `None of the ${files.length} files of ${name} is a video or audio file.`;
    if (files[fileIdx]?.isPadding) return `File ${fileIdx} of ${name} is padding between other files.`;
    if (files[fileIdx]) return `File ${fileIdx} of ${name} is empty.`;
    return `The torrent ${name} has no file ${fileIdx}: it has ${files.length}, counted from 0.`;
  };
  return new AppError('torrent-no-file', why());
}

/** What became of the peers that a link names, when not all of them may be called. @param from where who writes links is taken to be. */
export function linkReports(peers: readonly PeerAddress[], from: Nearness): AnnounceReport[] {
  if (peers.length === 0) return [];
  const usable = usablePeers(peers, from, { port: undefined, places: [] }).length;
  if (usable === peers.length) return [];
  const reason = `names ${peers.length - usable} peers of this machine or network, which links may only with RAFFI_ALLOW_PRIVATE_SOURCES=true`;
  return [{ label: 'the link', state: 'failed', peers: usable, reason }];
}

/** What was tried to learn what is in the torrent. @param patience milliseconds. */
export function noMetadata(
  name: string,
  patience: number,
  reports: readonly AnnounceReport[],
  stats: TorrentStats | undefined,
): AppError {
  const tried = reports.map(({ label, state, reason = 'failed', peers }) => {
    const how = { asking: 'has not answered yet', answered: `named ${peers} peers`, failed: reason };
    return `${label} ${how[state]}`;
  });
  const peers = `${stats?.knownPeers ?? 0} peers are known, ${stats?.peers ?? 0} of them connected`;
  return new AppError(
    'torrent-no-metadata',
    `Nobody has told what is in the torrent ${name} within ${patience / 1_000} s. Tried: ${[...tried, peers].join('; ')}. The search goes on.`,
  );
}
