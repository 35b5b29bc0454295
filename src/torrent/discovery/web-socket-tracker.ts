/**
 * A WebSocket tracker, as WebTorrent's are: it passes WebRTC offers and answers on between peers, and names no addresses. One
 * connection stays open between announcements, so that others' offers reach us.
 *
 * Invariant: `#socket` is the connection, made or being made, or undefined; `#offers` are ours that nobody has answered yet. Messages
 * for other torrents, and ones that make no sense, are not looked at.
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '../../errors.ts';
import { withDeadline } from '../../lib/abort.ts';
import type { Nearness } from '../../lib/addresses.ts';
import type { AddressGuard } from '../../source/guard.ts';
import { GuardedWebSocket } from '../../source/web-socket.ts';
import { nearnessOf } from '../peer-guard.ts';
import { admit } from '../webrtc/description.ts';
import type { RtcPeer } from '../webrtc/rtc-peer.ts';
import type { RtcPeers } from '../webrtc/rtc-peers.ts';
import { type Announced, type Announcement, TrackerError } from './tracker.ts';

export interface WebSocketTrackerOptions {
  readonly url: string;
  readonly guard: AddressGuard;
  readonly peers: RtcPeers;
  /** How many offers an announcement makes. */
  readonly offers: () => number;
  /** The tracker hung up: nobody's offers reach us. */
  readonly lost: () => void;
}

type Fields = Readonly<Record<string, unknown>>;

const ANSWER_MS = 20_000;
const LONGEST_ID = 100;
/** It names no addresses. */
const NOBODY: Announced = { peers: [], from: 'public' };

export class WebSocketTracker {
  readonly #options: WebSocketTrackerOptions;
  readonly #offers = new Map<string, RtcPeer>();
  readonly #life = new AbortController();
  #socket: Promise<GuardedWebSocket> | undefined;
  /** Who we said we are, and on what. */
  #identity: { readonly info_hash: string; readonly peer_id: string } | undefined;
  #reply = Promise.withResolvers<Announced>();

  constructor(options: WebSocketTrackerOptions) {
    this.#options = options;
  }

  /** @throws TrackerError; the signal's reason. */
  async announce(announcement: Announcement, signal: AbortSignal): Promise<Announced> {
    const { infoHash, peerId, event, uploaded, downloaded, left } = announcement;
    const identity = { info_hash: binary(Buffer.from(infoHash, 'hex')), peer_id: binary(peerId) };
    this.#identity = identity;
    const said = { action: 'announce', ...identity, uploaded, downloaded, left, ...(event ? { event } : {}) };
    if (event === 'stopped') {
      const socket = await this.#socket?.catch(() => undefined);
      socket?.send(JSON.stringify(said));
      return NOBODY;
    }
    const late = (): Error => new TrackerError('does not answer');
    return withDeadline(signal, ANSWER_MS, late, async (ended) => {
      const socket = await this.#connected(ended);
      const offers = await this.#makeOffers();
      ended.throwIfAborted();
      this.#reply = Promise.withResolvers<Announced>();
      this.#reply.promise.catch(() => {}); // told to whoever still waits
      socket.send(JSON.stringify({ ...said, numwant: offers.length, offers }));
      return this.#reply.promise;
    });
  }

