/** `host` or `host:port`, as in a Host header (RFC 9110, 7.2). */
export interface Authority {
  /** Lower case; IPv6 without brackets. */
  readonly host: string;
  readonly port?: number;
}

const AUTHORITY = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<name>[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?))(?::(?<port>\d{1,5}))?$/i;

/** Undefined for anything else: userinfo, lists, spaces, a dot at the end, an empty or impossible port. */
export function parseAuthority(text: string): Authority | undefined {
  const { v6, name, port } = AUTHORITY.exec(text)?.groups ?? {};
  const host = (v6 ?? name)?.toLowerCase();
  if (host === undefined || text.length > 300 || Number(port ?? 1) > 65_535 || port === '0') return undefined;
  return port === undefined ? { host } : { host, port: Number(port) };
}

/** As it stands in a URL. */
export function authorityText({ host, port }: Authority): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === undefined ? name : `${name}:${port}`;
}
