import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Bencoded, BencodeError, decode, decodeFirst, type Encodable, encode } from './bencode.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

test('reads the four kinds of values', () => {
  assert.equal(decode(bytes('i-42e')), -42);
  assert.equal(decode(bytes('i0e')), 0);
  assert.deepEqual(Buffer.from(decode(bytes('4:spam')) as Uint8Array), bytes('spam'));
  assert.deepEqual(decode(bytes('li1eli2eee')), [1, [2]]);
  const { value, spans, end } = decodeFirst(bytes('d3:cow3:moo4:infod1:ai1eeeTAIL'));
  assert.ok(value instanceof Map);
  assert.deepEqual([...value.keys()], ['cow', 'info']);
  assert.deepEqual(spans.get('info'), { start: 17, end: 25 });
  assert.equal(end, 26);
  const dictionary = decode(bytes('d9:__proto__i1ee'));
  assert.equal((dictionary as Map<string, Bencoded>).get('__proto__'), 1);
});

test('what is not bencoded is told so', () => {
  const bad = [
    ...['', 'x', 'i', 'ie', 'i-e', 'i-0e', 'i00e', 'i1', 'i1.5e', 'i+1e', `i${'9'.repeat(30)}e`],
    ...['1', '1:', '5:spam', '-1:a', '01:a', '99999999999999:a', ':', 'l', 'li1e', 'l-3:', 'd', 'd1:ae', 'di1ei1ee'],
    ...['d1:ai1e1:ai2ee', 'i1ei2e', 'l'.repeat(100_000), `${'l'.repeat(40)}${'e'.repeat(40)}`, 'd1:a'.repeat(50_000)],
  ];
  for (const text of bad) assert.throws(() => decode(bytes(text)), BencodeError, text.slice(0, 40));
});

test('more values than any torrent has are refused', () => {
  assert.throws(() => decode(bytes(`l${'i1e'.repeat(1_000_001)}e`)), BencodeError);
});

const value: fc.Arbitrary<Encodable> = fc.letrec<{ value: Encodable }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.maxSafeInteger().map((n) => (n === 0 ? 0 : n)),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .dictionary(fc.string({ unit: 'binary-ascii', maxLength: 5 }), tie('value'), { maxKeys: 4 })
      .map((fields) => new Map(Object.entries(fields)) as unknown as Encodable),
  ),
})).value;

test('what is written is read again', () => {
  fc.assert(
    fc.property(value, (written) => {
      const encoded = encode(written);
      assert.deepEqual(encode(decode(encoded)), encoded);
    }),
    { numRuns: 2_000 },
  );
});

test('100,000 damaged inputs are a value or a BencodeError, in time that their length bounds', () => {
  const whole = encode({
    a: [1, 2, 'three', { b: Buffer.alloc(40, 7), c: -5 }],
    info: { name: 'x', pieces: Buffer.alloc(60) },
  });
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const alphabet = bytes('ilde0123456789:-\x00\xff');
  let values = 0;
  for (let run = 0; run < 100_000; run++) {
    const damaged = Buffer.from(whole.subarray(0, 1 + random(whole.length)));
    for (let n = random(4); n >= 0; n--) damaged[random(damaged.length)] = alphabet[random(alphabet.length)] as number;
    try {
      decodeFirst(damaged);
      values += 1;
    } catch (error) {
      assert.ok(error instanceof BencodeError, String(error));
    }
  }
  assert.ok(values > 100, `${values} were values`);
});
