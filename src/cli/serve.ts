/** `raffi-server serve`: the whole life of a serving process. */
import { type App, startApp } from '../app.ts';
import type { Config } from '../config.ts';
import { createLog } from '../log.ts';
import { ListenError } from './listen-error.ts';

/** What does not end by itself within this time after a signal is left behind. */
const SHUTDOWN_MS = 2_500;
/** So long the reader of the log has for what is left of it. */
const LAST_WORDS_MS = 300;

/**
 * Serves until `stop` aborts.
 * @param onListening called once it does; stdout has its first line by then.
 * @throws ListenError.
 */
export async function serve(
  config: Config,
  stop: AbortSignal,
  onListening: (url: string) => void = () => {},
): Promise<void> {
  const log = createLog(config.debug ? 'debug' : 'info');
  const app: App = await startApp(config, log).catch((error: unknown) => explain(error, config.listen));
  process.stdout.write(`Server listening on ${app.url}\n`);
  onListening(app.url);
  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener('abort', () => resolve(), { once: true });
  });
  log.info({ reason: stop.reason }, 'shutting down');
  const late = setTimeout(() => {
    log.warn('something did not end in time');
    process.exit(1);
  }, SHUTDOWN_MS).unref();
  await app[Symbol.asyncDispose]();
  clearTimeout(late);
  log.info('stopped');
  // A log that nobody reads would keep the process.
  setTimeout(() => process.exit(), LAST_WORDS_MS).unref();
}

function explain(error: unknown, { host, port }: Config['listen']): never {
  const address = `${host}:${port}`;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const remedy = 'set RAFFI_SERVER_ADDR to another one, such as 127.0.0.1:6970';
  const words = new Map<unknown, string>([
    ['EADDRINUSE', `The address ${address} is already in use by another program: end it, or ${remedy}.`],
    ['EACCES', `The address ${address} may not be used without more rights: ${remedy}.`],
    ['EADDRNOTAVAIL', `The address ${address} is not one of this machine's: ${remedy}.`],
    ['ENOTFOUND', `The address ${address} is not one of this machine's: ${remedy}.`],
  ]).get(code);
  if (words === undefined) throw error;
  throw new ListenError(words, code === 'EADDRINUSE');
}
