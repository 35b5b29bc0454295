/** Every failure that the domain can name. `http/problem.ts` maps each code to a status and a title. */
export type ErrorCode =
  // requests
  | 'bad-request'
  | 'not-found'
  | 'method-not-allowed'
  | 'request-timeout'
  | 'body-too-large'
  | 'unsupported-media-type'
  | 'headers-too-large'
  | 'origin-not-allowed'
  | 'misdirected'
  | 'unauthorized'
  | 'forbidden'
  | 'precondition-failed'
  | 'too-many-requests'
  | 'server-full'
  | 'session-not-found'
  | 'variant-not-found'
  | 'segment-not-found'
  | 'subtitle-not-found'
  | 'clip-not-found'
  | 'clip-cancelled'
  | 'range-not-satisfiable'
  // sources
  | 'source-not-allowed'
  | 'source-unsupported'
  | 'source-not-found'
  | 'source-not-regular'
  | 'source-empty'
  | 'source-forbidden'
  | 'source-unreachable'
  | 'source-http-status'
  | 'source-no-range'
  | 'source-changed'
  | 'source-truncated'
  | 'source-stalled'
  | 'source-live'
  | 'playlist-damaged'
  // torrents
  | 'torrent-not-found'
  | 'torrent-file-not-found'
  | 'torrent-invalid'
  | 'torrent-unsupported'
  | 'torrent-no-metadata'
  | 'torrent-no-file'
  | 'torrent-not-ready'
  | 'torrent-disk-full'
  | 'torrent-failed'
  // media
  | 'media-unrecognised'
  | 'media-damaged'
  | 'media-not-playable'
  | 'probe-timeout'
  | 'segment-timeout'
  | 'transcode-failed'
  | 'burn-in-unavailable'
  | 'ffmpeg-missing'
  // catalogues
  | 'addons-unavailable'
  // this machine
  | 'clips-unwritable'
  | 'disk-full'
  | 'not-ready'
  | 'server-busy'
  | 'server-closing'
  | 'internal';

/**
 * The one error class of the domain. `detail` is a sentence for the person who pressed play: it names the file,
 * the URL or the field, and holds nothing secret. The original failure travels as `cause`.
 */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;

  constructor(code: ErrorCode, detail: string, options?: { cause?: unknown }) {
    super(`${code}: ${detail}`, options);
    this.name = 'AppError';
    this.code = code;
    this.detail = detail;
  }
}

/** Any thrown value as an AppError: one of ours as it is, everything else as `internal` with the original as cause. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError('internal', 'An unexpected error occurred.', { cause: error });
}
