/** The only reader of the environment. */
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  /** Sessions without any request for this long end. */
  readonly sessionIdleMs: number;
  /** Transcoding runs at once, in the whole process. */
  readonly maxRuns: number;
  /** Bytes of transcoded segments on disk; 0: in memory only; undefined: by what is free. */
  readonly cacheBytes: number | undefined;
  readonly ffmpegBin: string | undefined;
  readonly ffprobeBin: string | undefined;
  /** Folders of PATH, in order. */
  readonly searchPath: readonly string[];
  readonly torrent: TorrentConfig;
  readonly debug: boolean;
}

interface TorrentConfig {
  /** Where torrents' data lie. */
  readonly directory: string;
  /** Bytes of them on the disk; undefined: by what is free. */
  readonly diskBytes: number | undefined;
  /** Data survive the last session and the process. */
  readonly keep: boolean;
  /** Where peers can reach us; undefined: nowhere. */
  readonly listen: { readonly hosts: readonly string[]; readonly port: number } | undefined;
  readonly connections: number;
  /** Bytes per second to peers. */
  readonly uploadRate: number;
  readonly encryption: 'allow' | 'prefer' | 'require';
  readonly trackers: boolean;
  readonly dht: boolean;
  /** `host:port` of DHT nodes to begin with. */
  readonly dhtNodes: readonly string[];
  readonly localDiscovery: boolean;
}

/** A variable that makes no sense. The message is the whole sentence for the person who set it. */
export class ConfigError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws ConfigError naming the variable. */
export function readConfig(env: Environment): Config {
  return Object.freeze({
    listen: Object.freeze(listenAddress(env)),
    sessionIdleMs: duration(env, 'RAFFI_SESSION_IDLE', 30 * 60_000),
    maxRuns: count(env, 'RAFFI_MAX_RUNS', availableParallelism()),
    cacheBytes: bytes(env, 'RAFFI_CACHE_BYTES'),
    ffmpegBin: text(env, 'RAFFI_FFMPEG_BIN'),
    ffprobeBin: text(env, 'RAFFI_FFPROBE_BIN'),
    searchPath: Object.freeze(
      (text(env, 'PATH') ?? '').split(process.platform === 'win32' ? ';' : ':').filter(Boolean),
    ),
    torrent: torrentConfig(env),
    debug: flag(env, 'DEBUG', false),
  });
}

const DHT_NODES = [
  'router.bittorrent.com:6881',
  'dht.transmissionbt.com:6881',
  'router.utorrent.com:6881',
  'dht.libtorrent.org:25401',
];

function torrentConfig(env: Environment): TorrentConfig {
  return Object.freeze({
    directory: text(env, 'RAFFI_TORRENT_DIR') ?? text(env, 'TORRENT_DIR') ?? join(tmpdir(), 'raffi-torrents'),
    diskBytes: bytes(env, 'RAFFI_TORRENT_BYTES'),
    keep: flag(env, 'RAFFI_TORRENT_KEEP', false),
    listen: torrentListen(env),
    connections: count(env, 'RAFFI_TORRENT_CONNECTIONS', 200),
    uploadRate: bytes(env, 'RAFFI_TORRENT_UPLOAD_RATE') ?? 1024 ** 2,
    encryption: choice(env, 'RAFFI_TORRENT_ENCRYPTION', ['allow', 'prefer', 'require']),
    trackers: flag(env, 'RAFFI_TORRENT_TRACKERS', true),
    dht: flag(env, 'RAFFI_TORRENT_DHT', true),
    dhtNodes: Object.freeze(nodes(env, 'RAFFI_TORRENT_DHT_NODES') ?? DHT_NODES),
    localDiscovery: flag(env, 'RAFFI_TORRENT_LSD', true),
  });
}

function torrentListen(env: Environment): TorrentConfig['listen'] {
  const name = 'RAFFI_TORRENT_LISTEN';
  const value = text(env, name) ?? ':0';
  if (value.toLowerCase() === 'off') return undefined;
  const { host, port } = hostAndPort(name, value, ', or off');
  return { hosts: host === '::' ? ['0.0.0.0', '::'] : [host], port };
}

