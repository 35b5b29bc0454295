/**
 * One WebRTC connection to a peer: descriptions, then a data channel whose bytes the engine gets through a message port, as
 * `stream` in protocol.ts says.
 *
 * Invariant: the native connection is open from construction to `end`, which happens once: when the channel or the port closes, when
 * the connection fails, or when it is not open in time. The port's other side is the engine's from `opened` on.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { DataChannel, PeerConnection, RtcConfig } from 'node-datachannel';
import type { PeerAddress } from '../protocol.ts';
import type { Description } from './description.ts';
import type { Rtc } from './native.ts';

export interface RtcPeerOptions {
  /** `host:port` of STUN servers (RFC 8489), which tell us our public address. */
  readonly stun: readonly string[];
  /** Where its sockets are bound; undefined: anywhere. */
  readonly host: string | undefined;
  readonly opened: (port: MessagePort, remote: PeerAddress) => void;
  readonly ended: () => void;
}

/** A STUN server that doesn't answer is not waited for longer. */
const GATHER_MS = 2_000;
/** Trackers pass an offer on at once, or never. */
const ANSWER_MS = 50_000;
const CONNECT_MS = 20_000;
/** What an answer needs to be passed on. */
const CALL_MS = 500;
/** What others send is refused when it is longer; ours is never longer than all can take. */
const LARGEST_MESSAGE = 256 * 1024;
const OWN_MESSAGE = 64 * 1024;
/** Bytes on their way in the native part: above, the engine is told to wait; below `LOW` it may go on. */
const HIGH = 512 * 1024;
const LOW = 128 * 1024;

export class RtcPeer {
  readonly #options: RtcPeerOptions;
  readonly #connection: PeerConnection;
  readonly #gathered = Promise.withResolvers<string | undefined>();
  readonly #port: MessagePort;
  /** The engine's side. */
  readonly #far: MessagePort;
  #channel: DataChannel | undefined;
  #timer: NodeJS.Timeout | undefined;
  #gatherTimer: NodeJS.Timeout;
  #callTimer: NodeJS.Timeout | undefined;
  /** Candidates of an offer, and the part of it that they belong to. */
  #addresses: readonly string[] = [];
  #mid = '';
  #isOpen = false;
  #hasEnded = false;
  /** Bytes that the engine has not been told to have left. */
  #owed = 0;

  /** Offers a connection. @throws Error of the native part. */
  static offering(rtc: Rtc, options: RtcPeerOptions): RtcPeer {
    const peer = new RtcPeer(rtc, options, ANSWER_MS);
    peer.#use(peer.#connection.createDataChannel('raffi'));
    return peer;
  }

  /** Answers an offer. @throws Error of the native part, which does not like it. */
  static answering(rtc: Rtc, offer: Description, options: RtcPeerOptions): RtcPeer {
    const peer = new RtcPeer(rtc, options, CONNECT_MS);
    peer.#connection.onDataChannel((channel) => peer.#use(channel));
    const lines = offer.sdp.split('\r\n');
    const isAddress = (line: string): boolean => /^a=(?:candidate:|end-of-candidates)/i.test(line);
    peer.#addresses = lines.filter((line) => /^a=candidate:/i.test(line));
    peer.#mid = lines.find((line) => line.startsWith('a=mid:'))?.slice('a=mid:'.length) ?? '0';
    peer.#describe({ type: 'offer', sdp: lines.filter((line) => !isAddress(line)).join('\r\n') });
    return peer;
  }

