/**
 * What an executable carries inside instead of files beside the sources. `scripts/binaries/bundle.mjs` puts it there.
 */
import { getRawAsset, isSea } from 'node:sea';

/** The bytes of a resource, which are not to be written to; undefined when this is no executable. @throws when the executable does not have it. */
export function embedded(name: string): Buffer | undefined {
  return isSea() ? Buffer.from(getRawAsset(name)) : undefined;
}
