/** The torrent engine's thread: commands in, events out (protocol.ts). */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { Command, EngineOptions } from '../protocol.ts';
import { EngineThread } from './engine-thread.ts';

/** Nice value: above FFmpeg's (10), below the thread that answers. */
const PRIORITY = 5;

// Whoever asks the server something shall not wait behind a download: this thread is busy as long as peers send, and the main one wakes for each answer.
// On Linux a priority is a thread's own, and 0 names the caller (setpriority(2)); elsewhere that would be the whole process.
if (process.platform === 'linux') setPriority(0, PRIORITY);
const port = parentPort;
if (port === null) throw new Error('This is the code of a worker thread.');
let stopId: number | undefined;
const engine = new EngineThread(workerData as EngineOptions, (event) => {
  port.postMessage(event);
  // Nothing else keeps the thread alive then.
  if (event.type === 'done' && event.id === stopId) port.close();
});
port.on('message', (command: Command) => {
  if (command.type === 'stop') stopId = command.id;
  engine.obey(command);
});
