import { readFileSync } from 'node:fs';

/** Milliseconds that this thread has been ready to run, and waited for a processor, since it began; 0 where the system does not tell: Linux does (proc(5), `schedstat`). */
export function waitedForProcessor(): number {
  if (process.platform !== 'linux') return 0;
  try {
    const [, nanoseconds] = readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ');
    return Number(nanoseconds ?? 0) / 1e6;
  } catch {
    return 0;
  }
}
