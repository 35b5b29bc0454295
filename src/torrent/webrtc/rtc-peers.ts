/**
 * The WebRTC connections of one torrent, from their first description to their end.
 *
 * Invariant: `#peers` holds every connection that has not ended; there are never more than `MOST`.
 */
import type { MessagePort } from 'node:worker_threads';
import type { PeerAddress } from '../protocol.ts';
import type { Description } from './description.ts';
import { loadRtc, type Rtc } from './native.ts';
import { RtcPeer, type RtcPeerOptions } from './rtc-peer.ts';

export interface WebRtcOptions {
  /** `host:port` of STUN servers. */
  readonly stun: readonly string[];
  /** Where sockets are bound; undefined: anywhere. */
  readonly host: string | undefined;
}

/** Open and in the making. */
const MOST = 40;
/** Of these, how many may have been begun by others. */
const MOST_ANSWERED = 30;

export class RtcPeers implements Disposable {
  readonly #options: WebRtcOptions;
  readonly #opened: (port: MessagePort, remote: PeerAddress) => void;
  readonly #peers = new Set<RtcPeer>();
  #answered = 0;
  #isClosed = false;

  /** @param opened takes a connection over: the engine's side of its stream. */
  constructor(options: WebRtcOptions, opened: (port: MessagePort, remote: PeerAddress) => void) {
    this.#options = options;
    this.#opened = opened;
  }

  /** @returns undefined when there are enough. @throws Error when there is no WebRTC here. */
  async offer(ended: () => void): Promise<RtcPeer | undefined> {
    return this.#add((rtc, gone) => RtcPeer.offering(rtc, this.#peerOptions(gone)), ended);
  }

  /** @returns undefined when there are enough. @throws Error when there is no WebRTC here, or the offer is no good. */
  async answer(offer: Description): Promise<RtcPeer | undefined> {
    if (this.#answered >= MOST_ANSWERED) return undefined;
    this.#answered += 1;
    let left = false;
    const leave = (): void => {
      if (!left) this.#answered -= 1;
      left = true;
    };
    try {
      const peer = await this.#add((rtc, gone) => RtcPeer.answering(rtc, offer, this.#peerOptions(gone)), leave);
      if (peer === undefined) leave();
      return peer;
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #add(make: (rtc: Rtc, ended: () => void) => RtcPeer, ended: () => void): Promise<RtcPeer | undefined> {
    const rtc = await loadRtc();
    if (this.#isClosed || this.#peers.size >= MOST) return undefined;
    let peer: RtcPeer | undefined;
    peer = make(rtc, () => {
      if (peer !== undefined) this.#peers.delete(peer);
      ended();
    });
    this.#peers.add(peer);
    return peer;
  }

  #peerOptions(ended: () => void): RtcPeerOptions {
    return { ...this.#options, opened: this.#opened, ended };
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const peer of [...this.#peers]) peer.end();
  }
}
