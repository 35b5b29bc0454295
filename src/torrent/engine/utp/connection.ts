/**
 * One uTP connection (BEP 29): a stream of bytes both ways over datagrams that get lost, come twice, and in any order.
 *
 * Invariants: `#flight` are the packets that were sent and not acknowledged in order, oldest first, without gaps, the last is `#seq - 1`;
 * `#flying` is the sum of the bytes of those that are neither `arrived` (acknowledged out of order) nor `lost`, `#lost` counts the lost.
 * `#early` are packets that came before their turn: all of them behind `#ack + 1`. After `closed` nothing is sent and no timer runs.
 */
import type { PeerAddress } from '../../protocol.ts';
import { clock } from '../clock.ts';
import type { Transport } from '../transport.ts';
import { Ledbat } from './ledbat.ts';
import { distance, elapsed, HEADER_BYTES, microseconds, type Packet, stamp, TYPE, writePacket } from './packet.ts';
import { Reorder } from './reorder.ts';
import { RoundTrip } from './round-trip.ts';

/** With its head and those of UDP and IPv6, this fits in what practically every line takes. */
const PAYLOAD = 1400 - HEADER_BYTES;
/** So many packets that came after one mean that it is lost. */
const LOST_AFTER = 3;
/** Without any answer, so many times in a row, the other side is gone. */
const MOST_TIMEOUTS = 6;
const UNCONFIRMED_MS = 5000;

export interface UtpWire {
  send(bytes: Buffer, to: PeerAddress): void;
  /** Nothing follows. */
  gone(connection: UtpConnection): void;
}

interface Flying {
  readonly seq: number;
  readonly bytes: Buffer;
  readonly length: number;
  sentAt: number;
  times: number;
  arrived: boolean;
  lost: boolean;
}

export class UtpConnection implements Transport {
  readonly remote: PeerAddress;
  readonly dialable = true;
  handler: Transport['handler'] = { received: () => {}, closed: () => {}, drained: () => {} };
  /** What the other side writes into its packets, and what we write into ours. */
  readonly receiveId: number;
  readonly sendId: number;
  readonly #wire: UtpWire;
  readonly #ledbat = new Ledbat(PAYLOAD);
  readonly #roundTrip = new RoundTrip();
  readonly #early = new Reorder();
  readonly #queue: Buffer[] = [];
  #queued = 0;
  readonly #flight: Flying[] = [];
  #flying = 0;
  #lost = 0;
  /** The next packet's number, and the last one that came in order. */
  #seq: number;
  #ack: number;
  /** What was on its way when the window was last halved. */
  #halvedAt: number;
  #peerWindow = 0;
  #delay = 0;
  /** What to call when our call is answered, and when it is sure that who called us gets what we send: its address may be another's. */
  #opened: (() => void) | undefined;
  #confirmed: (() => void) | undefined;
  #ackDue = false;
  #timer: NodeJS.Timeout | undefined;
  #deadline = 0;
  #timeouts = 0;
  #closed = false;

  private constructor(
    remote: PeerAddress,
    wire: UtpWire,
    ids: { receive: number; send: number },
    seq: number,
    ack: number,
  ) {
    this.remote = remote;
    this.#wire = wire;
    this.receiveId = ids.receive & 0xffff;
    this.sendId = ids.send & 0xffff;
    this.#seq = seq;
    this.#ack = ack;
    this.#halvedAt = seq;
  }

  /** @param id random. @param opened called once, if ever. */
  static call(remote: PeerAddress, wire: UtpWire, id: number, opened: () => void): UtpConnection {
    const connection = new UtpConnection(remote, wire, { receive: id, send: id + 1 }, 1, 0);
    connection.#opened = opened;
    connection.#launch(TYPE.syn, Buffer.alloc(0));
    return connection;
  }

  /** @param seq random. @param confirmed called once, if the other side shows within some seconds that it got our answer. */
  static answer(remote: PeerAddress, wire: UtpWire, syn: Packet, seq: number, confirmed: () => void): UtpConnection {
    const { connection: id } = syn;
    const connection = new UtpConnection(remote, wire, { receive: id + 1, send: id }, seq, syn.seq);
    connection.#peerWindow = syn.window;
    connection.#delay = elapsed(syn.sentAt, microseconds());
    connection.#confirmed = confirmed;
    connection.#timer = setTimeout(() => connection.#end(), UNCONFIRMED_MS);
    connection.#sendAck();
    return connection;
  }

  get backlog(): number {
    return this.#queued;
  }

