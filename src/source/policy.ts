/** What which client may open as a source: local files and addresses. */
import { readlink, realpath } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { AppError } from '../errors.ts';
import { canonicalAddress, isOwnAddress, type Nearness } from '../lib/addresses.ts';
import { type AddressGuard, type Network, sourceGuard, systemNetwork } from './guard.ts';
import type { SourceSpec } from './spec.ts';

export interface SourcePolicyOptions {
  /** Whether typed private addresses may be opened; undefined: by programs of this machine only. */
  readonly allowPrivate: boolean | undefined;
  /** Absolute. Local files must be in one of them; empty: anywhere, for programs of this machine only. */
  readonly mediaRoots: readonly string[];
  /** The port that this server listens on; undefined before it does. */
  readonly ownPort: () => number | undefined;
  /** Names by which this server is reached, besides its addresses; with any port where they have none. */
  readonly ownNames: readonly { readonly host: string; readonly port?: number }[];
  readonly network?: Network;
}

interface OwnPlace {
  readonly host: string;
  readonly port: number;
}

/** What one client may open. */
export interface SourceAccess {
  /** Clients with equal scopes may open the same. */
  readonly scope: string;
  /** Refuses at once what can be told from the words alone. @throws AppError `source-not-allowed`. */
  admit(spec: SourceSpec): void;
  guardOf(typed: URL): AddressGuard;
  /** The path to open, links resolved where that matters. @throws AppError `source-forbidden`, `source-not-regular`. */
  pathOf(path: string): Promise<string>;
}

/** Who may open what, for the whole server. */
export class SourcePolicy {
  readonly #options: SourcePolicyOptions;
  readonly #network: Network;

  constructor(options: SourcePolicyOptions) {
    this.#options = options;
    this.#network = options.network ?? systemNetwork;
  }

  /** @param client whether it runs on this machine. */
  accessOf(client: { readonly loopback: boolean }): SourceAccess {
    const { mediaRoots } = this.#options;
    const allowPrivate = this.#options.allowPrivate ?? client.loopback;
    const anyFile = mediaRoots.length === 0 && client.loopback;
    const guardOf = (typed: URL): AddressGuard => this.#guardOf(typed, allowPrivate);
    return {
      scope: `${allowPrivate} ${anyFile}`,
      guardOf,
      admit(spec) {
        if (spec.kind === 'http') return notAllowedUnless(() => guardOf(spec.url).checkUrl(spec.url));
        const path = spec.kind === 'file' ? spec.path : spec.reference;
        if (spec.kind === 'torrent' && !isAbsolute(path)) return;
        if (anyFile || mediaRoots.some((root) => isInside(root, resolve(path)))) return;
        throw new AppError('source-not-allowed', notInRoots(mediaRoots));
      },
      pathOf: (path) => (anyFile ? notOfTheKernel(path) : insideRoots(path, mediaRoots)),
    };
  }

  /**
   * The guard of trackers. Their addresses stand in magnet links and .torrent files, which are other people's words: they may be private only where
   * `allowPrivate` says so outright. A tracker's redirect is judged as its own address is.
   */
  trackerGuard(): AddressGuard {
    const guardOf = (typed: URL): AddressGuard => this.#guardOf(typed, this.#options.allowPrivate ?? false);
    return {
      lookup: this.#network.lookup,
      checkUrl: (url) => guardOf(url).checkUrl(url),
      checkAddress: (origin, address) => guardOf(origin).checkAddress(origin, address),
    };
  }

  /**
   * Where who writes magnet links is taken to be, for the peers that they name: in the Internet, as whoever writes trackers into them, unless `allowPrivate` says
   * outright that what is typed may be near.
   */
  get linksFrom(): Nearness {
    return this.#options.allowPrivate === true ? 'loopback' : 'public';
  }

  /** The guard of what the operator has configured: it may be private itself, and lead nowhere private. */
  operatorGuard(typed: URL): AddressGuard {
    return this.#guardOf(typed, true);
  }

  #guardOf(typed: URL, allowPrivate: boolean): AddressGuard {
    return sourceGuard({
      network: this.#network,
      typed,
      allowPrivate,
      isOwn: (host, port) => this.#isOwn(host, port),
    });
  }

  /** Where this server answers: its port, on every address of this machine, and addresses elsewhere from which a router or a proxy forwards to it. */
  get ownPlaces(): { readonly port: number | undefined; readonly places: readonly OwnPlace[] } {
    const { ownPort, ownNames } = this.#options;
    const places = ownNames.filter(({ host }) => isIP(host) !== 0).flatMap((own) => this.#placesOf(own));
    return { port: ownPort(), places };
  }

  #isOwn(host: string, port: number): boolean {
    // A name may end with the root's dot (RFC 1034, 3.1), and is the same name.
    const name = canonicalAddress(host.replace(/\.$/, ''));
    const named = this.#options.ownNames.filter((own) => canonicalAddress(own.host) === name);
    if (named.some((own) => this.#placesOf(own).some((place) => place.port === port))) return true;
    return port === this.#options.ownPort() && isOwnAddress(host);
  }

  /** A name without a port is that of a proxy, at the web's usual ports, or of ourselves. */
  #placesOf({ host, port }: { readonly host: string; readonly port?: number }): OwnPlace[] {
    const ports = port === undefined ? [this.#options.ownPort(), 80, 443] : [port];
    return ports.flatMap((one) => (one === undefined ? [] : [{ host, port: one }]));
  }
}

/** A refusal by the words of the request is the client's fault; behind a redirect or a name, it is the source's. */
function notAllowedUnless(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'source-forbidden') throw error;
    throw new AppError('source-not-allowed', error.detail, { cause: error });
  }
}

function notInRoots(roots: readonly string[]): string {
  return roots.length === 0
    ? 'Clients of other machines may open no local files here: RAFFI_MEDIA_ROOTS would say which.'
    : 'This path is in none of the folders that may be played from (RAFFI_MEDIA_ROOTS).';
}

/** Links resolved, so that none leads out. What does not exist is left for the opening to tell. */
async function insideRoots(path: string, roots: readonly string[]): Promise<string> {
  await notOfTheKernel(path);
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return path;
  for (const root of roots) if (isInside(await realpath(root).catch(() => root), real)) return real;
  throw new AppError(
    'source-forbidden',
    `${path} leads out of the folders that may be played from (RAFFI_MEDIA_ROOTS).`,
  );
}

/** As many as Linux follows (path_resolution(7)). */
const MOST_LINKS = 40;

/**
 * What the system makes up when it is read (environments, memory, keys of processes) is no file, although it says so. Linux's links there (`/proc/self/fd/3`, which is
 * `/dev/fd/3` too) lead where no path does, to files that have been unlinked: so every link on the way is looked at, and not only where it ends.
 * @returns the path.
 * @throws AppError `source-not-regular`.
 */
async function notOfTheKernel(path: string): Promise<string> {
  if (process.platform === 'win32') return path;
  let at = resolve(path);
  for (let links = 0; links <= MOST_LINKS; links++) {
    const folder = await realpath(dirname(at)).catch(() => dirname(at));
    const real = join(folder, basename(at));
    if (isOfTheKernel(at) || isOfTheKernel(real))
      throw new AppError('source-not-regular', `${path} is made up by the system, not a file on a disk.`);
    at = real;
    const target = await readlink(at).catch(() => undefined);
    if (target === undefined) return path;
    at = resolve(folder, target);
  }
  return path; // too many links: the opening tells
}

function isOfTheKernel(path: string): boolean {
  return /^\/(?:proc|sys|dev\/fd)(?:\/|$)/.test(path);
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
