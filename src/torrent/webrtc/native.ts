/** The native part that speaks WebRTC: `node-datachannel`, loaded when it is first needed (14 MB, 30 ms). */
import { createRequire } from 'node:module';
import { isSea } from 'node:sea';

export type Rtc = typeof import('node-datachannel');

let loading: Promise<Rtc> | undefined;

/** @throws Error when it can't be loaded. */
export function loadRtc(): Promise<Rtc> {
  loading ??= import('node-datachannel');
  return loading;
}

/** Why there can be no WebRTC, as far as that can be told without loading anything; undefined: nothing speaks against it. */
export function missingRtc(): string | undefined {
  if (isSea()) return 'an executable carries no native parts';
  const require = createRequire(import.meta.url);
  const binary = `@node-datachannel/${process.platform}-${process.arch}`;
  const isThere = ['', '-gnu', '-musl', '-msvc'].some((kind) => {
    try {
      return require.resolve(`${binary}${kind}`) !== '';
    } catch {
      return false;
    }
  });
  return isThere ? undefined : `the package ${binary} is not installed`;
}
