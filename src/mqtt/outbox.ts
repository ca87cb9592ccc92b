/**
 * What waits for the broker, with limits. Nothing is handed to MQTT.js while there is no connection, and never more than a few unacknowledged
 * messages while there is one: MQTT.js keeps what it is given for ever.
 *
 * States (retained): the newest per topic, all of them again on every connection. Events wait through outages, see events.ts.
 * Responses: sent at once or not at all. Transient messages (QoS 0): likewise, and only on a link that keeps up.
 *
 * Whoever is told something (refusals, states settled, nothing left) may publish at once: it is told between two messages, never inside one.
 */
import { type EventBody, Events, type Parcel } from './events.js';
import type { Picture, PictureStats } from './pictures.js';
import { Ring } from './ring.js';
import { type State, States } from './states.js';
import { BARRED_MS, REFUSED, SUSPICIONS, SUSPICIOUS_MS } from './suspicion.js';
import { type Properties, type Publish, packetBytes, type ResponseProperties, type Wire } from './wire.js';

export interface OutboxOptions {
  /** Larger packets are not sent, whatever the broker takes. */
  maxPacketBytes: number;
  /** A message was too large, or the broker refused it: nothing that repeating would cure. */
  onRefused: (topic: string, reason: string) => void;
}

export type DropReason =
  | 'offline' // a response or transient message without a connection
  | 'overflow' // the oldest of too many events, responses or states
  | 'expired' // an event or state that is no news any more
  | 'too_large'
  | 'refused' // by the broker
  | 'slow_link'; // a transient message that would only have waited

export interface OutboxStats {
  published: { qos0: number; qos1: number };
  dropped: Record<DropReason, number>;
  /** Messages that wait or are unacknowledged. */
  queued: number;
  /** Not among the dropped above. */
  pictures: PictureStats;
}

interface Waiting {
  message: Publish;
}
type Sent = { at: number } & ({ kind: 'state'; state: State } | { kind: 'response' } | Parcel);

const WINDOW = 16;
const STATES = 4096;
const RESPONSES = { count: 1024, bytes: 16 * 2 ** 20 };
/** More waiting responses than this leave no room for progress. */
const OPTIONAL_RESPONSES = 128;

export class Outbox {
  private readonly states = new States({ count: STATES, suspicions: SUSPICIONS, barredMs: BARRED_MS });
  private readonly events = new Events({ onDropped: (reason) => this.drop(reason), onRefused: (...refusal) => this.refusals.push(refusal) });
  private readonly responses = new Ring<Waiting>(RESPONSES, () => this.drop(this.wire === undefined ? 'offline' : 'overflow'));
  private readonly inFlight = new Map<number, Sent>();
  private readonly published = { qos0: 0, qos1: 0 };
  private readonly dropped: Record<DropReason, number> = { offline: 0, overflow: 0, expired: 0, too_large: 0, refused: 0, slow_link: 0 };
  private wire: Wire | undefined;
  private brokerBytes = Number.POSITIVE_INFINITY; // largest packet, as the broker said last
  private connections = 0;
  private statesFlow = false;
  private eventsFlow = false;
  private eventsFirst = false;
  /** A suspect is in flight: nothing else may be, or the next broken connection would prove nothing. */
  private alone = false;
  private pumping = false;
  private again = false;
  private nextId = 0;
  private lastAckAt = 0;
  private onSettled: (() => void) | undefined;
  private readonly refusals: [topic: string, reason: string][] = []; // to be told
  private readonly idle = new Set<() => void>();

  constructor(private readonly options: OutboxOptions) {}

  /** A connection is there: responses may go out, since requests may already come in. */
  attach(wire: Wire): void {
    this.wire = wire;
    this.brokerBytes = wire.maxPacketBytes;
    this.connections++;
    this.statesFlow = false;
    this.eventsFlow = false;
  }

  /** All states go out now; `onSettled` is called when the broker has them. */
  restore(onSettled: () => void): void {
    this.statesFlow = true;
    for (const topic of this.states.restore()) this.refusals.push([topic, REFUSED]);
    this.onSettled = onSettled;
    this.pump();
  }

  /** Events may go out from now on. */
  release(): void {
    this.eventsFlow = true;
    this.pump();
  }

