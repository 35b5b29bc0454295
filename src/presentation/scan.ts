import { waitFor } from '../lib/abort.ts';
import type { KeyframeIndex, MediaReader } from '../media/types.ts';

/** How long a playlist waits for an exact index before it is published on a grid. */
const SCAN_GRACE_MS = 3_000;

/**
 * The index made by reading through the source; undefined when that takes longer than a viewer should wait and the duration is known, so that
 * a grid can be published. A scan that goes on then helps later reads of a local source; a remote one would be downloaded whole for it.
 * @param owner ends the scan; `resources` then waits for its end.
 */
export async function scanned(
  reader: MediaReader,
  options: { readonly remote: boolean; readonly owner: AbortSignal; readonly resources: AsyncDisposableStack },
  signal: AbortSignal,
): Promise<KeyframeIndex | undefined> {
  const { owner, resources } = options;
  const scan = new AbortController();
  const stop = (): void => scan.abort(owner.reason);
  owner.addEventListener('abort', stop, { once: true });
  const result = reader.scan(scan.signal);
  const ended = result.then(
    () => {},
    () => {},
  );
  resources.defer(async () => {
    stop();
    await ended;
  });
  if (!(reader.info.duration > 0)) return waitFor(result, signal);
  const grace = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => grace.resolve(undefined), SCAN_GRACE_MS);
  try {
    const index = await waitFor(Promise.race([result, grace.promise]), signal);
    if (index === undefined && options.remote) stop();
    return index;
  } finally {
    clearTimeout(timer);
  }
}
