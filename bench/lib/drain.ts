/** A worker thread that reads what is at a URL, and keeps nothing of it: whoever asks for other things meanwhile does not wait behind its reading, nor behind its start. */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

export interface Drain extends AsyncDisposable {
  /** @returns bytes of the body. */
  read(url: string): Promise<number>;
}

export async function startDrain(): Promise<Drain> {
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'message');
  return {
    async read(url) {
      worker.postMessage(url);
      const [bytes] = (await once(worker, 'message')) as [number];
      return bytes;
    },
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

async function read(url: string): Promise<number> {
  const [answer] = (await once(get(url, { agent: new Agent() }), 'response')) as [IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`${url}: ${answer.statusCode}`);
  let bytes = 0;
  for await (const part of answer) bytes += (part as Buffer).length;
  return bytes;
}

if (!isMainThread) {
  parentPort?.postMessage('ready');
  parentPort?.on('message', async (url: string) => parentPort?.postMessage(await read(url)));
}
