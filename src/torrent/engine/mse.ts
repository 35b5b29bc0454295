/**
 * Message stream encryption (the "MSE/PE" specification of Vuze and µTorrent): a Diffie-Hellman exchange, then either RC4
 * or plain text. Both sides.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import type { ByteQueue } from './byte-queue.ts';
import { Rc4 } from './rc4.ts';

/** 768 bits. Not a safe prime, so that OpenSSL spends 20 ms on doubting it: two powers by big integers take less than one. */
const PRIME =
  0xffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563n;
/** The specification's advice for the length of a private key. */
const PRIVATE_BYTES = 20;
const KEY_BYTES = 96;
const MAX_PAD = 512;
const VERIFICATION = Buffer.alloc(8);
const PLAIN = 1;
const RC4 = 2;

/** What both directions are to be en- and decrypted with from now on; undefined: not at all. */
export interface Ciphers {
  readonly encrypt: Rc4 | undefined;
  readonly decrypt: Rc4 | undefined;
}

export interface MseStream {
  readonly queue: ByteQueue;
  write(bytes: Uint8Array): void;
}

const hash = (...parts: readonly (string | Uint8Array)[]): Buffer => {
  const sum = createHash('sha1');
  for (const part of parts) sum.update(part);
  return sum.digest();
};

const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, at) => byte ^ b[at]!));
const padding = (): Buffer => randomBytes(randomInt(MAX_PAD + 1));
const toBytes = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(KEY_BYTES * 2, '0'), 'hex');
const toNumber = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % PRIME;
    square = (square * square) % PRIME;
  }
  return result;
}

function exchange(): { publicKey: Buffer; secretWith: (theirs: Buffer) => Buffer } {
  const own = toNumber(randomBytes(PRIVATE_BYTES));
  return {
    publicKey: toBytes(power(2n, own)),
    secretWith: (theirs) => {
      const key = toNumber(theirs);
      if (key <= 1n || key >= PRIME - 1n) throw new Error('a degenerate key');
      return toBytes(power(key, own));
    },
  };
}

/** RC4 is its own inverse. */
const encrypted = (cipher: Rc4, bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  cipher.apply(copy, 0, copy.length);
  return copy;
};

/**
 * The side that connects. `first` is what it has to say in its first encrypted message: the BitTorrent handshake.
 * @throws Error when the other side is none of ours, or refuses.
 */
export async function initiate(
  stream: MseStream,
  infoHash: Buffer,
  first: Buffer,
  allowPlain: boolean,
): Promise<Ciphers> {
  const own = exchange();
  stream.write(Buffer.concat([own.publicKey, padding()]));
  const secret = own.secretWith(await stream.queue.take(KEY_BYTES));
  const encrypt = new Rc4(hash('keyA', secret, infoHash));
  const decrypt = new Rc4(hash('keyB', secret, infoHash));
  const offer = Buffer.alloc(16);
  offer.writeUInt32BE(allowPlain ? PLAIN | RC4 : RC4, 8);
  offer.writeUInt16BE(first.length, 14);
  stream.write(
    Buffer.concat([
      hash('req1', secret),
      xor(hash('req2', infoHash), hash('req3', secret)),
      encrypted(encrypt, Buffer.concat([offer, first])),
    ]),
  );
  // The answer begins with the encrypted verification constant, after at most 512 bytes of padding.
  const constant = Buffer.alloc(8);
  decrypt.apply(constant, 0, constant.length);
  await stream.queue.skipPast(constant, MAX_PAD);
  const answer = await taken(stream.queue, 6, decrypt);
  const selected = answer.readUInt32BE(0);
  await taken(stream.queue, limited(answer.readUInt16BE(4)), decrypt);
  if (selected === PLAIN && allowPlain) return { encrypt: undefined, decrypt: undefined };
  if (selected !== RC4) throw new Error('the peer chose a cipher that was not offered');
  stream.queue.decryptWith(decrypt);
  return { encrypt, decrypt };
}

/**
 * The side that was called. `find` tells which torrent a peer means by the hash that it sent.
 * @throws Error when it is no such handshake, or nothing that both accept.
 */
export async function accept(
  stream: MseStream,
  find: (matches: (infoHash: Buffer) => boolean) => Buffer | undefined,
  allowPlain: boolean,
): Promise<Ciphers> {
  const own = exchange();
  const theirs = await stream.queue.take(KEY_BYTES);
  stream.write(Buffer.concat([own.publicKey, padding()]));
  const secret = own.secretWith(theirs);
  await stream.queue.skipPast(hash('req1', secret), MAX_PAD);
  const wanted = xor(await stream.queue.take(20), hash('req3', secret));
  const infoHash = find((candidate) => hash('req2', candidate).equals(wanted));
  if (infoHash === undefined) throw new Error('a torrent that is not here');
  const decrypt = new Rc4(hash('keyA', secret, infoHash));
  const encrypt = new Rc4(hash('keyB', secret, infoHash));
  const offer = await taken(stream.queue, 14, decrypt);
  if (!offer.subarray(0, 8).equals(VERIFICATION)) throw new Error('the encrypted handshake does not decrypt');
  const provided = offer.readUInt32BE(8);
  await taken(stream.queue, limited(offer.readUInt16BE(12)), decrypt);
  const firstLength = (await taken(stream.queue, 2, decrypt)).readUInt16BE(0);
  const first = await taken(stream.queue, firstLength, decrypt);
  const plain = allowPlain && (provided & PLAIN) !== 0;
  if (!plain && (provided & RC4) === 0) throw new Error('no cipher in common');
  const answer = Buffer.alloc(14);
  answer.writeUInt32BE(plain ? PLAIN : RC4, 8);
  stream.write(encrypted(encrypt, answer));
  // The first message is encrypted in any case; what follows it only as agreed.
  if (!plain) stream.queue.decryptWith(decrypt);
  stream.queue.putBack(first);
  return plain ? { encrypt: undefined, decrypt: undefined } : { encrypt, decrypt };
}

async function taken(queue: ByteQueue, length: number, cipher: Rc4): Promise<Buffer> {
  return encrypted(cipher, await queue.take(length));
}

function limited(pad: number): number {
  if (pad > MAX_PAD) throw new Error('the padding is too long');
  return pad;
}
