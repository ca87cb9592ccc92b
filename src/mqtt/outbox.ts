/**
 * What waits for the broker, with limits. Nothing is handed to MQTT.js while there is no connection, and never more than a few unacknowledged
 * messages while there is one: MQTT.js keeps what it is given for ever.
 *
 * States (retained): the newest per topic, all of them again on every connection. Events: a ring, kept through outages while they are news; one that
 * names a picture goes out when the broker has that picture, and without it where that would cost the event.
 * Responses: sent at once or not at all. Transient messages (QoS 0): likewise, and only on a link that keeps up.
 *
 * Whoever is told something (refusals, states settled, nothing left) may publish at once: it is told between two messages, never inside one.
 */
import { type Kept, type Picture, type PictureStats, Pictures } from './pictures.js';
import { Ring } from './ring.js';
import { type State, States } from './states.js';
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

/** The body of an event; `replayed` is filled in here, and `picture` becomes null where the picture did not go out. */
export type EventBody = { id: string; replayed: boolean } & Record<string, unknown>;

interface Waiting {
  message: Publish;
}
interface Event {
  topic: string;
  body: EventBody;
  at: number; // monotonic ms
  /** The count of connections when it happened. */
  connection: number;
  /** How often a connection broke right after it. */
  suspicion: number;
  /** Goes out before it. */
  picture: Kept | null;
}
type Sent = { at: number } & (
  | { kind: 'state'; state: State }
  | { kind: 'event'; event: Event; bytes: number }
  | { kind: 'picture'; picture: Kept }
  | { kind: 'response' }
);

const WINDOW = 16;
const STATES = 4096;
const RING = { count: 256, bytes: 4 * 2 ** 20 };
const RESPONSES = { count: 1024, bytes: 16 * 2 ** 20 };
/** More waiting responses than this leave no room for progress. */
const OPTIONAL_RESPONSES = 128;
/** An older event is no news. */
const EVENT_LIFE_MS = 60_000;
/** A connection that breaks this soon after a message may have broken because of it ... */
const SUSPICIOUS_MS = 2000;
/** ... and after so many times, sent alone, it certainly has. */
const SUSPICIONS = 3;
/** It may have been the network after all: its topic is tried again after this. */
const BARRED_MS = 600_000;
/** With more events than this none waits for its picture: they would be lost for it. */
const PATIENT_EVENTS = 128;
const REFUSED = `the broker broke the connection ${SUSPICIONS} times when it came`;

