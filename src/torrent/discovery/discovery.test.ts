import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { startTracker, startWebSockets } from '../../../test/fixtures/seeders.ts';
import { AppError } from '../../errors.ts';
import { type AddressGuard, anyAddress } from '../../source/guard.ts';
import { encode } from '../bencode.ts';
import { type Tracker, trackerOf } from '../tracker-url.ts';
import { compactPeers } from './compact.ts';
import { DhtNode } from './dht.ts';
import { FencedSocket, isDhtMessage } from './dht-fence.ts';
import { Discovery, type DiscoveryOptions } from './discovery.ts';
import { readAnswer } from './http-tracker.ts';
import { readLsd } from './lsd.ts';
import { TrackerError } from './tracker.ts';

const INFO_HASH = 'ab'.repeat(20);
const trackers = (...urls: string[]): Tracker[] => urls.map((url) => trackerOf(url) as Tracker);

/** A discovery that tells of the first peer that it finds. */
function finder(port: number, options: Partial<DiscoveryOptions> = {}) {
  const found = Promise.withResolvers<{ host: string; port: number }>();
  const discovery = new Discovery({
    trackers: true,
    dht: undefined,
    localDiscovery: false,
    webRtc: undefined,
    guard: anyAddress,
    onPeers: (_infoHash, peers) => {
      const other = peers.find((peer) => peer.port !== port);
      if (other) found.resolve(other);
    },
    onStream: (_infoHash, port) => port.close(),
    times: { firstRetry: 20, longestRetry: 40, leastInterval: 20, hungryInterval: 20 },
    ...options,
  });
  discovery.port = port;
  const add = (urls: readonly Tracker[], isPrivate = false): void =>
    discovery.add({
      infoHash: INFO_HASH,
      trackers: urls,
      isPrivate,
      progress: () => ({ uploaded: 1, downloaded: 2 ** 33, left: 3 }),
      isHungry: () => true,
    });
  return { discovery, add, found: found.promise };
}

test('two who announce to a tracker find each other, over HTTP and over UDP, and say farewell', async () => {
  for (const kind of ['http', 'udp'] as const) {
    await using tracker = await startTracker();
    const other = finder(2222);
    await using _other = other.discovery;
    const first = finder(1111);
    await using _first = first.discovery;
    first.add(trackers(tracker[kind]));
    other.add(trackers(tracker[kind]));
    assert.deepEqual(await other.found, { host: '127.0.0.1', port: 1111 });
    assert.deepEqual(await first.found, { host: '127.0.0.1', port: 2222 });
    assert.equal(first.discovery.reports(INFO_HASH)[0]?.state, 'answered');
    await first.discovery.remove(INFO_HASH);
    assert.ok(tracker.announced.includes('stop'), tracker.announced.join());
  }
});

