import { type Command, readArguments, UsageError } from './cli/arguments.ts';
import { helpText } from './cli/help.ts';
import { ListenError } from './cli/listen-error.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { AppError } from './errors.ts';
import { whenGone } from './lib/other-process.ts';
import { version } from './version.ts';

const STATUS = { failed: 1, usage: 2, SIGINT: 130, SIGTERM: 143 } as const;

/** The whole life of the process: what the words ask for, until it is done, or a signal or the end of its parent ends it; a second signal ends it at once. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<void> {
  const stop = new AbortController();
  surviveReaders();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(STATUS[signal]);
      stop.abort(signal);
    });
  }
  let command: Command | undefined;
  try {
    command = readArguments(words);
    if (command.name === 'help' || command.name === 'version') {
      process.stdout.write(command.name === 'help' ? helpText(command.of) : `raffi-server ${version()}\n`);
      return;
    }
    const config = readConfig(process.env);
    using _parents = whenGone(config.parentPids, (pid) => stop.abort(`the end of process ${pid} (RAFFI_PARENT_PID)`));
    process.exitCode = await run(command, config, stop.signal);
  } catch (error) {
    process.exitCode = tell(error, command, stop.signal);
  }
}

/**
 * Who reads the output may leave before its end, as `head` does: that is no fault, and a server goes on. Output that is lost in another way, on a full disk,
 * is told in one line.
 */
function surviveReaders(): void {
  process.stderr.on('error', () => {});
  process.stdout.once('error', ({ code, message }: NodeJS.ErrnoException) => {
    process.stdout.on('error', () => {});
    if (code === 'EPIPE') return;
    process.stderr.write(`The output cannot be written: ${message}.\n`);
    process.once('exit', () => {
      process.exitCode ||= STATUS.failed;
    });
  });
}

/** Each command loads what it needs. @returns the process's status. */
async function run(
  command: Exclude<Command, { name: 'help' | 'version' }>,
  config: Config,
  stop: AbortSignal,
): Promise<number> {
  const print = (text: string): void => void process.stdout.write(text);
  switch (command.name) {
    case 'serve': {
      const { serve } = await import('./cli/serve.ts');
      await serve(config, stop);
      return 0;
    }
    case 'play': {
      const { play } = await import('./cli/play.ts');
      await play(command, config, stop);
      return 0;
    }
    case 'probe': {
      const { probe, probedText } = await import('./cli/probe.ts');
      const probed = await probe(command.source, config, stop);
      print(command.json ? `${JSON.stringify(probed)}\n` : probedText(probed));
      return probed.playable ? 0 : STATUS.failed;
    }
    case 'clip': {
      const { makeClip } = await import('./cli/clip.ts');
      const made = await makeClip(command, config, stop);
      print(command.json ? `${JSON.stringify(made)}\n` : `${made.outputPath}\n`);
      return 0;
    }
  }
}

/** Why it did not work, in one line. @returns the process's status. */
function tell(error: unknown, command: Command | undefined, { aborted, reason }: AbortSignal): number {
  const why: unknown = reason;
  if (aborted) return why === 'SIGINT' || why === 'SIGTERM' ? STATUS[why] : STATUS.failed;
  const wantsJson = command !== undefined && 'json' in command && command.json;
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message} raffi-server --help tells more.\n`);
    return STATUS.usage;
  }
  if (error instanceof AppError && wantsJson)
    process.stdout.write(`${JSON.stringify({ error: error.detail, errorCode: error.code })}\n`);
  else if (error instanceof AppError) process.stderr.write(`${error.detail}\n`);
  else if (error instanceof ConfigError || error instanceof ListenError) process.stderr.write(`${error.message}\n`);
  else throw error;
  return STATUS.failed;
}

// Imported by `bin/raffi-server.mjs`, which keeps what is compiled; and by what prepares that.
if (import.meta.main) await main();