  /** Resolves when nothing of it is left. Connections that peers have made already go on. */
  async close(signal: AbortSignal): Promise<void> {
    this.#life.abort(new TrackerError('is not needed any more'));
    for (const peer of [...this.#offers.values()]) peer.end();
    const socket = await this.#socket?.catch(() => undefined);
    await socket?.close(signal);
  }

  async #connected(signal: AbortSignal): Promise<GuardedWebSocket> {
    const { url, guard } = this.#options;
    const handlers = { message: (text: string) => this.#message(text), closed: () => this.#lost() };
    this.#socket ??= GuardedWebSocket.open(new URL(url), guard, handlers, AbortSignal.any([signal, this.#life.signal]));
    try {
      return await this.#socket;
    } catch (error) {
      this.#socket = undefined;
      if (signal.aborted || error instanceof TrackerError) throw error;
      throw new TrackerError(error instanceof AppError ? error.detail : `cannot be reached (${wordsOf(error)})`, {
        cause: error,
      });
    }
  }

  #lost(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    void socket?.then((gone) => gone.close(AbortSignal.abort())).catch(() => {});
    this.#reply.reject(new TrackerError('has hung up'));
    for (const peer of [...this.#offers.values()]) peer.end();
    if (!this.#life.signal.aborted) this.#options.lost();
  }

  async #makeOffers(): Promise<{ offer: { type: 'offer'; sdp: string }; offer_id: string }[]> {
    const made = await Promise.all(
      Array.from({ length: this.#options.offers() }, async () => {
        const id = binary(randomBytes(20));
        const peer = await this.#options.peers.offer(() => this.#offers.delete(id));
        if (peer === undefined) return undefined;
        this.#offers.set(id, peer);
        const sdp = await peer.description;
        return sdp === undefined ? undefined : { offer: { type: 'offer' as const, sdp }, offer_id: id };
      }),
    ).catch((cause: unknown) => {
      throw new TrackerError(`needs WebRTC, which does not work here (${wordsOf(cause)})`, { cause });
    });
    return made.filter((offer) => offer !== undefined);
  }

  #message(text: string): void {
    const message = parse(text);
    if (message === undefined || message.info_hash !== this.#identity?.info_hash) return;
    const { peer_id: from, offer_id: id } = message;
    if (typeof from === 'string' && from === this.#identity?.peer_id) return;
    if (isId(from) && isId(id) && message.offer !== undefined) void this.#answer(from, id, message.offer);
    else if (isId(id) && message.answer !== undefined) void this.#answered(id, message.answer);
    else this.#replied(message);
  }

  #replied(message: Fields): void {
    const reason = message['failure reason'];
    if (typeof reason === 'string') {
      this.#reply.reject(new TrackerError(`refused: ${reason.slice(0, 200).replace(/\p{Cc}/gu, ' ')}`));
      return;
    }
    const seconds = (value: unknown): number | undefined =>
      typeof value === 'number' && value > 0 ? value : undefined;
    const interval = seconds(message.interval);
    const minInterval = seconds(message['min interval']);
    this.#reply.resolve({
      ...NOBODY,
      ...(interval === undefined ? {} : { interval }),
      ...(minInterval === undefined ? {} : { minInterval }),
    });
  }

  /** Where the tracker is; undefined when it has hung up. */
  async #whence(): Promise<Nearness | undefined> {
    const socket = await this.#socket?.catch(() => undefined);
    return socket && nearnessOf(socket.remoteAddress);
  }

  /** Somebody offers a connection. What comes of it, comes; nobody waits for it. */
  async #answer(to: string, id: string, offered: unknown): Promise<void> {
    const from = await this.#whence();
    const offer = from && admit(offered, 'offer', from);
    if (offer === undefined || this.#life.signal.aborted) return;
    const peer = await this.#options.peers.answer(offer).catch(() => undefined);
    const sdp = await peer?.description;
    const socket = sdp === undefined ? undefined : await this.#socket?.catch(() => undefined);
    if (socket === undefined || this.#life.signal.aborted) {
      peer?.end();
      return;
    }
    const answer = { type: 'answer', sdp };
    socket.send(JSON.stringify({ action: 'announce', ...this.#identity, to_peer_id: to, answer, offer_id: id }));
    peer?.answered();
  }

  async #answered(id: string, answered: unknown): Promise<void> {
    const from = await this.#whence();
    const peer = this.#offers.get(id);
    const answer = from && admit(answered, 'answer', from);
    if (peer === undefined || answer === undefined) return;
    this.#offers.delete(id);
    peer.accept(answer);
  }
}

function parse(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

/** Trackers of this kind write 20 bytes as a string of 20 characters. */
function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= LONGEST_ID;
}

function wordsOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
  }
  return error instanceof Error ? error.message : 'no reason given';
}
