import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import fastify, { type FastifyInstance } from 'fastify';
import { type ConnectionLimits, Connections } from './connections.ts';
import { registerAnswers } from './refusals.ts';

/** More than the kernel takes for a client that does not read. */
const LARGE = Buffer.alloc(64 * 1024 * 1024);
const LIMITS: ConnectionLimits = { local: 3, remote: 0, all: 6, stalledReader: 300, slowest: 1e9, grace: 600_000 };

async function start(limits: ConnectionLimits): Promise<FastifyInstance> {
  const app = fastify({ forceCloseConnections: true });
  registerAnswers(app);
  new Connections(limits).register(app);
  app.get('/large', async () => LARGE);
  app.get('/text', async () => LARGE.toString('latin1'));
  app.get('/small', async () => 'ok');
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app;
}

let app: FastifyInstance;
before(async () => {
  app = await start(LIMITS);
});
after(() => app.close());

async function open(server: FastifyInstance, path?: string): Promise<Socket> {
  const socket = connect((server.server.address() as { port: number }).port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  if (path !== undefined) socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return socket;
}

const answer = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

test('who takes nothing of an answer is disconnected, who only waits between requests is not', {
  timeout: 60_000,
}, async () => {
  const idle = await open(app, '/small');
  assert.match(await answer(idle), /200 OK/);
  const stalled = await open(app, '/large');
  const [socket] = (await once(app.server, 'request')) as [{ socket: Socket }];
  await once(socket.socket, 'close');
  idle.write('GET /small HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(await answer(idle), /200 OK/);
  for (const one of [idle, stalled]) one.destroy();
});

for (const path of ['/large', '/text'])
  test(`who takes an answer in drops is disconnected in the end: ${path}`, { timeout: 60_000 }, async () => {
    // 64 MB at 160 MB/s, and not a byte more slowly.
    const strict = await start({ ...LIMITS, stalledReader: 600_000, slowest: 160e6, grace: 0 });
    const socket = await open(strict, path);
    const [request] = (await once(strict.server, 'request')) as [{ socket: Socket }];
    let dropped = false;
    request.socket.once('close', () => {
      dropped = true;
    });
    while (!dropped) {
      socket.read(1024); // always something, so that it never stalls
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    socket.destroy();
    await strict.close();
  });

test('one client has so many connections at most, and is told so', { timeout: 60_000 }, async () => {
  const three = await Promise.all([1, 2, 3].map(() => open(app)));
  const fourth = await open(app, '/small');
  const refused = await answer(fourth);
  assert.match(refused, /connection: close/i);
  assert.doesNotMatch(refused, /200 OK/);
  await once(fourth, 'close');
  three[0]?.destroy();
  const waiting = three[1] as Socket;
  waiting.write('GET /small HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(await answer(waiting), /200 OK/);
  for (const one of three) one.destroy();
});
