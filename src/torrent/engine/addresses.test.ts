/** Which addresses a torrent takes from whom. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Nearness } from '../../lib/addresses.ts';
import type { PeerAddress } from '../protocol.ts';
import type { Link } from './handshake.ts';
import { KnownPeer } from './peer-book.ts';
import { SlabPool } from './slab-pool.ts';
import { Swarm } from './swarm.ts';
import type { SwarmOwner } from './swarm-owner.ts';
import type { Transport } from './transport.ts';
import { encode } from './wire/bencode.ts';
import { Outbox } from './wire/outbox.ts';

const UT_PEX = 2;
const owner: SwarmOwner = {
  pool: new SlabPool(1024),
  peerId: Buffer.alloc(20, 'u'),
  own: { port: 6969, places: [] },
  listenPort: 1234,
  encryption: 'allow',
  maxConnectionsPerTorrent: 50,
  tell: () => {},
  dialMore: () => {},
  tellStats: () => {},
  dialUtp: undefined,
  downloadAllowance: () => 0,
  downloadSpent: () => {},
  uploadAllowance: () => 0,
  uploadSpent: () => {},
};
const peer = (host: string, port = 80): PeerAddress => ({ host, port });

function swarmOf(peers: readonly PeerAddress[] = [], peersFrom: Nearness = 'public'): Swarm {
  const infoHash = 'ab'.repeat(20);
  return new Swarm({ infoHash, directory: '/nowhere', keep: false, peers, peersFrom }, owner);
}

/** The addresses of a torrent after a peer at `host` has told of `added` by peer exchange. */
function afterExchange(host: string, outgoing: boolean, added: Buffer, added6: Buffer): string[] {
  const swarm = swarmOf();
  const transport: Transport = {
    remote: peer(host, 6881),
    dialable: true,
    handler: { received: () => {}, closed: () => {}, drained: () => {} },
    backlog: 0,
    write: () => {},
    destroy: () => assert.fail('the connection was ended'),
  };
  const link: Link = {
    ...{ transport, encrypt: undefined, decrypt: undefined, infoHash: Buffer.alloc(20, 0xab) },
    ...{ peerId: Buffer.alloc(20, 'p'), fast: true, extended: true, dht: false, rest: Buffer.alloc(0) },
  };
  swarm.join(link, new KnownPeer(transport.remote, true), outgoing);
  const out = new Outbox();
  out.extended(UT_PEX, encode({ added, added6 }));
  const bytes = out.take();
  transport.handler.received(bytes, 0, bytes.length);
  return ADDRESSES.filter((address) => swarm.book.find(peer(address)) !== undefined);
}

const FAR = ['8.8.8.8', '2606:4700::1'];
const NEAR = ['192.168.1.9', '::ffff:c0a8:109', 'fd12::1'];
const HERE = ['127.0.0.1', '::ffff:7f00:1', '::1'];
const NEVER = ['169.254.169.254', '255.255.255.255'];
const ADDRESSES = [...FAR, ...NEAR, ...HERE, ...NEVER];
const ADDED = Buffer.concat(
  [...ADDRESSES.filter((address) => !address.includes(':'))].map((address) =>
    Buffer.from([...address.split('.').map(Number), 0, 80]),
  ),
);
const ADDED6 = Buffer.from(
  [
    '26064700000000000000000000000001',
    '00000000000000000000ffffc0a80109',
    'fd120000000000000000000000000001',
    '00000000000000000000ffff7f000001',
    '00000000000000000000000000000001',
  ]
    .map((address) => `${address}0050`)
    .join(''),
  'hex',
);

test('by peer exchange, a peer leads no nearer than where we have called it', () => {
  assert.deepEqual(afterExchange('9.9.9.9', true, ADDED, ADDED6), FAR);
  assert.deepEqual(afterExchange('192.168.1.7', true, ADDED, ADDED6), [...FAR, ...NEAR]);
  assert.deepEqual(afterExchange('127.0.0.1', true, ADDED, ADDED6), [...FAR, ...NEAR, ...HERE]);
  for (const host of ['9.9.9.9', '192.168.1.7', '127.0.0.1'])
    assert.deepEqual(afterExchange(host, false, ADDED, ADDED6), FAR, `${host} called us`);
});

test('and nobody else does', async () => {
  for (const [from, taken] of [
    ['public', FAR],
    ['private', [...FAR, ...NEAR]],
    ['loopback', [...FAR, ...NEAR, ...HERE]],
  ] as const) {
    const added = swarmOf(
      ADDRESSES.map((address) => peer(address)),
      from,
    );
    await added.open();
    const told = swarmOf();
    told.learn(
      [...ADDRESSES, '127.0.0.1'].map((address) => peer(address)),
      from,
    );
    for (const { book } of [added, told]) {
      assert.deepEqual(
        ADDRESSES.filter((address) => book.find(peer(address)) !== undefined),
        taken,
      );
    }
    told.learn([peer('127.0.0.1', 6969), peer('::1', 6969)], from);
    assert.equal(told.book.size, taken.length, 'this server itself');
  }
});
