/**
 * What the catalogues have said, on the disk: one JSON file, of this user only, replaced whole. What it holds is checked as an upstream's answer is: a
 * file that is damaged, or somebody else's, is none.
 */
import { constants, type Stats } from 'node:fs';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { checkCatalogue, type Descriptor } from './descriptor.ts';
import type { Validators } from './upstream.ts';

/** What an upstream said last. */
export interface Copy extends Validators {
  /** ms since the epoch: when it said so, or that nothing has changed. */
  readonly checkedAt: number;
  readonly descriptors: readonly Descriptor[];
}

const LARGEST_FILE = 128 * 1024 * 1024;

/** By the upstream's address; empty when there is no such file, or none that makes sense. Never throws. */
export async function loadCopies(path: string): Promise<Map<string, Copy>> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    if (!isOurs(await file.stat())) return new Map();
    const { upstreams } = JSON.parse(await file.readFile('utf8')) as { upstreams: Record<string, unknown> };
    return new Map(Object.entries(upstreams).flatMap(([url, value]) => readCopy(url, value)));
  } catch {
    return new Map();
  }
}

/** @throws the file system's error. */
export async function saveCopies(path: string, copies: ReadonlyMap<string, Copy>): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await unlink(temporary).catch(() => {});
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(serialized(copies));
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

function serialized(copies: ReadonlyMap<string, Copy>): string {
  const upstreams = [...copies].map(([url, { descriptors, ...rest }]) => {
    const addons = descriptors.map(({ json }) => json).join(',\n');
    return `${JSON.stringify(url)}: {"said": ${JSON.stringify(rest)}, "addons": [\n${addons}\n]}`;
  });
  return `{"upstreams": {\n${upstreams.join(',\n')}\n}}\n`;
}

function isOurs(stats: Stats): boolean {
  return (
    stats.isFile() && stats.size <= LARGEST_FILE && (process.getuid === undefined || stats.uid === process.getuid())
  );
}

function readCopy(url: string, value: unknown): [string, Copy][] {
  const { said, addons } = value as { said?: Partial<Record<keyof Copy, unknown>>; addons?: unknown };
  const checked = checkCatalogue(addons);
  if (checked === undefined || typeof said?.checkedAt !== 'number') return [];
  const { checkedAt, etag, lastModified } = said;
  const validators = {
    ...(typeof etag === 'string' ? { etag } : {}),
    ...(typeof lastModified === 'string' ? { lastModified } : {}),
  };
  return [[url, { checkedAt, ...validators, descriptors: checked.descriptors }]];
}
