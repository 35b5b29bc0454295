/**
 * The end of processes that are not our children. No system that we run on tells it, short of native code, so we look.
 *
 * Invariant: `gone` is called at most once, and never after disposing.
 */
import { readFileSync } from 'node:fs';

/** Looking costs some 10 µs. With the 2.5 s that ending may take, the server is gone within 5 s. */
const EVERY_MS = 2_000;

/**
 * Calls `gone` with the first process that has ended, at once for one that is not there, else within 2 s of its end. Does not keep our own process alive.
 * @param pids none: nothing is ever called.
 */
export function whenGone(pids: readonly number[], gone: (pid: number) => void): Disposable {
  const births = new Map(pids.map((pid) => [pid, birthOf(pid)]));
  const look = (): void => {
    const ended = pids.find((pid) => !isThere(pid) || isUnburied(pid) || birthOf(pid) !== births.get(pid));
    if (ended === undefined) return;
    clearInterval(timer);
    gone(ended);
  };
  const timer = pids.length === 0 ? undefined : setInterval(look, EVERY_MS).unref();
  if (timer !== undefined) look();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'; // EPERM: somebody else's
  }
}

/** Whether it has ended, and nobody has asked how. Known on Linux only. */
const isUnburied = (pid: number): boolean => /^[ZX]$/.test(statOf(pid)[0] ?? '');

/** What tells a process from a later one with the same id: when it began, in ticks since the system's start. Undefined where it can't be told. */
export const birthOf = (pid: number): string | undefined => statOf(pid)[19];

/** The fields of `/proc/PID/stat` (proc(5)) from the third, the state, on; none elsewhere than on Linux. */
function statOf(pid: number): string[] {
  if (process.platform !== 'linux') return [];
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the second, its name, may have anything in it
  } catch {
    return [];
  }
}
