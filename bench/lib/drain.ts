/** A worker thread that reads what is at a URL, and keeps nothing of it: whoever asks for other things meanwhile does not wait behind its reading. */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** @returns bytes of the body. */
export async function drain(url: string): Promise<number> {
  const worker = new Worker(new URL(import.meta.url), { workerData: url });
  const [bytes] = (await once(worker, 'message')) as [number];
  await worker.terminate();
  return bytes;
}

async function read(url: string): Promise<number> {
  const [answer] = (await once(get(url, { agent: new Agent() }), 'response')) as [IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`${url}: ${answer.statusCode}`);
  let bytes = 0;
  for await (const part of answer) bytes += (part as Buffer).length;
  return bytes;
}

if (!isMainThread) parentPort?.postMessage(await read(workerData as string));
