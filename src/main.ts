import { type App, startApp } from './app.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { whenGone } from './lib/other-process.ts';
import { createLog } from './log.ts';

/** What does not end by itself within this time after a signal is left behind. */
const SHUTDOWN_MS = 2_500;

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message);
    throw error;
  }
}

function explainListenError(error: unknown, { host, port }: Config['listen']): never {
  const address = `${host}:${port}`;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const remedy = 'set RAFFI_SERVER_ADDR to another one, such as 127.0.0.1:6970';
  if (code === 'EADDRINUSE') fail(`The address ${address} is already in use by another program: end it, or ${remedy}.`);
  if (code === 'EACCES') fail(`The address ${address} may not be used without more rights: ${remedy}.`);
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    fail(`The address ${address} is not one of this machine's: ${remedy}.`);
  throw error;
}

/** The whole life of the process. Ends it with a sentence, and status 1, when it cannot listen. */
export async function main(): Promise<void> {
  const config = configOrExit();
  const log = createLog(config.debug);
  const stop = Promise.withResolvers<string>();
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143);
      stopping = true;
      stop.resolve(signal);
    });
  }

  using _parents = whenGone(config.parentPids, (pid) => stop.resolve(`the end of process ${pid} (RAFFI_PARENT_PID)`));

  const app: App = await startApp(config, log).catch((error: unknown) => explainListenError(error, config.listen));
  process.stdout.write(`Server listening on ${app.url}\n`);

  const reason = await stop.promise;
  log.info({ reason }, 'shutting down');
  setTimeout(() => {
    log.warn('something did not end in time');
    process.exit(1);
  }, SHUTDOWN_MS).unref();
  await app[Symbol.asyncDispose]();
  log.info('stopped');
}

// Imported by `bin/raffi-server.mjs`, which keeps what is compiled; and by what prepares that.
if (import.meta.main) await main();
