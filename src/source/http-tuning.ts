/** Every time constant and size of the HTTP source, so that tests can shorten them. Times in ms, sizes in bytes. */
export interface HttpTuning {
  /** From the start of a request, connecting included, to its response's head. */
  readonly headTimeout: number;
  /** The longest pause between two pieces of a body. */
  readonly stallTimeout: number;
  /** How long a download goes on without a new byte, retries and waits included, before it fails. */
  readonly patience: number;
  /** The first wait before a retry; doubled each time. */
  readonly backoff: number;
  readonly maxBackoff: number;
  /** A download that delivers less than `minRate` bytes per second over this long fails. */
  readonly rateWindow: number;
  readonly minRate: number;
  /** How long the whole content may take when its size is not known before its end. */
  readonly unknownSizePatience: number;
  /** Requests under way at once, per source. */
  readonly connections: number;
  /** What the opening request asks for, and the least that any request asks for. */
  readonly headBytes: number;
  readonly minFetch: number;
  /** The largest range that is fetched ahead of a reader that reads on in small steps. */
  readonly maxReadAhead: number;
  /** Reads of at least this length are fetched exactly as they are asked for. */
  readonly largeRead: number;
  /** Fetched bytes kept for further reads. */
  readonly cacheBytes: number;
  /** The largest content of a server without Range that is copied to the temporary directory. */
  readonly maxSpool: number;
  readonly maxSpoolUnknown: number;
  /** What a spool leaves free on the disk. */
  readonly spareDisk: number;
}

const KB = 1024;
const MB = 1024 * KB;
const GB = 1024 * MB;

export const defaultTuning: HttpTuning = {
  headTimeout: 7000,
  stallTimeout: 4000,
  patience: 10_000,
  backoff: 50,
  maxBackoff: 3000,
  rateWindow: 10_000,
  minRate: 1 * KB,
  unknownSizePatience: 10_000,
  connections: 6,
  headBytes: 256 * KB,
  minFetch: 64 * KB,
  maxReadAhead: 4 * MB,
  largeRead: 256 * KB,
  cacheBytes: 32 * MB,
  maxSpool: 8 * GB,
  maxSpoolUnknown: 2 * GB,
  spareDisk: 512 * MB,
};
