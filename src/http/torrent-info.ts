import type { Session } from '../session/session.ts';
import type { SwarmStatus } from '../torrent/status.ts';
import type { SessionInfo, TorrentInfo, TorrentStatus } from './schemas.ts';

/** What a session's info tells of its torrent. */
export function torrentFields({ torrent, request }: Session): Partial<SessionInfo> {
  const status = torrent?.current?.status(request.fileIdx);
  if (status === undefined) return { torrentInfoHash: torrent?.infoHash ?? '' };
  const { stats, file } = status;
  const speed = stats?.downloadBytesPerSecond ?? 0;
  return {
    name: file?.path.at(-1) ?? status.name,
    torrentInfoHash: status.infoHash,
    progress: Math.round(status.progress * 1_000) / 10,
    peers: stats?.peers ?? 0,
    downloadSpeed: speedInWords(speed),
    downloadBytesPerSecond: Math.round(speed),
    ...(file ? { fileSize: file.length } : {}),
    torrent: torrentInfo(status),
  };
}

function torrentInfo(status: SwarmStatus): TorrentInfo {
  const { stats, file, startsInSeconds, keepsUp, playsAt, sketch } = status;
  return {
    name: status.name,
    stage: status.stage,
    message: status.message,
    seeds: stats?.seeds ?? 0,
    knownPeers: stats?.knownPeers ?? 0,
    uploadBytesPerSecond: Math.round(stats?.uploadBytesPerSecond ?? 0),
    piecesComplete: status.piecesComplete,
    piecesTotal: status.piecesTotal,
    files: [...status.files],
    fileCount: status.fileCount,
    positions: [...status.positions],
    sources: status.tried.map((report) => ({ ...report })),
    ...(file ? { fileIdx: file.index } : {}),
    ...(sketch === undefined ? {} : { sketch }),
    ...(startsInSeconds === undefined ? {} : { startsInSeconds: Math.round(startsInSeconds * 10) / 10 }),
    ...(keepsUp === undefined ? {} : { keepsUp }),
    ...(playsAt === undefined ? {} : { playsAtBytesPerSecond: Math.round(playsAt) }),
  };
}

/** Contract of `GET /torrents/{infohash}/status`; undefined: nobody uses this torrent. */
export function torrentStatus(status: SwarmStatus | undefined): TorrentStatus {
  if (status === undefined) {
    return {
      stage: 'missing',
      ready: false,
      peers: 0,
      piecesComplete: 0,
      piecesTotal: 0,
      progress: 0,
      downUsefulBytes: 0,
    };
  }
  const { stats, stage, error } = status;
  return {
    stage,
    ready: stage === 'ready',
    ...(error ? { error: error.detail } : {}),
    peers: stats?.peers ?? 0,
    piecesComplete: status.piecesComplete,
    piecesTotal: status.piecesTotal,
    progress: status.progress,
    downUsefulBytes: stats?.verifiedBytes ?? 0,
    torrent: torrentInfo(status),
  };
}

/** "5.2 MB/s", as clients show it. */
function speedInWords(bytesPerSecond: number): string {
  const units = ['B/s', 'kB/s', 'MB/s', 'GB/s'];
  let value = bytesPerSecond;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