export class Outbox {
  private readonly states = new States({ count: STATES, suspicions: SUSPICIONS, barredMs: BARRED_MS });
  private readonly pictures = new Pictures(SUSPICIONS);
  private readonly events = new Ring<Event>(RING, (event) => this.dropEvent(event, 'overflow'));
  private readonly responses = new Ring<Waiting>(RESPONSES, () => this.drop(this.wire === undefined ? 'offline' : 'overflow'));
  /** Topics of events that broke the connection, and when; monotonic ms. */
  private readonly barred = new Map<string, number>();
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
    const events: { value: Event; bytes: number }[] = [];
    for (const sent of this.inFlight.values()) {
      const suspicious = now - sent.at < SUSPICIOUS_MS && this.lastAckAt <= sent.at;
      if (sent.kind === 'response') this.drop('offline');
      else if (sent.kind === 'state') {
        if (this.states.lost(sent.state, suspicious)) this.refuse('refused', sent.state.topic, REFUSED);
      } else if (sent.kind === 'picture') {
        if (this.pictures.lost(sent.picture, suspicious)) this.bar(sent.picture.message.topic, now);
      } else {
        if (suspicious) sent.event.suspicion++;
        if (sent.event.suspicion >= SUSPICIONS) {
          this.bar(sent.event.topic, now);
          this.dropEvent(sent.event, 'refused');
        } else events.push({ value: sent.event, bytes: sent.bytes });
      }
    }
    this.inFlight.clear();
    this.pictures.rewind();
    this.states.abandon();
    this.events.putBack(events);
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
    const now = performance.now();
    this.expireEvents(now);
    const kept = picture && this.pictures.keep(picture);
    this.events.push({ topic, body, at: now, connection: this.connections, suspicion: 0, picture: kept }, JSON.stringify(body).length);
    this.pump();
  }

  /** Pictures that wait and may not be shown any more do not go out. */
  withdrawPictures(isShown: (picture: Publish) => boolean): void {
    this.pictures.withdraw(isShown);
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
      pictures: this.pictures.stats(),
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
    const event = this.eventsFlow ? this.events.peek() : undefined;
    return !(this.statesFlow && this.states.suspects) && !((event?.suspicion ?? 0) > 0 || (event?.picture?.suspicion ?? 0) > 0);
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
    const now = performance.now();
    this.expireEvents(now);
    const event = this.events.peek();
    if (event === undefined) return false;
    const { picture } = event;
    if (picture?.state === 'under way') {
      if (this.events.size <= PATIENT_EVENTS) return false;
      this.pictures.drop(picture, 'slow_link');
    }
    if (picture?.state === 'waiting' && !this.isBarred(event.topic, now)) return this.sendPicture(wire, event, picture, now);
    if (event.suspicion > 0 && this.inFlight.size > 0) return false;
    this.events.shift();
    if (this.isBarred(event.topic, now)) {
      this.dropEvent(event, 'refused');
      return true;
    }
    // It may have gone out over an earlier connection, or an outage held it up.
    const replayed = event.body.replayed || event.connection !== this.connections;
    const payload = Buffer.from(JSON.stringify({ ...event.body, replayed, ...(picture?.state === 'gone' ? { picture: null } : {}) }));
    const message: Publish = {
      topic: event.topic,
      payload,
      qos: 1,
      retain: false,
      expiryS: lifeS(event, now),
      contentType: 'application/json',
    };
    if (this.fits(message)) this.send(wire, message, { kind: 'event', event, bytes: payload.length, at: now }, event.suspicion > 0);
    else this.pictures.release(picture);
    return true;
  }

  /** The picture of the event whose turn it is. Likewise. */
  private sendPicture(wire: Wire, event: Event, picture: Kept, now: number): boolean {
    if (picture.suspicion > 0 && this.inFlight.size > 0) return false;
    const message: Publish = { ...picture.message, expiryS: lifeS(event, now) };
    const tooLarge = this.excess(message);
    if (tooLarge !== null) {
      this.refusals.push([message.topic, tooLarge]);
      this.pictures.drop(picture, 'too_large');
    } else if (this.isBarred(message.topic, now)) this.pictures.drop(picture, 'refused');
    else if (this.isSlow(wire)) this.pictures.drop(picture, 'slow_link');
    else {
      picture.state = 'under way';
      this.send(wire, message, { kind: 'picture', picture, at: now }, picture.suspicion > 0);
    }
    return true;
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
      // Where responses go is the choice of whoever asked: no business of the operator.
      else if (sent.kind === 'response') this.drop('refused');
      else if (sent.kind === 'picture') this.refusals.push([message.topic, refusal.message]);
      else this.refuse('refused', message.topic, refusal.message);
      if (sent.kind === 'state') this.states[refusal === null ? 'acknowledged' : 'refused'](sent.state);
      else if (sent.kind === 'event') this.pictures.release(sent.event.picture);
      else if (sent.kind === 'picture') {
        if (refusal === null) this.pictures.arrived(sent.picture);
        else this.pictures.drop(sent.picture, 'refused');
      }
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

  private expireEvents(now: number): void {
    for (let event = this.events.peek(); event !== undefined && event.at + EVENT_LIFE_MS <= now; event = this.events.peek()) {
      this.events.shift();
      this.dropEvent(event, 'expired');
    }
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

  private bar(topic: string, now: number): void {
    this.barred.set(topic, now);
    this.refusals.push([topic, REFUSED]);
  }

  private isBarred(topic: string, now: number): boolean {
    const since = this.barred.get(topic);
    if (since === undefined || now < since + BARRED_MS) return since !== undefined;
    this.barred.delete(topic);
    return false;
  }

  private dropEvent({ picture }: Event, reason: 'overflow' | 'expired' | 'refused'): void {
    this.drop(reason);
    this.pictures.drop(picture, reason);
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

/** Seconds in which it is still news. */
function lifeS({ at }: Event, now: number): number {
  return (at + EVENT_LIFE_MS - now) / 1000;
}
