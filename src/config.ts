/** The only reader of the environment. */
import { availableParallelism, homedir, tmpdir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { type Authority, parseAuthority } from './lib/authority.ts';

/** Who may use the server, and from where. */
export interface AccessConfig {
  /** Lets clients of other machines use the whole API. */
  readonly apiKey: string | undefined;
  /** What clients of other machines need: a cast token or the API key, or nothing. */
  readonly lan: 'guarded' | 'open';
  /** Lets pages without an origin of their own (`null`, `file://`) control the server. */
  readonly launchToken: string | undefined;
  /** Origins of pages that may control the server, besides those of this machine and of applications; as browsers write them. */
  readonly allowedOrigins: readonly string[];
  /** Names by which clients may call the server, besides its addresses; with any port when they have none. */
  readonly allowedHosts: readonly Authority[];
  /** Where cast devices reach the server; undefined: its address on the local network. */
  readonly castHost: Authority | undefined;
}

/** What may be opened as a source. */
interface SourcesConfig {
  /** Whether typed addresses of the local network may be opened; undefined: by programs of this machine. */
  readonly allowPrivate: boolean | undefined;
  /** Folders that local files must be in; empty: any for programs of this machine, none for others. */
  readonly mediaRoots: readonly string[];
}

export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  /** Sessions without any request for this long end. */
  readonly sessionIdleMs: number;
  /** Sessions at once. */
  readonly maxSessions: number;
  readonly access: AccessConfig;
  readonly sources: SourcesConfig;
  /** Transcoding runs at once, in the whole process. */
  readonly maxRuns: number;
  /** Bytes of transcoded segments on disk; 0: in memory only; undefined: by what is free. */
  readonly cacheBytes: number | undefined;
  readonly loudness: {
    /** For sessions that do not say. */
    readonly isOn: boolean;
    /** LUFS. */
    readonly target: number;
  };
  /** The graphics processor that encodes video. */
  readonly hwaccel: (typeof HWACCELS)[number];
  /** Bytes of transcoded segments in memory, before they go to disk; undefined: the usual. */
  readonly cacheMemoryBytes: number | undefined;
  /** A folder that exists; transcoded segments are kept in one of their own in it. */
  readonly cacheFolder: string;
  /** A run that gives nothing for this long hangs. */
  readonly transcodeStallMs: number;
  /** Absolute. */
  readonly clipsDir: string;
  readonly ffmpegBin: string | undefined;
  readonly ffprobeBin: string | undefined;
  /** Folders of PATH, in order. */
  readonly searchPath: readonly string[];
  readonly torrent: TorrentConfig;
  /** Ids of processes; the server ends itself when one of them is gone. */
  readonly parentPids: readonly number[];
  readonly addons: {
    /** URLs of catalogues of add-ons, http(s), in the order of their precedence. */
    readonly catalogues: readonly string[];
    /** Absolute; where what they said is kept. */
    readonly file: string;
  };
  /** Whether a browser has a screen to appear on. */
  readonly hasDesktop: boolean;
  readonly debug: boolean;
}

const HWACCELS = ['auto', 'none', 'nvenc', 'vaapi', 'qsv', 'videotoolbox'] as const;

interface TorrentConfig {
  /** Where torrents' data lie. */
  readonly directory: string;
  /** Bytes of them on the disk; undefined: by what is free. */
  readonly diskBytes: number | undefined;
  /** Data survive the last session and the process. */
  readonly keep: boolean;
  /** Where peers can reach us; undefined: nowhere. */
  readonly listen: { readonly hosts: readonly string[]; readonly port: number } | undefined;
  /** Peers are met by uTP as well as by TCP. */
  readonly utp: boolean;
  readonly connections: number;
  /** In use at once. */
  readonly most: number;
  /** Bytes per second to peers. */
  readonly uploadRate: number;
  readonly encryption: 'allow' | 'prefer' | 'require';
  readonly trackers: boolean;
  readonly dht: boolean;
  /** `host:port` of DHT nodes to begin with. */
  readonly dhtNodes: readonly string[];
  readonly localDiscovery: boolean;
  /** Peers in browsers; undefined: none. */
  readonly webRtc: { readonly stun: readonly string[] } | undefined;
}

