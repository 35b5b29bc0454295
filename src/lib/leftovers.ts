/** How what a process leaves behind when it is killed is told from what another one still uses. */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';

/** For names of files: hosts are told apart because containers share folders but not process ids. */
export function hostTag(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
}

/** Whether a process of this host may still use its files. One with our own number that is not us was a predecessor: its files are not in use. */
export function isAlive(pid: number): boolean {
  if (pid === process.pid || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
