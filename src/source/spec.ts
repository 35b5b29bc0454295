import { win32 } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '../errors.ts';

/** What a client may call the kind of its source; `local` is an alias of `file`. */
export type SourceKindName = 'http' | 'file' | 'local' | 'torrent';

/**
 * Where a source is, before it is opened. `reference` of a torrent: magnet URI, infohash, or path or URL of a .torrent; `document`: the .torrent file itself,
 * which the client has sent.
 */
export type SourceSpec =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'http'; readonly url: URL }
  | { readonly kind: 'torrent'; readonly reference: string; readonly document?: Uint8Array };

const MAX_LENGTH = 16_384;
const INFOHASH = /^(?:[0-9a-f]{40}|[a-z2-7]{32})$/i;
const SCHEME = /^([a-z][a-z0-9+.-]*):/i;

/**
 * Reads what a client sent as its source; the kind is inferred when it is absent.
 * @param platform decides what an absolute path looks like.
 * @throws AppError `bad-request`, naming the field `source`.
 */
export function parseSource(
  input: string,
  kind?: SourceKindName,
  platform: NodeJS.Platform = process.platform,
): SourceSpec {
  if (input.trim() === '') throw bad('is empty');
  if (input.length > MAX_LENGTH) throw bad(`is longer than ${MAX_LENGTH} characters`);
  if (input.includes('\0')) throw bad('contains a NUL character');
  if (!input.isWellFormed()) throw bad('is not well-formed Unicode');
  switch (kind) {
    case 'http':
      return { kind: 'http', url: httpUrl(input.trim()) };
    case 'file':
    case 'local':
      return { kind: 'file', path: localPath(input, platform) };
    case 'torrent':
      return torrent(input, platform);
    default:
      return infer(input, platform);
  }
}

function infer(input: string, platform: NodeJS.Platform): SourceSpec {
  const text = input.trim();
  if (isTorrentName(text) || namesTorrentFile(text)) return torrent(input, platform);
  if (/^https?:/i.test(text)) return { kind: 'http', url: httpUrl(text) };
  return { kind: 'file', path: localPath(input, platform) };
}

function torrent(input: string, platform: NodeJS.Platform): SourceSpec {
  const text = input.trim();
  if (isTorrentName(text)) return { kind: 'torrent', reference: text };
  if (/^https?:/i.test(text)) return { kind: 'torrent', reference: httpUrl(text).href };
  return { kind: 'torrent', reference: localPath(input, platform) };
}

function isTorrentName(text: string): boolean {
  return /^magnet:\?/i.test(text) || INFOHASH.test(text);
}

/** Whether a URL's path, or a path, ends in `.torrent`. */
function namesTorrentFile(text: string): boolean {
  const path = /^(?:https?|file):/i.test(text) ? (URL.parse(text)?.pathname ?? '') : text;
  return /\.torrent$/i.test(path);
}

function httpUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null) throw bad('is not a valid URL');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw unknownScheme(url.protocol.slice(0, -1));
  // `http:example.com` parses, but was hardly meant.
  if (!/^https?:\/\//i.test(text)) throw bad('is not a valid URL: "//" is missing after the scheme');
  url.hash = '';
  return url;
}

function localPath(input: string, platform: NodeJS.Platform): string {
  if (/^file:/i.test(input.trim())) return checkedPath(fromFileUrl(input.trim(), platform), platform);
  return checkedPath(input, platform);
}

function checkedPath(path: string, platform: NodeJS.Platform): string {
  if (platform === 'win32') {
    if (/^[\\/]{2}/.test(path)) throw bad('is a network or device path (\\\\...), which is not allowed');
    if (/^[a-z]:[\\/]/i.test(path)) return win32.normalize(path);
  } else if (path.startsWith('/')) {
    return path;
  }
  const scheme = SCHEME.exec(path)?.[1];
  if (scheme !== undefined && scheme.length > 1) throw unknownScheme(scheme);
  throw bad('is neither a URL nor an absolute path');
}

function fromFileUrl(text: string, platform: NodeJS.Platform): string {
  const url = URL.parse(text);
  // `file:/path` is one too (RFC 8089, appendix B); `file:path` would be read from the root.
  if (url === null || !/^file:[\\/]/i.test(text)) throw bad('is not a valid file URL');
  // The parser has turned "localhost" into the empty host.
  if (url.hostname !== '') throw bad(`is a file URL on another host (${url.hostname}); only local files can be opened`);
  if (url.search !== '' || url.hash !== '') throw bad('is a file URL with "?" or "#": write them as %3F and %23');
  let path: string;
  try {
    path = fileURLToPath(url, { windows: platform === 'win32' });
  } catch (cause) {
    throw bad('is a file URL whose path cannot be decoded', cause);
  }
  if (path.includes('\0')) throw bad('contains a NUL character');
  return path;
}

function unknownScheme(scheme: string): AppError {
  return bad(`has the scheme "${scheme}:"; only http, https, file and magnet are known`);
}

function bad(what: string, cause?: unknown): AppError {
  return new AppError('bad-request', `The field "source" ${what}.`, { cause });
}