/** A variable that makes no sense. The message is the whole sentence for the person who set it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What of the process's variables holds for a server inside another program too: where programs and settings lie. */
export function surroundings(): Environment {
  const { PATH, XDG_CONFIG_HOME, XDG_CACHE_HOME, APPDATA, LOCALAPPDATA } = process.env;
  return { PATH, XDG_CONFIG_HOME, XDG_CACHE_HOME, APPDATA, LOCALAPPDATA };
}

/** @throws ConfigError naming the variable. */
export function readConfig(env: Environment): Config {
  return Object.freeze({
    listen: Object.freeze(listenAddress(env)),
    sessionIdleMs: duration(env, 'RAFFI_SESSION_IDLE', 30 * 60_000),
    maxSessions: count(env, 'RAFFI_MAX_SESSIONS', 1_000),
    access: Object.freeze({
      apiKey: secret(env, 'RAFFI_API_KEY'),
      lan: choice(env, 'RAFFI_LAN_ACCESS', ['guarded', 'open']),
      launchToken: secret(env, 'RAFFI_LAUNCH_TOKEN'),
      allowedOrigins: Object.freeze(list(env, 'RAFFI_ALLOWED_ORIGINS', ',').map(origin)),
      allowedHosts: Object.freeze(
        list(env, 'RAFFI_ALLOWED_HOSTS', ',').map((host) => authority('RAFFI_ALLOWED_HOSTS', host)),
      ),
      castHost: castHost(env),
    }),
    sources: Object.freeze({
      allowPrivate: optionalFlag(env, 'RAFFI_ALLOW_PRIVATE_SOURCES'),
      mediaRoots: Object.freeze(list(env, 'RAFFI_MEDIA_ROOTS', delimiter).map(mediaRoot)),
    }),
    maxRuns: count(env, 'RAFFI_MAX_RUNS', availableParallelism()),
    cacheBytes: bytes(env, 'RAFFI_CACHE_BYTES'),
    loudness: Object.freeze(loudness(env, 'RAFFI_LOUDNESS')),
    hwaccel: word(env, 'RAFFI_HWACCEL', HWACCELS, 'auto'),
    cacheMemoryBytes: bytes(env, 'RAFFI_CACHE_MEMORY'),
    cacheFolder: text(env, 'RAFFI_CACHE_DIR') ?? tmpdir(),
    transcodeStallMs: duration(env, 'RAFFI_TRANSCODE_STALL', 20_000),
    clipsDir: resolve(text(env, 'RAFFI_CLIPS_DIR') ?? join(configDirectory(env), 'Raffi', 'clips')),
    ffmpegBin: text(env, 'RAFFI_FFMPEG_BIN'),
    ffprobeBin: text(env, 'RAFFI_FFPROBE_BIN'),
    searchPath: Object.freeze(
      (text(env, 'PATH') ?? '').split(process.platform === 'win32' ? ';' : ':').filter(Boolean),
    ),
    torrent: torrentConfig(env),
    parentPids: Object.freeze(list(env, 'RAFFI_PARENT_PID', ',').map(processId)),
    addons: Object.freeze({
      catalogues: Object.freeze(addonCatalogues(env, 'RAFFI_ADDON_CATALOGUES') ?? ADDON_CATALOGUES),
      file: resolve(text(env, 'RAFFI_CACHE_DIR') ?? userCacheDirectory(env), 'raffi-addon-catalogues.json'),
    }),
    hasDesktop: process.platform !== 'linux' || (text(env, 'DISPLAY') ?? text(env, 'WAYLAND_DISPLAY')) !== undefined,
    debug: flag(env, 'DEBUG', false),
  });
}

const DHT_NODES = [
  'router.bittorrent.com:6881',
  'dht.transmissionbt.com:6881',
  'router.utorrent.com:6881',
  'dht.libtorrent.org:25401',
];

const STUN_SERVERS = ['stun.cloudflare.com:3478', 'stun.l.google.com:19302'];