test('a tracker that was not there is asked again until it is', async () => {
  const server = createServer((_request, response) =>
    response.end(encode({ interval: 1, peers: Buffer.from([127, 0, 0, 1, 1, 2]) })),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const { discovery, add, found } = finder(9);
  await using _discovery = discovery;
  add(trackers(`http://127.0.0.1:${port}/announce`, 'udp://127.0.0.1:1/x'));
  while (discovery.reports(INFO_HASH)[0]?.state !== 'failed') await new Promise((resolve) => setImmediate(resolve));
  assert.match(discovery.reports(INFO_HASH)[0]?.reason ?? '', /ECONNREFUSED/);
  server.listen(port, '127.0.0.1');
  assert.deepEqual(await found, { host: '127.0.0.1', port: 258 });
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
});

test('what a tracker answers that is no answer is told, and harms nobody', async () => {
  const bodies = ['', 'hello', 'l-3:', 'd14:failure reason4:gonee', 'x'.repeat(600_000), '<html>'];
  let served = 0;
  const server = createServer((_request, response) => response.end(bodies[served++ % bodies.length]));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { discovery, add } = finder(9);
  add(trackers(`http://127.0.0.1:${(server.address() as AddressInfo).port}/announce?passkey=secret`));
  const reasons = new Set<string>();
  while (served < bodies.length * 2) {
    const [report] = discovery.reports(INFO_HASH);
    if (report?.reason) reasons.add(report.reason);
    assert.ok(!JSON.stringify(report).includes('secret'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await discovery[Symbol.asyncDispose]();
  server.close();
  server.closeAllConnections();
  assert.ok(reasons.has('refused: gone'), [...reasons].join(' | '));
  assert.ok([...reasons].some((reason) => /more than/.test(reason)));
  assert.ok([...reasons].some((reason) => /not bencoded/.test(reason)));
});

test('addresses that the guard refuses are not announced to', async () => {
  const refusing: AddressGuard = {
    checkUrl() {},
    checkAddress() {
      throw new AppError('source-forbidden', 'is not allowed');
    },
  };
  const { discovery, add } = finder(9, { guard: refusing });
  await using _discovery = discovery;
  add(trackers('http://127.0.0.1:9/announce', 'udp://127.0.0.1:9/a'));
  while (discovery.reports(INFO_HASH).some(({ state }) => state !== 'failed'))
    await new Promise((resolve) => setImmediate(resolve));
  for (const { reason } of discovery.reports(INFO_HASH)) assert.equal(reason, 'is not allowed');
});

test('answers in every form that trackers know', () => {
  const compact = encode({
    interval: 900,
    'min interval': 60,
    peers: Buffer.from([1, 2, 3, 4, 0x1a, 0xe1, 0, 0, 0, 0, 0, 1]),
  });
  assert.deepEqual(readAnswer(compact), {
    peers: [
      { host: '1.2.3.4', port: 6881 },
      { host: '0.0.0.0', port: 1 },
    ],
    interval: 900,
    minInterval: 60,
  });
  const listed = encode({
    peers: [{ ip: '5.6.7.8', port: 1 }, { ip: 'name.example', port: 2 }, { ip: '9.9.9.9' }, 5 as never],
  });
  assert.deepEqual(readAnswer(listed).peers, [{ host: '5.6.7.8', port: 1 }]);
  const six = Buffer.concat([Buffer.from('20010db8000000000000000000000001', 'hex'), Buffer.from([0, 80])]);
  assert.deepEqual(readAnswer(encode({ peers6: six })).peers, [{ host: '2001:db8:0:0:0:0:0:1', port: 80 }]);
  assert.throws(
    () => readAnswer(encode({ 'failure reason': 'no\nway' })),
    (error: Error) => error instanceof TrackerError && error.message === 'refused: no way',
  );
  assert.deepEqual(compactPeers(Buffer.from([1, 2, 3, 4, 0]), 4), []);
});

test('peers are found through DHT nodes', async () => {
  const nobody = (): void => {};
  const dht = { port: 0, host: '127.0.0.1' };
  await using first = await DhtNode.start({ ...dht, bootstrap: [] }, nobody);
  const bootstrap = [`127.0.0.1:${first.port}`];
  const announcer = finder(3333, { trackers: false, dht: { ...dht, bootstrap } });
  await using _announcer = announcer.discovery;
  const seeker = finder(4444, { trackers: false, dht: { ...dht, bootstrap } });
  await using _seeker = seeker.discovery;
  announcer.add([]);
  seeker.add([]);
  assert.deepEqual(await seeker.found, { host: '127.0.0.1', port: 3333 });
});

test('a private torrent is looked up nowhere but at its trackers', async () => {
  const { discovery, add } = finder(9, { dht: { port: 0, host: '127.0.0.1', bootstrap: [] }, localDiscovery: true });
  await using _discovery = discovery;
  add(trackers('http://127.0.0.1:9/a'), true);
  assert.deepEqual(
    discovery.reports(INFO_HASH).map(({ label }) => label),
    ['tracker http://127.0.0.1:9'],
  );
});

test('only well-formed messages reach the DHT library', () => {
  const id = Buffer.alloc(20, 1);
  const good = [
    { t: 'aa', y: 'q', q: 'ping', a: { id } },
    { t: 'aa', y: 'q', q: 'get_peers', a: { id, info_hash: id } },
    { t: 'aa', y: 'r', r: { id, token: 'x', nodes: Buffer.alloc(52), values: [Buffer.alloc(6)] } },
    { t: 'aa', y: 'e', e: [201, 'no'] },
  ];
  for (const message of good) assert.equal(isDhtMessage(encode(message)), true, JSON.stringify(message));
  const bad = [
    { t: 'aa', y: 'q', q: 'ping' },
    { t: 'aa', y: 'q', q: 'ping', a: { id: 5 } },
    { t: 'aa', y: 'q', q: 'get_peers', a: { id, info_hash: 5 } },
    { t: 'aa', y: 'q', q: 'find_node', a: { id, target: 'short' } },
    { t: 'aa', y: 'q', q: 'announce_peer', a: { id, info_hash: id, token: ['x'], port: 1 } },
    { t: 'aa', y: 'q', q: 'put', a: { id, v: 'x', token: 'y' } },
    { t: 5, y: 'q', q: 'ping', a: { id } },
    { t: 'aa', y: 'r', r: { id, nodes: 7 } },
    { t: 'aa', y: 'r', r: { id, values: 'x' } },
    { t: 'aa', y: 'r', r: { id, values: [5] } },
    { t: 'a', y: 'r', r: { id } },
    { t: 'aa', y: 'z' },
  ];
  for (const message of bad) assert.equal(isDhtMessage(encode(message)), false, JSON.stringify(message));
  for (const text of ['', 'd', 'l-3:', 'i1e', `d${'l'.repeat(1_000)}`, 'x'.repeat(5_000)])
    assert.equal(isDhtMessage(Buffer.from(text)), false);
});

test('announcements of the local network', () => {
  const lines = [
    'BT-SEARCH * HTTP/1.1',
    'Host: 239.192.152.143:6771',
    'Port: 6881',
    `Infohash: ${INFO_HASH.toUpperCase()}`,
    'cookie: c',
  ];
  assert.deepEqual(readLsd(`${lines.join('\r\n')}\r\n\r\n\r\n`), { port: 6881, infoHashes: [INFO_HASH], cookie: 'c' });
  for (const text of [
    '',
    'BT-SEARCH * HTTP/1.1',
    lines.join('\r\n').replace('6881', '0'),
    lines.join('\r\n').replace('BT', 'XX'),
    lines.slice(0, 3).join('\r\n'),
  ])
    assert.equal(readLsd(text), undefined, text);
});

test('the DHT library sends nothing into this machine or network, but to who wrote first or was named by the operator', async () => {
  const ping = encode({ t: 'aa', y: 'q', q: 'ping', a: { id: Buffer.alloc(20, 1) } });
  for (const [nearest, expected] of [
    ['public', 'answer'],
    ['private', 'answer'],
    ['loopback', 'first'],
  ] as const) {
    const service = createSocket('udp4').bind(0, '127.0.0.1');
    const fenced = new FencedSocket(nearest);
    fenced.bind(0, '127.0.0.1');
    await Promise.all([once(service, 'listening'), once(fenced, 'listening')]);
    const { port } = service.address();
    const send = (text: string, address = '127.0.0.1'): Promise<void> =>
      new Promise((resolve) => fenced.send(Buffer.from(text), 0, text.length, port, address, resolve));
    const received = once(service, 'message');
    await send('first');
    await send('metadata', '169.254.169.254');
    const wrote = once(fenced, 'message');
    service.send(ping, fenced.address().port, '127.0.0.1');
    await wrote;
    await send('answer');
    assert.equal(String((await received)[0]), expected, nearest);
    service.close();
    fenced.close();
  }
});

test('a WebSocket tracker that talks nonsense, floods and hangs up is asked again, and nothing is left of it', async () => {
  await using server = await startWebSockets((socket) =>
    socket.on('message', (text) => {
      calls.push(JSON.parse(String(text)));
      for (const answer of answers) socket.send(answer);
      if (calls.length === 2) socket.send('x'.repeat(300 * 1024));
      if (calls.length === 3) thrice.resolve();
    }),
  );
  const hash = Buffer.from(INFO_HASH, 'hex').toString('latin1');
  const answers = [
    'no JSON',
    '[]',
    'null',
    JSON.stringify({ info_hash: hash, offer: { type: 'offer', sdp: 'v=0' }, peer_id: 'x', offer_id: 'y' }),
    JSON.stringify({ info_hash: hash, answer: { type: 'answer' }, peer_id: 'x', offer_id: 'unknown' }),
    JSON.stringify({ info_hash: 'another', 'failure reason': 'not ours' }),
    JSON.stringify({ info_hash: hash, 'failure reason': 'go \u0007away' }),
  ];
  const calls: unknown[] = [];
  const thrice = Promise.withResolvers<void>();
  const { discovery, add } = finder(1, { webRtc: { stun: [], host: '127.0.0.1' } });
  add(trackers(`${server.url}/secret`));
  await thrice.promise;
  const [report] = discovery.reports(INFO_HASH);
  assert.equal(report?.label, `tracker ${server.url}`);
  assert.equal(report?.reason, 'refused: go  away');
  const { offers, ...said } = calls[0] as { offers: { offer: { sdp: string }; offer_id: string }[]; peer_id: string };
  assert.equal(offers.length, 5);
  assert.match(offers[0]?.offer.sdp ?? '', /a=candidate:\d+ 1 UDP \d+ 127\.0\.0\.1 /);
  const { peer_id: peerId, ...rest } = said;
  assert.equal(peerId.length, 20);
  assert.deepEqual(rest, {
    ...{ action: 'announce', event: 'started', info_hash: hash, numwant: 5 },
    ...{ uploaded: 1, downloaded: 2 ** 33, left: 3 },
  });
  await discovery[Symbol.asyncDispose]();
});

test('a WebSocket tracker at an address that the guard forbids is not connected to', async () => {
  const guard: AddressGuard = {
    ...anyAddress,
    checkAddress: () => {
      throw new AppError('source-forbidden', 'not there.');
    },
  };
  const { discovery, add } = finder(1, { guard, webRtc: { stun: [], host: '127.0.0.1' } });
  await using _discovery = discovery;
  add(trackers('ws://127.0.0.1:49151', 'wss://127.0.0.1:49151'));
  while (discovery.reports(INFO_HASH).some(({ state }) => state !== 'failed'))
    await new Promise((resolve) => setImmediate(resolve));
  for (const { reason } of discovery.reports(INFO_HASH)) assert.equal(reason, 'not there.');
});
