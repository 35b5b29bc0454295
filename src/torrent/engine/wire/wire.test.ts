import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from './outbox.ts';
import { BLOCK, MESSAGE, MessageReader, WireError, type WireHandler } from './reader.ts';

/** Writes down what it is told; blocks go to memory of its own. */
class Recorder implements WireHandler {
  readonly told: string[] = [];
  readonly memory = Buffer.alloc(BLOCK);
  reader: MessageReader | undefined;
  blocks = 0;
  choke = (): void => this.#note('choke');
  unchoke = (): void => this.#note('unchoke');
  interested = (): void => this.#note('interested');
  notInterested = (): void => this.#note('not interested');
  have = (piece: number): void => this.#note('have', piece);
  bitfield = (bits: Uint8Array): void => this.#note('bitfield', Buffer.from(bits).toString('hex'));
  request = (...block: number[]): void => this.#note('request', ...block);
  cancel = (...block: number[]): void => this.#note('cancel', ...block);
  reject = (...block: number[]): void => this.#note('reject', ...block);
  dhtPort = (port: number): void => this.#note('port', port);
  suggest = (piece: number): void => this.#note('suggest', piece);
  haveAll = (): void => this.#note('have all');
  haveNone = (): void => this.#note('have none');
  allowedFast = (piece: number): void => this.#note('allowed fast', piece);
  extended = (id: number, payload: Buffer): void => this.#note('extended', id, payload.toString('latin1'));

  blockBegins(piece: number, begin: number, length: number): void {
    this.#note('begins', piece, begin, length);
    this.reader?.setSink(this.memory, 0);
  }

  blockEnds(piece: number, begin: number, length: number): void {
    this.blocks += 1;
    this.#note('ends', piece, begin, length, this.memory.subarray(0, length).toString('hex').slice(0, 8));
  }

  #note(...what: (string | number)[]): void {
    this.told.push(what.join(' '));
  }
}

function reading(): { recorder: Recorder; reader: MessageReader } {
  const recorder = new Recorder();
  const reader = new MessageReader(recorder);
  recorder.reader = reader;
  return { recorder, reader };
}

/** One of each. */
function everything(): Buffer {
  const out = new Outbox();
  out.plain(MESSAGE.haveNone);
  out.keepAlive();
  out.bitfield(Buffer.from('c0ffee', 'hex'));
  for (const id of [MESSAGE.unchoke, MESSAGE.choke, MESSAGE.interested, MESSAGE.notInterested, MESSAGE.haveAll])
    out.plain(id);
  for (const id of [MESSAGE.have, MESSAGE.suggest, MESSAGE.allowedFast]) out.number(id, 0xfedcba98);
  for (const id of [MESSAGE.request, MESSAGE.cancel, MESSAGE.reject]) out.block(id, 7, 16384, 5);
  out.extended(3, Buffer.from('d1:a'), Buffer.from('i1ee'));
  out.pieceHead(1, 2, 4);
  const block = Buffer.from('01020304', 'hex');
  const port = Buffer.from('00000003091ae1', 'hex');
  const unknown = Buffer.from('000000021f00', 'hex');
  return Buffer.concat([out.take(), block, port, unknown]);
}

const EXPECTED = [
  'have none',
  'bitfield c0ffee',
  'unchoke',
  'choke',
  'interested',
  'not interested',
  'have all',
  'have 4275878552',
  'suggest 4275878552',
  'allowed fast 4275878552',
  'request 7 16384 5',
  'cancel 7 16384 5',
  'reject 7 16384 5',
  'extended 3 d1:ai1ee',
  'begins 1 2 4',
  'ends 1 2 4 01020304',
  'port 6881',
];

test('every message is read as it was written, however it is cut', () => {
  const bytes = everything();
  for (let size = 1; size <= bytes.length; size += 1) {
    const { recorder, reader } = reading();
    for (let at = 0; at < bytes.length; at += size) reader.feed(bytes, at, Math.min(at + size, bytes.length));
    assert.deepEqual(recorder.told, EXPECTED, `in pieces of ${size}`);
  }
});

test('a block whose receiver has lost interest is read past', () => {
  const { recorder, reader } = reading();
  const out = new Outbox();
  out.pieceHead(0, 0, 4);
  const bytes = Buffer.concat([out.take(), Buffer.from('aabbccdd', 'hex'), Buffer.from('0000000101', 'hex')]);
  reader.feed(bytes, 0, 15);
  reader.setSink(undefined, 0);
  reader.feed(bytes, 15, bytes.length);
  assert.deepEqual([...recorder.memory.subarray(0, 4)], [0xaa, 0xbb, 0, 0]);
  assert.equal(recorder.told.at(-1), 'unchoke');
});

const BAD: Record<string, string> = {
  'a message longer than any': '00100001 05',
  'a block larger than was ever asked for': '0000400a 07 00000000 00000000',
  'a block without a place': '00000008 07 00000000 000000',
  'an empty block': '00000009 07 00000000 00000000',
  'a request that is cut short': '00000005 06 00000000',
  'a have that is too long': '00000006 04 00000000 00',
  'a port that is too long': '00000004 09 1ae100',
  'an extension message without a number': '00000001 14',
};

for (const [name, hex] of Object.entries(BAD))
  test(`${name} ends the connection`, () => {
    const { reader } = reading();
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    assert.throws(() => reader.feed(bytes, 0, bytes.length), WireError);
  });

test('hostile streams: an error or messages, never anything else, and never more memory than a message', () => {
  const runs = Number(process.env.FUZZ_RUNS ?? 20_000);
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const base = everything();
  let messages = 0;
  for (let run = 0; run < runs; run += 1) {
    const { recorder, reader } = reading();
    const bytes = Buffer.from(base);
    for (let change = random(6); change >= 0; change -= 1) bytes[random(bytes.length)] = random(256);
    try {
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + 1 + random(40));
        reader.feed(bytes, at, end);
        at = end;
      }
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
    }
    messages += recorder.told.length;
  }
  assert.ok(messages > runs, `${messages} messages were read`);
});