/** Comma-separated `host:port`; `none` is an empty list. */
function nodes(env: Environment, name: string): string[] | undefined {
  const value = text(env, name);
  if (value === undefined) return undefined;
  if (value.toLowerCase() === 'none') return [];
  const list = value.split(',').map((node) => node.trim());
  for (const node of list) {
    if (!/^[a-z0-9.-]+:\d{1,5}$/i.test(node))
      throw new ConfigError(
        `${name} must be a list such as "router.bittorrent.com:6881,10.0.0.1:6881", but has "${node}".`,
      );
  }
  return list;
}

/** The first one when it is unset. */
function choice<T extends string>(env: Environment, name: string, words: readonly [T, ...T[]]): T {
  const value = text(env, name)?.toLowerCase() ?? words[0];
  const found = words.find((word) => word === value);
  if (found === undefined) throw new ConfigError(`${name} must be one of ${words.join(', ')}, but is "${value}".`);
  return found;
}

/** An unset and an empty variable are the same. */
function text(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

function listenAddress(env: Environment): { host: string; port: number } {
  const address = text(env, 'RAFFI_SERVER_ADDR');
  if (address === undefined) {
    const port = text(env, 'PORT');
    return { host: '127.0.0.1', port: port === undefined ? 6969 : portNumber('PORT', port) };
  }
  return hostAndPort('RAFFI_SERVER_ADDR', address, '');
}

/** Without a host: all interfaces. @param others what else the variable may be. */
function hostAndPort(name: string, value: string, others: string): { host: string; port: number } {
  const match = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<host>[^:[\]]*)):(?<port>\d+)$/i.exec(value);
  if (!match?.groups) {
    throw new ConfigError(`${name} must be host:port, :port or [address]:port${others}, but is "${value}".`);
  }
  const { v6, host, port } = match.groups;
  return { host: v6 ?? (host || '::'), port: portNumber(name, port as string) };
}

function portNumber(name: string, value: string): number {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65_535) {
    throw new ConfigError(`${name} must have a port from 0 to 65535, but is "${value}".`);
  }
  return port;
}

const UNITS: Readonly<Record<string, number>> = { '': 1_000, s: 1_000, m: 60_000, h: 3_600_000 };

/** Seconds, or a number with the unit s, m or h. Longer than 24 days is more than a timer can wait. */
function duration(env: Environment, name: string, otherwise: number): number {
  const value = text(env, name);
  if (value === undefined) return otherwise;
  const match = /^(\d+(?:\.\d+)?)\s*([smh]?)$/i.exec(value);
  const ms = match ? Number(match[1]) * (UNITS[(match[2] as string).toLowerCase()] as number) : Number.NaN;
  if (!(ms >= 100 && ms <= 2_000_000_000)) {
    throw new ConfigError(
      `${name} must be a time from 0.1s to 500h such as "90", "90s", "30m" or "2h", but is "${value}".`,
    );
  }
  return ms;
}

const BYTE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Bytes, or a number with the unit K, M, G or T (powers of 1024; "MB" and "MiB" are the same). */
function bytes(env: Environment, name: string): number | undefined {
  const value = text(env, name);
  if (value === undefined) return undefined;
  const match = /^(\d{1,15}(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec(value);
  const size = match
    ? Math.floor(Number(match[1]) * (BYTE_UNITS[match[2]?.toLowerCase() ?? ''] as number))
    : Number.NaN;
  if (!(size <= Number.MAX_SAFE_INTEGER)) {
    throw new ConfigError(`${name} must be a number of bytes such as "0", "512M" or "4G", but is "${value}".`);
  }
  return size;
}

function count(env: Environment, name: string, otherwise: number): number {
  const value = text(env, name);
  if (value === undefined) return otherwise;
  if (!/^\d{1,4}$/.test(value) || Number(value) < 1) {
    throw new ConfigError(`${name} must be a whole number from 1 to 9999, but is "${value}".`);
  }
  return Number(value);
}

function flag(env: Environment, name: string, otherwise: boolean): boolean {
  const value = text(env, name)?.toLowerCase();
  if (value === undefined) return otherwise;
  if (['1', 'true', 'yes', 'on'].includes(value)) return true;
  if (['0', 'false', 'no', 'off'].includes(value)) return false;
  throw new ConfigError(`${name} must be true or false, but is "${value}".`);
}
