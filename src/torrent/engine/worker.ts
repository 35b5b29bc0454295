/** The torrent engine's thread: commands in, events out (protocol.ts). */
import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { Command, EngineOptions } from '../protocol.ts';
import { EngineThread } from './engine-thread.ts';

/** Nicer than the thread that answers by so much: a third of its weight, and three times that of FFmpeg (nice 10) where it begins at 0. */
const NICER = 5;
const NICEST = 19;

/**
 * Whoever asks the server something shall not wait behind a download: this thread is busy as long as peers send, and the main one has to wake for each answer.
 * On Linux a priority is a thread's own, and 0 names the caller (setpriority(2)); elsewhere that would be the whole process.
 */
function giveWay(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, Math.min(NICEST, getPriority(0) + NICER));
  } catch {
    // A sandbox that forbids it: then the two are equals, which is right, too.
  }
}

giveWay();
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
