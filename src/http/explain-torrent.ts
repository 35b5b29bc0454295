import type { Session } from '../session/session.ts';
import type { SwarmStatus } from '../torrent/status.ts';
import type { TorrentExplained } from './explain-schemas.ts';

/** A swarm in which nobody was found for so long is as good as dead, milliseconds. */
const PATIENCE_MS = 30_000;

/** How the swarm is; undefined for what is no torrent. */
export function explainTorrent({ torrent, request, createdAt }: Session): TorrentExplained | undefined {
  if (torrent === undefined) return undefined;
  const status = torrent.current?.status(request.fileIdx);
  if (status === undefined) return unopened(torrent.failure?.detail);
  const { stats, stage, progress, tried } = status;
  const health = healthOf(status, Date.now() - createdAt.getTime());
  return {
    health,
    text: inWords(status, health),
    stage,
    peers: stats?.peers ?? 0,
    seeds: stats?.seeds ?? 0,
    knownPeers: stats?.knownPeers ?? 0,
    downloadBytesPerSecond: Math.round(stats?.downloadBytesPerSecond ?? 0),
    progress,
    sources: tried.map(({ label, state, peers, reason }) => ({
      label,
      state,
      peers,
      ...(reason === undefined ? {} : { reason }),
    })),
  };
}

/** The .torrent file has not been read. */
function unopened(failure: string | undefined): TorrentExplained {
  return {
    health: failure === undefined ? 'searching' : 'failed',
    text: failure ?? 'The .torrent file is being read.',
    stage: failure === undefined ? 'metadata' : 'error',
    peers: 0,
    seeds: 0,
    knownPeers: 0,
    downloadBytesPerSecond: 0,
    progress: 0,
    sources: [],
  };
}

function healthOf({ progress, error, stats, tried, keepsUp }: SwarmStatus, ageMs: number): TorrentExplained['health'] {
  if (progress >= 1) return 'complete';
  // That nobody told what is in it is what a dead swarm is like; other failures are failures.
  if (error && error.code !== 'torrent-no-metadata') return 'failed';
  if ((stats?.peers ?? 0) === 0) {
    const isAsking = tried.some(({ state }) => state === 'asking') || (stats?.knownPeers ?? 0) > 0;
    return error || ageMs > PATIENCE_MS || (!isAsking && stats !== undefined) ? 'dead' : 'searching';
  }
  return keepsUp === false || (stats?.unavailablePieces ?? 0) > 0 ? 'poor' : 'good';
}

function inWords(status: SwarmStatus, health: TorrentExplained['health']): string {
  const { message, tried, keepsUp } = status;
  if (health === 'poor' && keepsUp === false)
    return `${message} It comes more slowly than it plays, so that it will pause.`;
  if (health !== 'dead') return message;
  const asked = tried.map(({ label, state, peers, reason }) => {
    if (state === 'failed') return `${label} failed${reason ? `: ${reason}` : ''}`;
    if (state === 'asking') return `${label} has not answered`;
    return `${label} knows ${peers === 0 ? 'nobody' : peers === 1 ? '1 peer' : `${peers} peers`}`;
  });
  const known = status.stats?.knownPeers ?? 0;
  const who =
    known === 0
      ? 'Nobody who has this torrent was found'
      : `None of the ${known} known peers of this torrent can be reached`;
  return `${who}; it plays as soon as somebody comes. Asked: ${asked.join('; ') || 'nobody, since no tracker is named, and DHT and local discovery are off'}.`;
}