  /** The connection is gone: what it owed is due, waiting or lost again. */
  detach(): void {
    if (this.wire === undefined) return;
    this.wire = undefined;
    this.onSettled = undefined;
    this.alone = false;
    const now = performance.now();
    for (const sent of this.inFlight.values()) {
      const suspicious = now - sent.at < SUSPICIOUS_MS && this.lastAckAt <= sent.at;
      if (sent.kind === 'response') this.drop('offline');
      else if (sent.kind === 'state') {
        if (this.states.lost(sent.state, suspicious)) this.refuse('refused', sent.state.topic, REFUSED);
      } else this.events.lost(sent, suspicious, now);
    }
    this.inFlight.clear();
    this.states.abandon();
    this.events.rewind();
    this.responses.dropAll();
    this.pump();
  }

  /**
   * Retained, QoS 1. After `expiryS` seconds it is published no more, and with MQTT 5 the broker drops it too. Without an expiry, what the broker
   * has already is not sent again.
   */
  state(topic: string, payload: string | Buffer, expiryS?: number): void {
    this.take(topic, this.states.set(topic, Buffer.from(payload), expiryS === undefined ? null : performance.now() + expiryS * 1000));
  }

  /** Takes a state back: the broker forgets it too, even if it came from an earlier process. */
  forget(topic: string): void {
    this.take(topic, this.states.forget(topic));
  }

  /** Publishes a state once more, or every one. */
  restate(topic?: string): void {
    this.states.restate(topic);
    this.pump();
  }

  /** QoS 1, not retained. The broker has the picture before the event is sent; see EventBody. */
  event(topic: string, body: EventBody, picture: Picture | null = null): void {
    this.events.push(topic, body, picture, this.connections);
    this.pump();
  }

  /** Pictures that wait and may not be shown any more do not go out. */
  withdrawPictures(isShown: (picture: Publish) => boolean): void {
    this.events.withdrawPictures(isShown);
    this.pump();
  }

  /** Larger packets are not sent now; bytes, see packetBytes(). */
  get packetLimit(): number {
    return Math.min(this.options.maxPacketBytes, this.brokerBytes);
  }

  /** QoS 0; false when it was dropped. */
  transient(topic: string, payload: string | Buffer, properties: Properties & { retain?: boolean } = {}): boolean {
    const { retain = false, ...rest } = properties;
    const message: Publish = { topic, payload: Buffer.from(payload), qos: 0, retain, ...rest };
    const { wire } = this;
    if (wire === undefined) return this.drop('offline');
    if (!this.fits(message)) {
      this.pump();
      return false;
    }
    if (this.isSlow(wire)) return this.drop('slow_link');
    wire.publish(message, () => {
      this.published.qos0++;
    });
    return true;
  }

  /** QoS 1, never kept for a later connection. `too_large`: nothing was sent, the caller owes a smaller one. */
  respond(topic: string, payload: string | Buffer, { optional = false, ...properties }: ResponseProperties = {}): 'sent' | 'offline' | 'too_large' {
    const message: Publish = { topic, payload: Buffer.from(payload), qos: 1, retain: false, ...properties };
    if (optional && this.responses.size > OPTIONAL_RESPONSES) {
      this.drop('slow_link');
      return 'sent';
    }
    if (this.wire === undefined) {
      this.drop('offline');
      return 'offline';
    }
    const fits = this.fits(message);
    if (fits) this.responses.push({ message }, message.payload.length);
    this.pump();
    return fits ? 'sent' : 'too_large';
  }

