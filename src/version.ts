import { readFileSync } from 'node:fs';
import { embedded } from './lib/embedded.ts';

/** The version of this package. */
export function version(): string {
  const text = embedded('package.json') ?? readFileSync(new URL('../package.json', import.meta.url));
  return (JSON.parse(text.toString()) as { version: string }).version;
}