  write(bytes: Buffer): void {
    if (this.#closed || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.#pump();
  }

  destroy(): void {
    if (this.#closed) return;
    if (this.#opened === undefined && this.#confirmed === undefined)
      this.#wire.send(this.#packet(TYPE.fin, this.#seq, Buffer.alloc(0)), this.remote);
    this.#end();
  }

  /** @param bytes the whole datagram. */
  receive(packet: Packet, bytes: Buffer): void {
    if (this.#closed) return;
    if (packet.type === TYPE.reset) {
      this.#end();
      return;
    }
    if (packet.type === TYPE.syn) {
      // Our answer was lost.
      if (this.#opened === undefined) this.#ackLater();
      return;
    }
    // It acknowledges what was not sent: not from the other side.
    if (distance((this.#seq - 1) & 0xffff, packet.ack) > 0) return;
    if (this.#opened !== undefined && !this.#answered(packet)) return;
    if (this.#confirmed !== undefined && !this.#confirm(packet)) return;
    clock.tick();
    this.#delay = elapsed(packet.sentAt, microseconds());
    this.#peerWindow = packet.window;
    this.#timeouts = 0;
    this.#acknowledged(packet);
    if (packet.type === TYPE.data || packet.type === TYPE.fin) this.#arrived(packet, bytes);
    this.#pump();
  }

  /** The first answer to our call. */
  #answered(packet: Packet): boolean {
    if (packet.type !== TYPE.state || packet.ack !== ((this.#seq - 1) & 0xffff)) return false;
    // What the answer is numbered with is the number of the first packet to follow.
    this.#ack = (packet.seq - 1) & 0xffff;
    const opened = this.#opened;
    this.#opened = undefined;
    // The other side sends nothing before it has seen this.
    this.#ackLater();
    opened?.();
    return !this.#closed;
  }

  /** Whether it knows the number that we made up. */
  #confirm(packet: Packet): boolean {
    if (packet.ack !== ((this.#seq - 1) & 0xffff)) return false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const confirmed = this.#confirmed;
    this.#confirmed = undefined;
    confirmed?.();
    return !this.#closed;
  }

  // What we send

  #packet(type: number, seq: number, payload: Buffer): Buffer {
    const bytes = writePacket(
      { ...this.#head(), type, seq, connection: this.#idFor(type), selective: undefined },
      payload.length,
    );
    payload.copy(bytes, HEADER_BYTES);
    return bytes;
  }

  #head(): { sentAt: number; delay: number; window: number; ack: number } {
    return { sentAt: microseconds(), delay: this.#delay, window: this.#early.room, ack: this.#ack };
  }

  /** A call carries the number that its answers will carry. */
  #idFor(type: number): number {
    return type === TYPE.syn ? this.receiveId : this.sendId;
  }

  #launch(type: number, payload: Buffer): void {
    const bytes = this.#packet(type, this.#seq, payload);
    const { length } = payload;
    this.#flight.push({ seq: this.#seq, bytes, length, sentAt: clock.tick(), times: 1, arrived: false, lost: false });
    this.#flying += length;
    this.#seq = (this.#seq + 1) & 0xffff;
    this.#wire.send(bytes, this.remote);
    this.#arm();
  }

  #again(flying: Flying): void {
    flying.lost = false;
    flying.times += 1;
    flying.sentAt = clock.now;
    this.#lost -= 1;
    this.#flying += flying.length;
    stamp(flying.bytes, this.#head());
    this.#wire.send(flying.bytes, this.remote);
    this.#arm();
  }

  #fits(length: number): boolean {
    return this.#flying === 0 || this.#flying + length <= Math.min(this.#ledbat.window, this.#peerWindow);
  }

  /** Sends what may be sent: what was lost, then what waits. */
  #pump(): void {
    if (this.#closed || this.#opened !== undefined) return;
    for (const flying of this.#lost > 0 ? this.#flight : []) {
      if (!flying.lost) continue;
      if (!this.#fits(flying.length)) return;
      this.#again(flying);
    }
    const waited = this.#queued > 0;
    // Half the numbers there are is more than can be told apart.
    while (this.#queued > 0 && this.#fits(Math.min(PAYLOAD, this.#queued)) && this.#flight.length < 0x4000)
      this.#launch(TYPE.data, this.#take(Math.min(PAYLOAD, this.#queued)));
    if (waited && this.#queued === 0) queueMicrotask(() => this.#closed || this.handler.drained());
  }

  #take(length: number): Buffer {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const first = this.#queue[0]!;
      const part = first.subarray(0, left);
      if (part.length === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(part.length);
      parts.push(part);
      left -= part.length;
    }
    this.#queued -= length;
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts, length);
  }

  // What arrived of it

  #acknowledged(packet: Packet): void {
    const full = this.#flying + 2 * PAYLOAD > this.#ledbat.window;
    let bytes = 0;
    for (
      let first = this.#flight[0];
      first !== undefined && distance(first.seq, packet.ack) >= 0;
      first = this.#flight[0]
    ) {
      bytes += this.#landed(first);
      this.#flight.shift();
    }
    if (packet.selective !== undefined) bytes += this.#landedEarly(packet.ack, packet.selective);
    if (bytes > 0) {
      if (packet.delay !== 0) this.#ledbat.acknowledged(bytes, packet.delay, full, clock.now);
      this.#deadline = clock.now + this.#roundTrip.timeout;
    }
    if (packet.selective !== undefined) this.#findLost();
  }

  /** @returns bytes that are known to be there by this for the first time. */
  #landed(flying: Flying): number {
    if (flying.arrived) return 0;
    flying.arrived = true;
    if (flying.lost) {
      flying.lost = false;
      this.#lost -= 1;
    } else this.#flying -= flying.length;
    if (flying.times === 1) this.#roundTrip.sample(clock.now - flying.sentAt);
    return flying.length;
  }

  #landedEarly(ack: number, selective: Uint8Array): number {
    const first = this.#flight[0];
    if (first === undefined) return 0;
    let bytes = 0;
    for (let bit = 0; bit < selective.length * 8; bit += 1) {
      if ((selective[bit >> 3]! & (1 << (bit & 7))) === 0) continue;
      const flying = this.#flight[distance(first.seq, (ack + 2 + bit) & 0xffff)];
      if (flying !== undefined) bytes += this.#landed(flying);
    }
    return bytes;
  }

  #findLost(): void {
    let later = 0;
    for (let at = this.#flight.length - 1; at >= 0; at -= 1) {
      const flying = this.#flight[at]!;
      if (flying.arrived) later += 1;
      else if (later >= LOST_AFTER && !flying.lost && this.#isOverdue(flying)) {
        this.#lose(flying);
        if (distance(this.#halvedAt, flying.seq) < 0) continue;
        this.#halvedAt = this.#seq;
        this.#ledbat.lost();
      }
    }
  }

  /** What was sent a second time gets the time of a round trip before it counts as lost again. */
  #isOverdue(flying: Flying): boolean {
    return flying.times === 1 || clock.now - flying.sentAt > this.#roundTrip.smoothed * 1.2 + 10;
  }

  #lose(flying: Flying): void {
    flying.lost = true;
    this.#lost += 1;
    this.#flying -= flying.length;
  }

  // What comes

  #arrived(packet: Packet, bytes: Buffer): void {
    this.#ackLater();
    const ahead = distance(this.#ack, packet.seq);
    if (ahead <= 0) return;
    const isLast = packet.type === TYPE.fin;
    if (ahead > 1) this.#early.keep(packet.seq, ahead, { bytes, from: packet.payload, isLast });
    else {
      this.#deliver(packet.seq, { bytes, from: packet.payload, isLast });
      for (let next = this.#next(); next !== undefined; next = this.#next())
        this.#deliver((this.#ack + 1) & 0xffff, next);
    }
  }

  #next(): ReturnType<Reorder['take']> {
    return this.#closed ? undefined : this.#early.take((this.#ack + 1) & 0xffff);
  }

  #deliver(seq: number, { bytes, from, isLast }: { bytes: Buffer; from: number; isLast: boolean }): void {
    this.#ack = seq;
    if (isLast) {
      this.#sendAck();
      this.#end();
    } else if (from < bytes.length) this.handler.received(bytes, from, bytes.length);
  }

  /** One acknowledgement for all that comes in one turn of the loop. */
  #ackLater(): void {
    if (this.#ackDue) return;
    this.#ackDue = true;
    setImmediate(() => {
      if (this.#ackDue && !this.#closed) this.#sendAck();
    });
  }

  #sendAck(): void {
    this.#ackDue = false;
    const selective = this.#early.bits(this.#ack);
    const head = { ...this.#head(), type: TYPE.state, seq: this.#seq, connection: this.sendId, selective };
    this.#wire.send(writePacket(head, 0), this.remote);
  }

  // Time

  #arm(): void {
    this.#deadline = clock.now + this.#roundTrip.timeout;
    this.#timer ??= setTimeout(() => this.#late(), this.#roundTrip.timeout);
  }

  #late(): void {
    this.#timer = undefined;
    if (this.#closed || this.#flight.length === 0) return;
    const left = this.#deadline - clock.tick();
    if (left > 1) {
      this.#timer = setTimeout(() => this.#late(), left);
      return;
    }
    this.#timeouts += 1;
    if (this.#timeouts > MOST_TIMEOUTS) {
      this.#end();
      return;
    }
    this.#roundTrip.backOff();
    this.#ledbat.silent();
    for (const flying of this.#flight) if (!flying.arrived && !flying.lost) this.#lose(flying);
    this.#halvedAt = this.#seq;
    const first = this.#flight.find(({ lost }) => lost);
    if (first !== undefined) this.#again(first);
    this.#pump();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.#queued = 0;
    this.#flight.length = 0;
    this.#early.clear();
    this.#wire.gone(this);
    queueMicrotask(() => this.handler.closed());
  }
}
