import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import { LogOutput } from './lib/log-output.ts';
import { redacted } from './lib/redact.ts';

/**
 * Logs go to stderr: readable on a terminal, JSON lines otherwise. stdout has the one line that says where the server listens.
 * Whatever is logged passes `redacted`.
 * @param level the least that is written.
 * @param to for a server inside another program: nowhere, or a function that gets each line of JSON without its end.
 */
export function createLog(
  level: 'debug' | 'info' | 'error',
  to: 'stderr' | 'silent' | ((line: string) => void) = 'stderr',
): Logger {
  if (to === 'silent') return pino({ level: 'silent' });
  // What the function throws is an uncaught exception of its own program, not of whatever logged here.
  if (typeof to === 'function')
    return pino(
      { level, base: null, hooks: { streamWrite: redacted } },
      { write: (line) => queueMicrotask(() => to(line.trimEnd())) },
    );
  const terminal = process.stderr.isTTY;
  const destination = terminal ? pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }) : new LogOutput();
  return pino({ level, base: null, hooks: { streamWrite: redacted } }, destination);
}
