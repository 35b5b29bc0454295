/** A tracker that can be asked. */
export interface Tracker {
  readonly kind: 'http' | 'udp' | 'web-socket';
  /** Normalized, with a path that may hold a passkey: never shown whole. */
  readonly url: string;
  /** For people: scheme, host and port. */
  readonly label: string;
}

const LONGEST = 2_048;

/** The tracker that a magnet link or a torrent file names; undefined when we can't speak to it. */
export function trackerOf(text: string): Tracker | undefined {
  const trimmed = text.trim();
  if (trimmed.length > LONGEST || !/^(?:https?|udp|wss?):\/\//i.test(trimmed)) return undefined;
  const url = URL.parse(trimmed);
  if (url === null || url.hostname === '') return undefined;
  const kind = url.protocol === 'udp:' ? 'udp' : /^ws/.test(url.protocol) ? 'web-socket' : 'http';
  if (kind === 'udp' && url.port === '') return undefined;
  url.hash = '';
  return { kind, url: url.href, label: `${url.protocol}//${url.host}` };
}
