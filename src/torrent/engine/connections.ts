/**
 * The connections of one torrent until their handshake is done.
 *
 * Invariant: each is in exactly one of `#dialling` (no connection yet) and `#shaking` (no handshake yet), and its `KnownPeer` is
 * `connected` meanwhile; afterwards it is the swarm's, or over and `failed`.
 */
import { clock } from './clock.ts';
import { dialAny } from './dial.ts';
import { callPeer, type HandshakeRules, HandshakeTimeout, type Link } from './handshake.ts';
import type { KnownPeer } from './peer-book.ts';
import type { SwarmOwner } from './swarm-owner.ts';
import type { Transport } from './transport.ts';

interface ConnectionsOwner {
  joined(link: Link, known: KnownPeer): void;
  /** One less is under way. */
  freed(): void;
}

const CONNECT_TIMEOUT_MS = 4000;

export class Connections {
  readonly #infoHash: Buffer;
  readonly #engine: SwarmOwner;
  readonly #owner: ConnectionsOwner;
  readonly #dialling = new Set<{ cancel: () => void }>();
  readonly #shaking = new Set<Transport>();
  #closed = false;

  constructor(infoHash: Buffer, engine: SwarmOwner, owner: ConnectionsOwner) {
    this.#infoHash = infoHash;
    this.#engine = engine;
    this.#owner = owner;
  }

  /** Connections that are being made. */
  get dialling(): number {
    return this.#dialling.size;
  }

  get pending(): number {
    return this.#dialling.size + this.#shaking.size;
  }

  dial(known: KnownPeer): void {
    known.connected = true;
    const attempt = dialAny(
      known.address,
      CONNECT_TIMEOUT_MS,
      this.#engine.dialUtp,
      (transport) => {
        this.#dialling.delete(attempt);
        void this.call(transport, known);
        this.#owner.freed();
      },
      () => {
        this.#dialling.delete(attempt);
        known.failed();
        this.#owner.freed();
      },
    );
    this.#dialling.add(attempt);
  }

  /** The handshake on a connection that we made. */
  async call(transport: Transport, known: KnownPeer): Promise<void> {
    if (this.#closed) {
      transport.destroy();
      return;
    }
    const { encryption, peerId } = this.#engine;
    const sealed = transport.sealed === true;
    const beginEncrypted = !sealed && (encryption === 'require' || (known.encrypted ?? encryption === 'prefer'));
    const rules: HandshakeRules = { allowPlain: sealed || encryption !== 'require', beginEncrypted };
    this.#shaking.add(transport);
    try {
      const link = await callPeer(transport, { infoHash: this.#infoHash, peerId }, rules);
      this.#shaking.delete(transport);
      known.encrypted = beginEncrypted;
      if (this.#closed) transport.destroy();
      else this.#owner.joined(link, known);
    } catch (error) {
      this.#shaking.delete(transport);
      this.#failed(known, beginEncrypted, error);
    }
    if (!this.#closed) this.#owner.freed();
  }

  /** Who hung up may want to be spoken to in the other manner: that is tried at once, and later in turn. */
  #failed(known: KnownPeer, wasEncrypted: boolean, error: unknown): void {
    const isFirst = known.encrypted === undefined || known.encrypted === wasEncrypted;
    known.encrypted = !wasEncrypted;
    known.failed();
    const mayDiffer = this.#engine.encryption !== 'require' && !(error instanceof HandshakeTimeout);
    if (isFirst && mayDiffer && known.failures <= 1) known.nextTry = clock.now;
  }

  close(): void {
    this.#closed = true;
    for (const attempt of this.#dialling) attempt.cancel();
    this.#dialling.clear();
    for (const transport of this.#shaking) transport.destroy();
  }
}
