/**
 * Waits for `promise` or for the signal, whichever comes first. The promise's own work goes on: only this wait ends.
 * @throws the promise's rejection, or the signal's reason.
 */
export function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** As `Promise.all`, but a rejection waits for the end of all the others: what they have started is gone by then. */
export async function allEnded<const T extends readonly Promise<unknown>[]>(
  works: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(works);
  return Promise.all(works);
}

/** Waits `ms` milliseconds. The timer ends with the wait. @throws the signal's reason. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  return waitFor(promise, signal).finally(() => clearTimeout(timer));
}

/**
 * Runs `work` with a signal that aborts with `signal`, or after `ms` milliseconds with the error that `timeoutError` makes.
 * The timer ends with the work.
 */
export async function withDeadline<T>(
  signal: AbortSignal,
  ms: number,
  timeoutError: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(timeoutError()), ms);
  const abort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await waitFor(work(controller.signal), controller.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
