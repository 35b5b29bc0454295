import type { Source } from '../../source/source.ts';

/** Bytes that are held, for the readers of containers. @param label for messages. */
export function memorySource(bytes: Uint8Array, label: string): Source {
  return {
    identity: label,
    label,
    name: label,
    size: bytes.length,
    latency: 'local',
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      return bytes.subarray(Math.min(offset, bytes.length), Math.min(offset + length, bytes.length));
    },
    recycle() {},
    async [Symbol.asyncDispose]() {},
  };
}
