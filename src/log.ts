import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

/**
 * Logs go to stderr: readable on a terminal, JSON lines otherwise. stdout has the one line that says where the server listens.
 */
export function createLog(debug: boolean): Logger {
  const level = debug ? 'debug' : 'info';
  const terminal = process.stderr.isTTY;
  const destination = terminal
    ? pretty({ destination: 2, sync: true, ignore: 'pid,hostname' })
    : pino.destination({ dest: 2, sync: false });
  return pino({ level, base: null }, destination);
}
