/** Where FFmpeg's commands are. The environment is read by config.ts alone: everything comes in as arguments. */
import { access, constants, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

export type Command = 'ffmpeg' | 'ffprobe';

export interface Places {
  /** From the configuration: an absolute path, or a bare name that is looked for in `pathEntries`. */
  readonly configured?: string;
  /** The entries of PATH, in order; relative and empty ones are passed over. */
  readonly pathEntries: readonly string[];
  /** Directory of the running executable. */
  readonly besideExecutable?: string;
  readonly platform?: NodeJS.Platform;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The absolute path of a command: the configured one, else on PATH, else beside the executable; undefined when it is nowhere. */
export async function findBinary(command: Command, places: Places): Promise<string | undefined> {
  return (await findBinaries(command, places))[0];
}

/** All of them, in that order: the first may turn out to be of no use. */
export async function findBinaries(command: Command, places: Places): Promise<readonly string[]> {
  const suffix = (places.platform ?? process.platform) === 'win32' ? '.exe' : '';
  const directories = places.pathEntries.filter((entry) => isAbsolute(entry));
  const { configured } = places;
  const candidates: string[] = [];
  if (configured) {
    if (isAbsolute(configured)) candidates.push(configured);
    else if (!/[\\/]/.test(configured)) candidates.push(...directories.map((d) => join(d, configured)));
  }
  candidates.push(...directories.map((d) => join(d, command + suffix)));
  if (places.besideExecutable) candidates.push(join(places.besideExecutable, command + suffix));
  const known = [...new Set(candidates)];
  const executable = await Promise.all(known.map(isExecutable));
  return known.filter((_, position) => executable[position]);
}
