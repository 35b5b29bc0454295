import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { lossyRelay } from '../../../../test/fixtures/torrent/lossy-relay.ts';
import type { Transport } from '../transport.ts';
import { Ledbat } from './ledbat.ts';
import { distance, elapsed, readPacket, TYPE, writePacket } from './packet.ts';
import { UtpSocket } from './socket.ts';

const HOST = '127.0.0.1';

/** Bytes that repeat nowhere. */
function noise(length: number, seed: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Gathers what a connection receives. */
class Heard {
  readonly transport: Transport;
  readonly #parts: Buffer[] = [];
  #length = 0;
  closed = false;
  #wake: () => void = () => {};

  constructor(transport: Transport) {
    this.transport = transport;
    transport.handler = {
      received: (data, from, end) => {
        this.#parts.push(Buffer.from(data.subarray(from, end)));
        this.#length += end - from;
        this.#wake();
      },
      closed: () => {
        this.closed = true;
        this.#wake();
      },
      drained: () => {},
    };
  }

  get length(): number {
    return this.#length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Two ends of one connection; the one that called goes through `port` if there is one. */
async function pair(
  open: (answering: UtpSocket) => Promise<number> = async ({ port }) => port,
): Promise<{ calling: Heard; answering: Heard; sockets: UtpSocket[] }> {
  const accepted = Promise.withResolvers<Heard>();
  const second = await UtpSocket.bind(HOST, 0, (transport) => accepted.resolve(new Heard(transport)));
  const first = await UtpSocket.bind(HOST, 0, undefined);
  const port = await open(second);
  const opened = Promise.withResolvers<Heard>();
  first.dial(
    { host: HOST, port },
    30_000,
    (transport) => opened.resolve(new Heard(transport)),
    () => opened.reject(),
  );
  return { calling: await opened.promise, answering: await accepted.promise, sockets: [first, second] };
}

async function close(sockets: readonly UtpSocket[]): Promise<void> {
  for (const socket of sockets) await socket.close();
}

test('a packet is read as it was written', () => {
  const head = { type: TYPE.state, connection: 7, sentAt: 2 ** 32 - 1, delay: 5, window: 99, seq: 65_535, ack: 3 };
  const selective = Uint8Array.from([1, 2, 3, 4]);
  const { payload, selective: bits, ...rest } = readPacket(writePacket({ ...head, selective }, 9))!;
  assert.deepEqual(rest, head);
  assert.deepEqual(Uint8Array.from(bits!), selective);
  assert.equal(payload, 26);
  assert.equal(readPacket(writePacket({ ...head, selective: undefined }, 0))!.payload, 20);
});

test('numbers and times go round', () => {
  assert.equal(distance(65_535, 0), 1);
  assert.equal(distance(0, 65_535), -1);
  assert.equal(distance(10, 10), 0);
  assert.equal(elapsed(2 ** 32 - 5, 5), 10);
});

test('a stream arrives whole, both ways, and its end is told', async () => {
  const { calling, answering, sockets } = await pair();
  const there = noise(3_000_000, 1);
  const back = noise(1_000_000, 2);
  calling.transport.write(Buffer.from(there));
  answering.transport.write(Buffer.from(back));
  await answering.until(() => answering.length >= there.length);
  await calling.until(() => calling.length >= back.length);
  assert.ok(answering.bytes().equals(there));
  assert.ok(calling.bytes().equals(back));
  calling.transport.destroy();
  await answering.until(() => answering.closed);
  await close(sockets);
});

test('so it does where datagrams are lost, doubled and late', async () => {
  let lost = (): number => 0;
  await using stack = new AsyncDisposableStack();
  const { calling, answering, sockets } = await pair(async ({ port }) => {
    const relay = stack.use(await lossyRelay(port, { loss: 0.04, twice: 0.03, late: 0.05, seed: 7 }));
    lost = () => relay.lost;
    return relay.port;
  });
  const there = noise(400_000, 3);
  const back = noise(400_000, 4);
  calling.transport.write(Buffer.from(there));
  answering.transport.write(Buffer.from(back));
  await answering.until(() => answering.length >= there.length);
  await calling.until(() => calling.length >= back.length);
  assert.ok(answering.bytes().equals(there));
  assert.ok(calling.bytes().equals(back));
  assert.ok(lost() > 10, `${lost()} were lost`);
  await close(sockets);
});

test('who does not answer is not waited for; who has no such connection says so', async () => {
  const nobody = createSocket('udp4').bind(0, HOST);
  await once(nobody, 'listening');
  const socket = await UtpSocket.bind(HOST, 0, undefined);
  const failed = Promise.withResolvers<void>();
  socket.dial(
    { host: HOST, port: nobody.address().port },
    50,
    () => failed.reject(new Error('opened')),
    failed.resolve,
  );
  await failed.promise;
  const stray = writePacket(
    { type: TYPE.data, connection: 77, sentAt: 0, delay: 0, window: 0, seq: 5, ack: 0, selective: undefined },
    3,
  );
  const answer = once(nobody, 'message');
  nobody.send(stray, socket.port, HOST);
  let packet = readPacket(((await answer) as [Buffer])[0])!;
  while (packet.type !== TYPE.reset) packet = readPacket(((await once(nobody, 'message')) as [Buffer])[0])!;
  assert.deepEqual([packet.connection, packet.ack], [77, 5]);
  nobody.close();
  await socket.close();
});

test('hostile datagrams, from strangers and from the other side itself: what is sent goes on or ends, nothing else', async () => {
  const runs = Number(process.env.FUZZ_RUNS ?? 20_000);
  const strangers: Transport[] = [];
  const victim = await UtpSocket.bind(HOST, 0, (transport) => strangers.push(transport));
  const enemy = createSocket('udp4').bind(0, HOST);
  await once(enemy, 'listening');
  /** By connection, the number that it was given last: without one it is nobody. */
  const given = new Map<number, number>();
  let answers = 0;
  enemy.on('message', (bytes) => {
    answers += 1;
    const packet = readPacket(bytes);
    if (packet?.type === TYPE.state) given.set(packet.connection + 1, packet.seq);
  });
  let state = 4711;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let run = 0; run < runs; run += 1) {
    const near = (): number => (random(10) === 0 ? random(65_536) : random(6));
    const selective = random(3) === 0 ? noise(random(64) * 4, random(256)) : undefined;
    const head = { connection: random(8), sentAt: random(2 ** 32), delay: random(2 ** 32), window: random(2 ** 20) };
    const ack = ((given.get(head.connection) ?? 0) - 1 + random(2) * near()) & 0xffff;
    const type =
      random(30) === 0 ? TYPE.reset : [TYPE.data, TYPE.data, TYPE.data, TYPE.fin, TYPE.state, TYPE.syn][random(6)]!;
    const bytes = writePacket({ ...head, type, seq: near(), ack, selective }, random(40));
    if (random(4) === 0) bytes[random(bytes.length)] = random(256);
    enemy.send(random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes, victim.port, HOST);
    if (random(50) === 0) for (const transport of strangers) transport.write(Buffer.alloc(random(5000)));
    if (run % 64 === 63) await new Promise((resolve) => setImmediate(resolve));
  }
  enemy.close();
  await victim.close();
  assert.ok(strangers.length > 2, `${strangers.length} connections`);
  assert.ok(answers > 0);
});

test('who does not know the number of our answer is nobody: its address may be made up', async () => {
  const strangers: Transport[] = [];
  const victim = await UtpSocket.bind(HOST, 0, (transport) => strangers.push(transport));
  const caller = createSocket('udp4').bind(0, HOST);
  await once(caller, 'listening');
  const nothing = { sentAt: 1, delay: 0, window: 10_000, selective: undefined };
  const answered = once(caller, 'message');
  caller.send(writePacket({ ...nothing, type: TYPE.syn, connection: 9, seq: 1, ack: 0 }, 0), victim.port, HOST);
  const { seq } = readPacket(((await answered) as [Buffer])[0])!;
  const say = (ack: number): void =>
    caller.send(writePacket({ ...nothing, type: TYPE.data, connection: 10, seq: 2, ack }, 1), victim.port, HOST);
  say((seq - 2) & 0xffff);
  // The answer to what follows shows that the first has been read.
  const refused = once(caller, 'message');
  caller.send(writePacket({ ...nothing, type: TYPE.data, connection: 500, seq: 2, ack: 0 }, 1), victim.port, HOST);
  assert.equal(readPacket(((await refused) as [Buffer])[0])!.type, TYPE.reset);
  assert.equal(strangers.length, 0);
  const confirmed = once(caller, 'message');
  say((seq - 1) & 0xffff);
  assert.equal(readPacket(((await confirmed) as [Buffer])[0])!.ack, 2);
  assert.equal(strangers.length, 1);
  caller.close();
  await victim.close();
});

test('the window grows while nothing waits in queues, and shrinks when something does, or is lost', () => {
  const ledbat = new Ledbat(1000);
  const first = ledbat.window;
  for (let n = 0; n < 100; n += 1) ledbat.acknowledged(1000, 5_000_000, true, n);
  const grown = ledbat.window;
  assert.ok(grown > first * 2);
  for (let n = 0; n < 100; n += 1) ledbat.acknowledged(1000, 5_250_000, true, n);
  assert.ok(ledbat.window < grown, 'a queue of 250 ms');
  const before = ledbat.window;
  ledbat.lost();
  assert.equal(ledbat.window, before / 2);
  ledbat.acknowledged(1000, 5_000_000, false, 101);
  assert.equal(ledbat.window, before / 2, 'it was not the window that held it up');
  ledbat.silent();
  assert.equal(ledbat.window, 2000);
});