function torrentConfig(env: Environment): TorrentConfig {
  return Object.freeze({
    directory: text(env, 'RAFFI_TORRENT_DIR') ?? text(env, 'TORRENT_DIR') ?? join(tmpdir(), 'raffi-torrents'),
    diskBytes: bytes(env, 'RAFFI_TORRENT_BYTES'),
    keep: flag(env, 'RAFFI_TORRENT_KEEP', false),
    listen: torrentListen(env),
    utp: flag(env, 'RAFFI_TORRENT_UTP', true),
    connections: count(env, 'RAFFI_TORRENT_CONNECTIONS', 200),
    most: count(env, 'RAFFI_MAX_TORRENTS', 100),
    uploadRate: bytes(env, 'RAFFI_TORRENT_UPLOAD_RATE') ?? 1024 ** 2,
    encryption: choice(env, 'RAFFI_TORRENT_ENCRYPTION', ['allow', 'prefer', 'require']),
    trackers: flag(env, 'RAFFI_TORRENT_TRACKERS', true),
    dht: flag(env, 'RAFFI_TORRENT_DHT', true),
    dhtNodes: Object.freeze(
      nodes(env, 'RAFFI_TORRENT_DHT_NODES', 'router.bittorrent.com:6881,10.0.0.1:6881') ?? DHT_NODES,
    ),
    localDiscovery: flag(env, 'RAFFI_TORRENT_LSD', true),
    webRtc: flag(env, 'RAFFI_TORRENT_WEBRTC', true)
      ? Object.freeze({
          stun: Object.freeze(nodes(env, 'RAFFI_TORRENT_STUN', 'stun.example.org:3478,10.0.0.1:3478') ?? STUN_SERVERS),
        })
      : undefined,
  });
}

function torrentListen(env: Environment): TorrentConfig['listen'] {
  const name = 'RAFFI_TORRENT_LISTEN';
  const value = text(env, name) ?? ':0';
  if (value.toLowerCase() === 'off') return undefined;
  const { host, port } = hostAndPort(name, value, ', or off');
  return { hosts: host === '::' ? ['0.0.0.0', '::'] : [host], port };
}

const ADDON_CATALOGUES = ['https://api.strem.io/addonscollection.json', 'https://stremio-addons.com/catalog.json'];

function addonCatalogues(env: Environment, name: string): string[] | undefined {
  const values = list(env, name, ',');
  const catalogues = values.map((value) => {
    const url = URL.parse(value);
    if (url?.protocol === 'http:' || url?.protocol === 'https:') return url.href;
    throw new ConfigError(`${name} must have http(s) URLs, comma-separated, but has "${value}".`);
  });
  return catalogues.length === 0 ? undefined : [...new Set(catalogues)];
}

/** Comma-separated `host:port`; `none` is an empty list. */
function nodes(env: Environment, name: string, example: string): string[] | undefined {
  const value = text(env, name);
  if (value === undefined) return undefined;
  if (value.toLowerCase() === 'none') return [];
  const list = value.split(',').map((node) => node.trim());
  for (const node of list) {
    if (!/^[a-z0-9.-]+:\d{1,5}$/i.test(node))
      throw new ConfigError(`${name} must be a list such as "${example}", but has "${node}".`);
  }
  return list;
}