  private constructor(rtc: Rtc, options: RtcPeerOptions, patience: number) {
    this.#options = options;
    const iceServers = options.stun.map((server) => `stun:${server}`);
    const config: RtcConfig = { iceServers, maxMessageSize: LARGEST_MESSAGE };
    if (options.host !== undefined) config.bindAddress = options.host;
    this.#connection = new rtc.PeerConnection('raffi', config);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#far = port2;
    port1.on('message', (message: unknown) => {
      if (message instanceof Uint8Array) this.#send(message);
      else this.end();
    });
    port1.on('close', () => this.end());
    this.#connection.onGatheringStateChange((state) => {
      if (state === 'complete') this.#tellGathered();
    });
    this.#connection.onStateChange((state) => {
      if (state === 'failed' || state === 'closed') this.end();
    });
    this.#gatherTimer = setTimeout(() => this.#tellGathered(), GATHER_MS);
    this.#timer = setTimeout(() => this.end(), patience);
  }

  /** Our description, with the addresses we know of; undefined when the connection has ended before. */
  get description(): Promise<string | undefined> {
    return this.#gathered.promise;
  }

  /**
   * Our answer is on its way. The other side is called only when it should have it: libdatachannel fails now and then when somebody
   * whom it has no description of calls before.
   */
  answered(): void {
    if (this.#hasEnded || this.#isOpen) return;
    this.#callTimer = setTimeout(() => {
      try {
        for (const address of this.#addresses) this.#connection.addRemoteCandidate(address, this.#mid);
      } catch {
        this.end();
      }
    }, CALL_MS);
  }

  /** The answer to our offer. */
  accept(answer: Description): void {
    if (this.#hasEnded || this.#isOpen) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(), CONNECT_MS);
    try {
      this.#describe(answer);
    } catch {
      this.end();
    }
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#gatherTimer);
    clearTimeout(this.#callTimer);
    this.#gathered.resolve(undefined);
    this.#port.close();
    // Both, and `onClosed` must be set: else the native part never lets go of a channel that was not open, and the process lives on.
    this.#channel?.close();
    this.#connection.close();
    this.#options.ended();
  }

  #describe({ type, sdp }: Description): void {
    try {
      this.#connection.setRemoteDescription(sdp, type as Parameters<PeerConnection['setRemoteDescription']>[1]);
    } catch (error) {
      this.end();
      throw error;
    }
  }

  #tellGathered(): void {
    clearTimeout(this.#gatherTimer);
    if (!this.#hasEnded) this.#gathered.resolve(this.#connection.localDescription()?.sdp);
  }

  #use(channel: DataChannel): void {
    // Peers have one channel; more of them would be a way past the limits.
    if (this.#hasEnded || this.#channel !== undefined) {
      channel.onClosed(() => {});
      channel.close();
      return;
    }
    this.#channel = channel;
    channel.setBufferedAmountLowThreshold(LOW);
    channel.onBufferedAmountLow(() => this.#settle());
    channel.onClosed(() => this.end());
    channel.onError(() => this.end());
    channel.onMessage((message) => {
      if (typeof message === 'string') this.end();
      else if (!this.#hasEnded) this.#port.postMessage(new Uint8Array(message));
    });
    channel.onOpen(() => this.#open());
    if (channel.isOpen()) this.#open();
  }

  #open(): void {
    if (this.#isOpen || this.#hasEnded) return;
    const remote = this.#connection.getSelectedCandidatePair()?.remote;
    if (remote === undefined) {
      this.end();
      return;
    }
    this.#isOpen = true;
    clearTimeout(this.#timer);
    this.#options.opened(this.#far, { host: remote.address, port: remote.port });
  }

  #send(bytes: Uint8Array): void {
    const channel = this.#channel;
    if (channel === undefined || this.#hasEnded) return;
    try {
      const most = Math.min(OWN_MESSAGE, channel.maxMessageSize());
      for (let at = 0; at < bytes.length; at += most) channel.sendMessageBinary(bytes.subarray(at, at + most));
      this.#owed += bytes.length;
      if (channel.bufferedAmount() <= HIGH) this.#settle();
    } catch {
      this.end();
    }
  }

  #settle(): void {
    if (this.#owed > 0 && !this.#hasEnded) this.#port.postMessage(this.#owed);
    this.#owed = 0;
  }
}
