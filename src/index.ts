/**
 * The server as a library: `docs/embedding.md`. The types here stand for themselves, since they are all that a program which embeds the server gets.
 */
import { isIPv6 } from 'node:net';
import { startApp } from './app.ts';
import { type Config, ConfigError, readConfig, surroundings } from './config.ts';
import { authorityText, parseAuthority } from './lib/authority.ts';
import { createLog } from './log.ts';

export interface ServerOptions {
  /** The name or address to listen on; this machine alone (127.0.0.1) unless told otherwise. `::` is every interface. IPv6 with or without brackets. */
  readonly host?: string;
  /** 0 to 65535. 0, as when it is left out, is a free one, which `url` tells. */
  readonly port?: number;
  /**
   * The variables that the README lists, such as `{ RAFFI_MEDIA_ROOTS: '/films' }`. The process's own are not read, apart from
   * what tells where programs and settings lie (PATH, XDG_CONFIG_HOME, APPDATA, and the like).
   */
  readonly variables?: Readonly<Record<string, string>>;
  /** Where the log goes: nowhere, unless told otherwise; to stderr; or to a function, a line of JSON at a time, without its end. */
  readonly log?: 'silent' | 'stderr' | ((line: string) => void);
}

export interface RunningServer {
  /** `http://HOST:PORT`, with the real port. */
  readonly url: string;
  /** As in the header `Server: raffi-server/VERSION`. */
  readonly version: string;
  /** Ends requests, sessions, and every process and file of theirs. Resolves when they are gone; again, it is the same promise. */
  close(): Promise<void>;
}

/**
 * Starts a server in this process and resolves when it accepts connections. There may be several.
 * @throws TypeError for an option that makes no sense, and an Error whose name is `ConfigError` for such a variable; each names it.
 * @throws what listening ends in, with its `code`: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`.
 */
export async function createServer(options: ServerOptions = {}): Promise<RunningServer> {
  if (!isObject(options)) throw new TypeError('createServer: the options must be an object.');
  checkOptions(options);
  const config = configOf(options);
  const app = await startApp(config, createLog(config.debug ? 'debug' : 'info', options.log ?? 'silent'));
  let closing: Promise<void> | undefined;
  return {
    url: app.url,
    version: app.version,
    close: () => (closing ??= Promise.resolve(app[Symbol.asyncDispose]())),
  };
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

/** As it stands before a port; undefined for what is no host, or has a port itself. */
function hostText(host: string): string | undefined {
  const parsed = parseAuthority(isIPv6(host) ? `[${host}]` : host);
  if (parsed === undefined || parsed.port !== undefined) return undefined;
  return host.startsWith('[') && !isIPv6(parsed.host) ? undefined : authorityText(parsed);
}

/** What the types say, for programs without types. */
function checkOptions({ host, port, variables = {}, log = 'silent', ...others }: ServerOptions): void {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new TypeError(`createServer: there is no option ${unknown}.`);
  if (host !== undefined && (typeof host !== 'string' || hostText(host) === undefined))
    throw new TypeError('createServer: host must be a name or an address, without a port.');
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new TypeError('createServer: port must be a whole number from 0 to 65535.');
  if (typeof log !== 'function' && log !== 'silent' && log !== 'stderr')
    throw new TypeError("createServer: log must be 'silent', 'stderr' or a function.");
  if (!isObject(variables)) throw new TypeError('createServer: variables must be an object.');
  for (const [name, value] of Object.entries(variables))
    if (typeof value !== 'string') throw new TypeError(`createServer: variables.${name} must be a string.`);
}

/** @throws ConfigError for a variable that makes no sense, and for one that nothing asks for: it may be a safeguard with a letter missing. */
function configOf({ host = '127.0.0.1', port = 0, variables = {} }: ServerOptions): Config {
  for (const name of ['RAFFI_SERVER_ADDR', 'RAFFI_PARENT_PID'])
    if (name in variables)
      throw new ConfigError(`${name} is for the server as a process; here host, port and close() say it.`);
  const address = `${hostText(host)}:${port}`;
  const asked = new Set<string | symbol>();
  const config = readConfig(
    new Proxy<Record<string, string | undefined>>(
      { ...surroundings(), ...variables, RAFFI_SERVER_ADDR: address },
      {
        get(all, name) {
          asked.add(name);
          return Reflect.get(all, name);
        },
      },
    ),
  );
  const unknown = Object.keys(variables).find((name) => !asked.has(name));
  if (unknown !== undefined) throw new ConfigError(`${unknown} has no effect: no such variable is asked for.`);
  return config;
}
