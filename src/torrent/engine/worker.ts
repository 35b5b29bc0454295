/** The torrent engine's thread: commands in, events out (protocol.ts). */
import { parentPort, workerData } from 'node:worker_threads';
import type { Command, EngineOptions } from '../protocol.ts';
import { EngineThread } from './engine-thread.ts';

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
