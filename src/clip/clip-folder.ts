/**
 * The folder of the clips.
 *
 * Invariant: a clip has its name only when it is whole, and takes no name that is taken. What is being written is called `.raffi-clip-<host>-<pid>-<random>.part`; such
 * files of this host whose process is gone are swept.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import { hostTag, isAlive } from '../lib/leftovers.ts';

const PREFIX = '.raffi-clip';
const MOST_NUMBERS = 10_000;
/** File systems without hard links say so in one of these ways. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK', 'EACCES', 'UNKNOWN']);

/** A clip that is being written. Disposing of it removes it, unless it was published. */
export interface UnfinishedClip extends AsyncDisposable {
  readonly handle: FileHandle;
  /**
   * Gives the file its name, with a number where that is taken, and closes it.
   * @param stem a safe name without extension. Resolves to the path. @throws AppError `disk-full`, `clips-unwritable`.
   */
  publish(stem: string): Promise<string>;
}

export class ClipFolder {
  readonly path: string;
  /** Files of this process. */
  readonly #inUse = new Set<string>();

  /** @param path absolute; made when the first clip is. */
  constructor(path: string) {
    this.path = path;
  }

  /** @throws AppError `disk-full`, `clips-unwritable`. */
  async create(): Promise<UnfinishedClip> {
    const name = `${PREFIX}-${hostTag()}-${process.pid}-${randomBytes(6).toString('hex')}.part`;
    const path = join(this.path, name);
    this.#inUse.add(name);
    try {
      await mkdir(this.path, { recursive: true });
      const handle = await open(path, 'wx+');
      return this.#unfinished(name, handle);
    } catch (error) {
      this.#inUse.delete(name);
      throw this.explain(error);
    }
  }

  /** A failure of the file system in words; anything else as it is. */
  explain(error: unknown): unknown {
    if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
    const code = String(error.code);
    if (code === 'ENOSPC' || code === 'EDQUOT')
      return new AppError('disk-full', `There is no room for the clip in ${this.path}.`, { cause: error });
    const detail = `Clips cannot be written to ${this.path} (${code}): RAFFI_CLIPS_DIR names another directory.`;
    return new AppError('clips-unwritable', detail, { cause: error });
  }

  /** Removes what processes of this host that are no more have left. Never throws. */
  async sweep(): Promise<void> {
    const names = await readdir(this.path).catch(() => []);
    for (const name of names) {
      const pid = new RegExp(`^\\${PREFIX}-${hostTag()}-(\\d{1,10})-\\w+\\.part$`).exec(name)?.[1];
      if (pid === undefined || this.#inUse.has(name) || isAlive(Number(pid))) continue;
      await unlink(join(this.path, name)).catch(() => {});
    }
  }

  #unfinished(name: string, handle: FileHandle): UnfinishedClip {
    const temporary = join(this.path, name);
    let published = false;
    return {
      handle,
      publish: async (stem) => {
        try {
          await handle.close();
          const path = await this.#named(temporary, stem);
          published = true;
          return path;
        } catch (error) {
          throw this.explain(error);
        }
      },
      [Symbol.asyncDispose]: async () => {
        await handle.close().catch(() => {});
        if (!published) await unlink(temporary).catch(() => {});
        this.#inUse.delete(name);
      },
    };
  }

  /** Both `link` and opening with O_EXCL fail where there is anything with that name, a dangling link too. */
  async #named(temporary: string, stem: string): Promise<string> {
    for (let n = 1; n <= MOST_NUMBERS; n++) {
      const path = join(this.path, n === 1 ? `${stem}.mp4` : `${stem} (${n}).mp4`);
      if (await claim(temporary, path)) return path;
    }
    throw new AppError('bad-request', `body/name: there are ${MOST_NUMBERS} clips with this name.`);
  }
}

/** Moves a file to a path that nothing has; false when something has it. */
async function claim(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    await unlink(temporary);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'EEXIST') return false;
    if (!NO_LINKS.has(code)) throw error;
  }
  try {
    await (await open(path, 'wx')).close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  // What is replaced is the empty file that is ours.
  await rename(temporary, path);
  return true;
}
