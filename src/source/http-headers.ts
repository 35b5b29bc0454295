/** The response headers that matter to ranged reading. RFC 9110 sections 8.8 (validators), 10.2.3, 14.4. */

/** A response before its body. `url`: the one that answered, after redirects. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly url: URL;
}

/** The first value of a header. */
export function header(head: ResponseHead, name: string): string | undefined {
  const value = head.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** `first` and `last` are inclusive, as in the header; `total` is undefined for `*`. An unsatisfied range has no `first`. */
export type ContentRange =
  | { readonly first: number; readonly last: number; readonly total: number | undefined }
  | { readonly first: undefined; readonly total: number | undefined };

/** RFC 9110 section 14.4; undefined when the header is absent or makes no sense. */
export function contentRange(head: ResponseHead): ContentRange | undefined {
  const match = /^\s*bytes\s+(?:(\d+)\s*-\s*(\d+)|(\*))\s*\/\s*(\d+|\*)\s*$/i.exec(header(head, 'content-range') ?? '');
  if (match === null) return undefined;
  const total = match[4] === '*' ? undefined : Number(match[4]);
  if (total !== undefined && !Number.isSafeInteger(total)) return undefined;
  if (match[3] === '*') return { first: undefined, total };
  const first = Number(match[1]);
  const last = Number(match[2]);
  if (!Number.isSafeInteger(last) || first > last || (total !== undefined && last >= total)) return undefined;
  return { first, last, total };
}

/** In bytes; undefined when absent or senseless. */
export function contentLength(head: ResponseHead): number | undefined {
  const value = header(head, 'content-length');
  if (value === undefined || !/^\d+$/.test(value)) return undefined;
  const length = Number(value);
  return Number.isSafeInteger(length) ? length : undefined;
}

/** The content coding when it is not `identity`. */
export function foreignEncoding(head: ResponseHead): string | undefined {
  const value = header(head, 'content-encoding')?.trim().toLowerCase();
  return value === undefined || value === '' || value === 'identity' ? undefined : value;
}

/** How long the server asks us to wait, in ms from `now`; undefined when it does not say. RFC 9110 section 10.2.3. */
export function retryAfter(head: ResponseHead, now: number = Date.now()): number | undefined {
  const value = header(head, 'retry-after')?.trim();
  if (value === undefined || value === '') return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, Number.MAX_SAFE_INTEGER);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** What tells one version of a resource from another. */
export interface Validators {
  /** A strong entity tag; weak ones may stay the same while bytes change. */
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

export function validators(head: ResponseHead): Validators {
  const etag = header(head, 'etag')?.trim();
  return {
    etag: etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined,
    lastModified: header(head, 'last-modified')?.trim() || undefined,
  };
}

/** Whether two answers can be of one version; equal tags settle it, since mirrors differ in Last-Modified. */
export function sameVersion(a: Validators, b: Validators): boolean {
  if (a.etag !== undefined && b.etag !== undefined) return a.etag === b.etag;
  if (a.lastModified !== undefined && b.lastModified !== undefined) return a.lastModified === b.lastModified;
  return true;
}
