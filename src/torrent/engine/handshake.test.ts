import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerPeer, callPeer, type HandshakeRules, type Link } from './handshake.ts';
import { Rc4 } from './rc4.ts';
import type { Transport } from './transport.ts';

/** Two ends of a stream in memory; what is written arrives in pieces of `size` bytes. */
function pair(size: number): [Transport, Transport] {
  const ends: (Transport & { other?: Transport })[] = [];
  for (let n = 0; n < 2; n += 1) {
    const end: Transport = {
      remote: { host: '127.0.0.1', port: 1 + n },
      dialable: true,
      handler: { received: () => {}, closed: () => {}, drained: () => {} },
      backlog: 0,
      write: (bytes) =>
        setImmediate(() => {
          const copy = Buffer.from(bytes);
          for (let at = 0; at < copy.length; at += size)
            ends[1 - n]!.handler.received(copy, at, Math.min(copy.length, at + size));
        }),
      destroy: () =>
        setImmediate(() => {
          for (const one of ends) one.handler.closed();
        }),
    };
    ends.push(end);
  }
  return [ends[0]!, ends[1]!];
}

const infoHash = Buffer.alloc(20, 7);
const caller = { infoHash, peerId: Buffer.alloc(20, 'a') };
const answerer = { infoHash, peerId: Buffer.alloc(20, 'b') };

async function shake(
  calling: HandshakeRules,
  answering: HandshakeRules,
  size: number,
  wanted = infoHash,
): Promise<[Link, Link]> {
  const [one, other] = pair(size);
  return Promise.all([
    callPeer(one, { ...caller, infoHash: wanted }, calling),
    answerPeer(other, (matches) => (matches(infoHash) ? answerer : undefined), answering),
  ]);
}

/** What one end sends after the handshake, as the other gets it. */
async function says(from: Link, to: Link, text: string): Promise<string> {
  const bytes = Buffer.from(text);
  from.encrypt?.apply(bytes, 0, bytes.length);
  const heard = new Promise<string>((resolve) => {
    let all = '';
    const handler: Transport['handler'] = {
      received: (data, at, end) => {
        to.decrypt?.apply(data, at, end);
        all += data.toString('utf8', at, end);
        if (all.length >= text.length) resolve(all);
      },
      closed: () => {},
      drained: () => {},
    };
    to.transport.handler = handler;
  });
  from.transport.write(bytes);
  return heard;
}

const MANNERS: Record<string, { calling: HandshakeRules; answering: HandshakeRules; encrypted: boolean }> = {
  plain: {
    calling: { allowPlain: true, beginEncrypted: false },
    answering: { allowPlain: true, beginEncrypted: false },
    encrypted: false,
  },
  'encrypted handshake, plain stream': {
    calling: { allowPlain: true, beginEncrypted: true },
    answering: { allowPlain: true, beginEncrypted: false },
    encrypted: false,
  },
  'encryption required by the caller': {
    calling: { allowPlain: false, beginEncrypted: true },
    answering: { allowPlain: true, beginEncrypted: false },
    encrypted: true,
  },
  'encryption required by the called': {
    calling: { allowPlain: true, beginEncrypted: true },
    answering: { allowPlain: false, beginEncrypted: false },
    encrypted: true,
  },
};

for (const [name, { calling, answering, encrypted }] of Object.entries(MANNERS))
  for (const size of [1, 7, 100_000])
    test(`${name}, in pieces of ${size}`, async () => {
      const [ours, theirs] = await shake(calling, answering, size);
      assert.deepEqual(ours.peerId, answerer.peerId);
      assert.deepEqual(theirs.peerId, caller.peerId);
      assert.ok(ours.fast && ours.extended && theirs.dht);
      assert.equal(ours.encrypt !== undefined, encrypted);
      assert.equal(await says(ours, theirs, 'there'.repeat(50)), 'there'.repeat(50));
      assert.equal(await says(theirs, ours, 'and back'), 'and back');
    });

test('a plain call is refused where encryption is required', async () => {
  const plain = { allowPlain: true, beginEncrypted: false };
  await assert.rejects(shake(plain, { allowPlain: false, beginEncrypted: false }, 100));
});

for (const beginEncrypted of [false, true])
  test(`a torrent that is not here is refused${beginEncrypted ? ', encrypted too' : ''}`, async () => {
    const rules = { allowPlain: true, beginEncrypted };
    await assert.rejects(shake(rules, rules, 100, Buffer.alloc(20, 8)));
  });

test('noise is refused', async () => {
  const [one, other] = pair(50);
  const answered = answerPeer(other, () => answerer, { allowPlain: true, beginEncrypted: false });
  one.write(Buffer.alloc(2000, 0x5a));
  await assert.rejects(answered);
});

test('a degenerate key is refused', async () => {
  const [one, other] = pair(1000);
  const answered = answerPeer(other, () => answerer, { allowPlain: true, beginEncrypted: false });
  one.write(Buffer.alloc(96, 0));
  await assert.rejects(answered, /degenerate/);
});

// RFC 6229, key 0x0102030405, the key stream at offset 1024.
test('RC4 is RC4', () => {
  const bytes = Buffer.alloc(16);
  new Rc4(Buffer.from('0102030405', 'hex')).apply(bytes, 0, 16);
  assert.equal(bytes.toString('hex'), '30abbcc7c20b01609f23ee2d5f6bb7df');
});
