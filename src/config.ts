/** The only reader of the environment. */
import { availableParallelism } from 'node:os';

export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  /** Sessions without any request for this long end. */
  readonly sessionIdleMs: number;
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
  readonly ffmpegBin: string | undefined;
  readonly ffprobeBin: string | undefined;
  /** Folders of PATH, in order. */
  readonly searchPath: readonly string[];
  readonly debug: boolean;
}

const HWACCELS = ['auto', 'none', 'nvenc', 'vaapi', 'qsv', 'videotoolbox'] as const;

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
    loudness: Object.freeze(loudness(env, 'RAFFI_LOUDNESS')),
    hwaccel: word(env, 'RAFFI_HWACCEL', HWACCELS, 'auto'),
    ffmpegBin: text(env, 'RAFFI_FFMPEG_BIN'),
    ffprobeBin: text(env, 'RAFFI_FFPROBE_BIN'),
    searchPath: Object.freeze(
      (text(env, 'PATH') ?? '').split(process.platform === 'win32' ? ';' : ':').filter(Boolean),
    ),
    debug: flag(env, 'DEBUG', false),
  });
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
  const match = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<host>[^:[\]]*)):(?<port>\d+)$/i.exec(address);
  if (!match?.groups) {
    throw new ConfigError(`RAFFI_SERVER_ADDR must be host:port, :port or [address]:port, but is "${address}".`);
  }
  const { v6, host, port } = match.groups;
  return { host: v6 ?? (host || '::'), port: portNumber('RAFFI_SERVER_ADDR', port as string) };
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
  const value = text(env, name)?.toLowerCase();
  if (value === undefined) return otherwise;
  if (['1', 'true', 'yes', 'on'].includes(value)) return true;
  if (['0', 'false', 'no', 'off'].includes(value)) return false;
  throw new ConfigError(`${name} must be true or false, but is "${value}".`);
}