  /** Resolves when nothing waits any more or there is no connection. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.idle.add(resolve);
      this.pump();
    });
  }

  stats(): OutboxStats {
    return {
      published: { ...this.published },
      dropped: { ...this.dropped },
      queued: this.states.due + this.events.size + this.responses.size + this.inFlight.size,
      pictures: this.events.pictureStats(),
    };
  }

  private take(topic: string, taken: ReturnType<States['set']>): void {
    if (taken === 'barred') this.drop('refused'); // the operator knows
    if (taken === 'full') this.refuse('overflow', topic, `more than ${STATES} retained topics`);
    this.pump();
  }

  /** Sends what may be sent and tells what there is to tell, until there is neither. What is called from inside only asks for another round. */
  private pump(): void {
    this.again = true;
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.again) {
        this.again = false;
        while (this.wire !== undefined && this.hasRoom(this.wire) && this.sendNext(this.wire));
        this.tell();
      }
    } finally {
      this.pumping = false;
    }
  }

  private hasRoom({ receiveMaximum }: Wire): boolean {
    if (this.inFlight.size === 0) return true;
    if (this.alone || this.inFlight.size >= Math.min(WINDOW, receiveMaximum)) return false;
    // A suspect is sent alone; what comes before it must not keep it waiting for ever.
    return !(this.statesFlow && this.states.suspects) && !(this.eventsFlow && this.events.isSuspect);
  }

  /** Responses first, states and events by turns. False when there is nothing to send now. */
  private sendNext(wire: Wire): boolean {
    const response = this.responses.shift();
    if (response !== undefined) {
      this.send(wire, response.message, { kind: 'response', at: performance.now() }, false);
      return true;
    }
    this.eventsFirst = !this.eventsFirst;
    return this.eventsFirst ? this.sendEvent(wire) || this.sendState(wire) : this.sendState(wire) || this.sendEvent(wire);
  }

  /** True when it sent one, or got one out of the way. */
  private sendState(wire: Wire): boolean {
    const state = this.statesFlow ? this.states.next() : undefined;
    if (state === undefined) return false;
    const now = performance.now();
    if (state.expiresAt !== null && state.expiresAt <= now) {
      this.drop('expired');
      this.states.expire(state, wire.protocol === '3.1.1'); // those brokers do not expire
      return true;
    }
    if (state.suspicion > 0 && this.inFlight.size > 0) return false;
    const message: Publish = { topic: state.topic, payload: state.payload, qos: 1, retain: true };
    let lifeMs = Number.POSITIVE_INFINITY;
    if (state.expiresAt !== null) {
      message.expiryS = (state.expiresAt - now) / 1000;
      if (wire.protocol === '5') lifeMs = Math.ceil(message.expiryS) * 1000;
    }
    if (!this.fits(message)) {
      this.states.refused(state);
      return true;
    }
    this.states.sent(state, lifeMs);
    this.send(wire, message, { kind: 'state', state, at: now }, state.suspicion > 0);
    return true;
  }

  /** Likewise. */
  private sendEvent(wire: Wire): boolean {
    if (!this.eventsFlow) return false;
    const { connections: connection, inFlight } = this;
    const next = this.events.next({ connection, isIdle: inFlight.size === 0, isSlow: this.isSlow(wire), excess: (message) => this.excess(message) });
    if (next !== null && next !== 'again') this.send(wire, next.message, { ...next.parcel, at: performance.now() }, next.alone);
    return next !== null;
  }

  private send(wire: Wire, message: Publish, sent: Sent, alone: boolean): void {
    const id = this.nextId++;
    this.inFlight.set(id, sent);
    this.alone = alone;
    wire.publish(message, (refusal) => {
      if (this.wire !== wire || !this.inFlight.delete(id)) return;
      this.lastAckAt = performance.now();
      this.alone = false;
      if (refusal === null) this.published.qos1++;
      else {
        // Where responses go is the choice of whoever asked: no business of the operator.
        if (sent.kind !== 'response') this.refusals.push([message.topic, refusal.message]);
        if (sent.kind === 'response' || sent.kind === 'state') this.drop('refused'); // the others count themselves
      }
      if (sent.kind === 'state') this.states[refusal === null ? 'acknowledged' : 'refused'](sent.state);
      else if (sent.kind !== 'response') this.events[refusal === null ? 'arrived' : 'refused'](sent);
      this.pump();
    });
  }

  private tell(): void {
    for (let refusal = this.refusals.shift(); refusal !== undefined; refusal = this.refusals.shift()) this.options.onRefused(...refusal);
    if (this.onSettled !== undefined && !this.states.awaited) {
      const { onSettled } = this;
      this.onSettled = undefined;
      onSettled();
    }
    const waiting = () => this.responses.size + (this.statesFlow ? this.states.due : 0) + (this.eventsFlow ? this.events.size : 0);
    if (this.again || this.idle.size === 0 || (this.wire !== undefined && this.inFlight.size + waiting() > 0)) return;
    for (const resolve of this.idle) resolve();
    this.idle.clear();
  }

  private fits(message: Publish): boolean {
    const tooLarge = this.excess(message);
    return tooLarge === null || this.refuse('too_large', message.topic, tooLarge);
  }

  /** In words; null when it is small enough. */
  private excess(message: Publish): string | null {
    const bytes = packetBytes(message);
    return bytes <= this.packetLimit ? null : `${bytes} bytes, at most ${this.packetLimit} may be sent`;
  }

  /** Messages wait that were sent. */
  private isSlow({ backlogBytes }: Wire): boolean {
    return backlogBytes > 2 * this.options.maxPacketBytes;
  }

  private refuse(reason: DropReason, topic: string, text: string): false {
    this.refusals.push([topic, text]);
    return this.drop(reason);
  }

  private drop(reason: DropReason): false {
    this.dropped[reason]++;
    return false;
  }
}
