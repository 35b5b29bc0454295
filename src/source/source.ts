/** What to fetch of a neighbour. */
export interface FetchOptions {
  /** The bytes from `start` (inclusive) to `end` (exclusive); absent: all. */
  readonly range?: { readonly start: number; readonly end: number };
  /** The most bytes that are taken, coding undone. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** An answer, whole. */
export interface Fetched {
  readonly bytes: Uint8Array;
  /** Which URL answered, after redirects. */
  readonly url: URL;
}

/** How the transfer from another machine goes. */
export interface Traffic {
  /** Requests that were sent. */
  readonly requests: number;
  /** Bytes that came. */
  readonly bytes: number;
  /** How often an answer broke off, stalled or was refused, and was asked for again. */
  readonly interruptions: number;
  /** The last of these, a sentence. */
  readonly lastInterruption: string | undefined;
}

/** Where a source stands on the web, and its neighbours there: what it may name (the segments of a playlist), under the source's own rules. */
export interface Web {
  /** Which URL answered, after redirects: relative references count from it. */
  readonly url: URL;
  /** RFC 8216 section 4: whether its path or its media type says that it is a playlist; others must not be read as one. */
  readonly isPlaylist: boolean;
  /**
   * One resource, whole or a part, coding undone: checked by the same guard as the source, redirects too.
   * @throws AppError `source-*`; the signal's reason.
   */
  fetch(url: URL, options: FetchOptions): Promise<Fetched>;
  /** @throws AppError when `url` must not be requested, as far as its words tell. */
  check(url: URL): void;
}

/**
 * A source: bytes with an identity. Everything above reads media through this interface and knows neither
 * files nor HTTP.
 */
export interface Source extends AsyncDisposable {
  /** Changes whenever the content may have changed: path+mtime+size, or URL+validator+size. The key of all sharing. */
  readonly identity: string;
  /** For messages: the path, or the URL without credentials and query. */
  readonly label: string;
  /** The last path component, decoded; may be empty. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Absolute path of a local file, for programs that can't read through us. */
  readonly localPath?: string;
  /** Absent for what does not come from another machine, and where others tell of it. Goes on counting. */
  readonly traffic?: Traffic | undefined;
  /** Absent for what is no resource of the web. */
  readonly web?: Web;
  /**
   * What a read costs. `local`: microseconds, so small reads are welcome. `remote`: a round trip, so readers ask for
   * few and large ranges; concurrent and repeated reads inside a range that is held or under way cost nothing.
   */
  readonly latency: 'local' | 'remote';
  /**
   * The bytes from `offset` (inclusive) to `min(offset + length, size)` (exclusive): shorter than `length` only at the end of the source,
   * empty at or past it. The result may be a view of shared memory: never write to it.
   * @throws AppError `source-*`; the signal's reason when it aborts (only this wait ends, not work that others share).
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Bytes come slowly, at about the rate at which they are played: whoever asks for little gets it sooner. */
  readonly isScarce?: true;
  /**
   * Where what can be had soonest ends: a reader who sends bytes on as they come reads up to there. After `offset`, at most `size`. Absent: it makes no difference.
   */
  boundaryAfter?(offset: number): number;
  /** Tells how fast the content plays, so that enough of it is fetched ahead. */
  expectRate?(bytesPerSecond: number): void;
  /**
   * Says that who begins to read between `start` (inclusive) and `end` (exclusive) wants nothing behind `end`, until the result is disposed of: nothing more is fetched ahead.
   */
  confine?(start: number, end: number): Disposable;
  /** Hands a result of `read` back for reuse, once nothing refers to it. Optional for the caller, harmless for foreign arrays. */
  recycle(bytes: Uint8Array): void;
}