/** An unset and an empty variable are the same. */
function text(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

/** A user whom the system doesn't know (a number without an entry, as in containers) has no home: then the temporary folder. */
function home(): string {
  try {
    return homedir();
  } catch {
    return tmpdir();
  }
}

/** Where the system has a user's settings. */
function configDirectory(env: Environment): string {
  if (process.platform === 'win32') return text(env, 'APPDATA') ?? join(home(), 'AppData', 'Roaming');
  if (process.platform === 'darwin') return join(home(), 'Library', 'Application Support');
  return text(env, 'XDG_CONFIG_HOME') ?? join(home(), '.config');
}

/** Where the system has what a user's programs keep but could do without. */
function userCacheDirectory(env: Environment): string {
  if (process.platform === 'win32') return join(text(env, 'LOCALAPPDATA') ?? join(home(), 'AppData', 'Local'), 'Raffi');
  if (process.platform === 'darwin') return join(home(), 'Library', 'Caches', 'Raffi');
  return join(text(env, 'XDG_CACHE_HOME') ?? join(home(), '.cache'), 'raffi');
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

/** LUFS: what phones and computers are made for; EBU R 128 has -23 for broadcasts. */
const LOUDNESS = -16;

function loudness(env: Environment, name: string): { isOn: boolean; target: number } {
  const value = text(env, name)?.toLowerCase() ?? 'off';
  if (value === 'on' || value === 'off') return { isOn: value === 'on', target: LOUDNESS };
  const target = /^-\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (!(target >= -31 && target <= -9))
    throw new ConfigError(`${name} must be off, on, or a loudness from -31 to -9 LUFS, but is "${value}".`);
  return { isOn: true, target };
}

function word<T extends string>(env: Environment, name: string, words: readonly T[], otherwise: T): T {
  const value = text(env, name)?.toLowerCase();
  if (value === undefined) return otherwise;
  const found = words.find((candidate) => candidate === value);
  if (found === undefined) throw new ConfigError(`${name} must be one of ${words.join(', ')}, but is "${value}".`);
  return found;
}

function flag(env: Environment, name: string, otherwise: boolean): boolean {
  return optionalFlag(env, name) ?? otherwise;
}

function optionalFlag(env: Environment, name: string): boolean | undefined {
  const value = text(env, name)?.toLowerCase();
  if (value === undefined) return undefined;
  if (['1', 'true', 'yes', 'on'].includes(value)) return true;
  if (['0', 'false', 'no', 'off'].includes(value)) return false;
  throw new ConfigError(`${name} must be true or false, but is "${value}".`);
}

/** The first choice is the default. */
function choice<const T extends string>(env: Environment, name: string, choices: readonly [T, ...T[]]): T {
  const value = text(env, name)?.toLowerCase() ?? choices[0];
  const found = choices.find((one) => one === value);
  if (found === undefined) throw new ConfigError(`${name} must be ${choices.join(' or ')}, but is "${value}".`);
  return found;
}

function list(env: Environment, name: string, separator: string): string[] {
  const parts = (text(env, name) ?? '').split(separator);
  return parts.map((part) => part.trim()).filter(Boolean);
}

/** It travels in a header: visible ASCII. The message does not show it. */
function secret(env: Environment, name: string): string | undefined {
  const value = text(env, name);
  if (value === undefined || /^[\x21-\x7e]{8,512}$/.test(value)) return value;
  throw new ConfigError(`${name} must have 8 to 512 letters, digits and signs, and no spaces.`);
}

function authority(name: string, value: string): Authority {
  const parsed = parseAuthority(value);
  if (parsed) return parsed;
  throw new ConfigError(`${name} must have a host name or address, with or without a port, but has "${value}".`);
}

function castHost(env: Environment): Authority | undefined {
  const value = text(env, 'RAFFI_CAST_HOST');
  return value === undefined ? undefined : authority('RAFFI_CAST_HOST', value);
}

/** As browsers write it in the header: scheme, host, and the port unless it is the scheme's own. */
function origin(value: string): string {
  const url = URL.parse(value);
  const web = url?.protocol === 'http:' || url?.protocol === 'https:';
  const written = web ? url.origin : url ? `${url.protocol}//${url.host}` : undefined;
  if (written !== undefined && written === value.toLowerCase().replace(/\/$/, '') && !value.includes('*'))
    return written;
  throw new ConfigError(
    `RAFFI_ALLOWED_ORIGINS must have origins such as "https://app.example", comma-separated, but has "${value}".`,
  );
}

function processId(value: string): number {
  const pid = Number(value);
  if (/^\d+$/.test(value) && pid >= 1 && pid <= 2 ** 31 - 1) return pid;
  throw new ConfigError(`RAFFI_PARENT_PID must be the id of a process, or several with commas, but has "${value}".`);
}

function mediaRoot(value: string): string {
  if (isAbsolute(value)) return value;
  throw new ConfigError(`RAFFI_MEDIA_ROOTS must have absolute paths, separated by "${delimiter}", but has "${value}".`);
}
