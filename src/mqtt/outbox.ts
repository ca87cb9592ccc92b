/**
 * What waits for the broker, with limits. Nothing is handed to MQTT.js while there is no connection, and never more than a few unacknowledged
 * messages while there is one: MQTT.js keeps what it is given for ever.
 *
 * States (retained): the newest per topic, all of them again on every connection. Events: a ring, kept through outages while they are news.
 * Responses: sent at once or not at all. Transient messages (QoS 0): likewise, and only on a link that keeps up.
 */
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
}

/** The body of an event; `replayed` is filled in here. */
export type EventBody = { id: string; replayed: boolean } & Record<string, unknown>;

interface Waiting {
  message: Publish;
  suspicion: number;
}
interface Event {
  topic: string;
  body: EventBody;
  at: number; // monotonic ms
  /** The count of connections when it happened. */
  connection: number;
  suspicion: number;
}
type Sent =
  | { kind: 'state'; topic: string; state: State; at: number }
  | { kind: 'event'; event: Event; bytes: number; at: number }
  | { kind: 'response'; at: number };

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
/** It may have been the network after all: a state is tried again on the first connection after this. */
const FORGIVEN_MS = 600_000;
const REFUSED = `the broker broke the connection ${SUSPICIONS} times when it came`;

export class Outbox {
  private readonly states = new States(STATES);
  private readonly events = new Ring<Event>(RING, () => this.drop('overflow'));
  private readonly responses = new Ring<Waiting>(RESPONSES, () => this.drop(this.wire === undefined ? 'offline' : 'overflow'));
  private readonly inFlight = new Map<number, Sent>();
  private readonly topicsInFlight = new Set<string>();
  private readonly published = { qos0: 0, qos1: 0 };
  private readonly dropped: Record<DropReason, number> = { offline: 0, overflow: 0, expired: 0, too_large: 0, refused: 0, slow_link: 0 };
  private wire: Wire | undefined;
  private connections = 0;
  private statesFlow = false;
  private eventsFlow = false;
  private eventsFirst = false;
  private alone = false;
  private pumping = false;
  private nextId = 0;
  private lastAckAt = 0;
  private unsettled: Set<string> | undefined;
  private onSettled: (() => void) | undefined;
  private readonly idle = new Set<() => void>();

  constructor(private readonly options: OutboxOptions) {}

  /** A connection is there: responses may go out, since requests may already come in. */
  attach(wire: Wire): void {
    this.wire = wire;
    this.connections++;
    this.statesFlow = false;
    this.eventsFlow = false;
  }

  /** All states go out now; `onSettled` is called when the broker has them. */
  restore(onSettled: () => void): void {
    this.statesFlow = true;
    this.states.touchAll();
    this.states.forgive(performance.now() - FORGIVEN_MS, SUSPICIONS - 1);
    this.unsettled = new Set(this.states.dirty);
    this.onSettled = onSettled;
    this.pump();
  }

  /** Events may go out from now on. */
  release(): void {
    this.eventsFlow = true;
    this.pump();
  }

  /** The connection is gone: what it owed is dirty, waiting or lost again. */
  detach(): void {
    if (this.wire === undefined) return;
    this.wire = undefined;
    this.onSettled = undefined;
    this.unsettled = undefined;
    const now = performance.now();
    const events: { value: Event; bytes: number }[] = [];
    for (const sent of this.inFlight.values()) {
      const suspicious = now - sent.at < SUSPICIOUS_MS && this.lastAckAt <= sent.at;
      if (sent.kind === 'response') this.drop('offline');
      else if (sent.kind === 'state') this.returnState(sent, suspicious);
      else if (!this.convict(sent.event, sent.event.topic, suspicious)) {
        events.push({ value: sent.event, bytes: sent.bytes });
      }
    }
    this.inFlight.clear();
    this.topicsInFlight.clear();
    this.alone = false;
    this.events.putBack(events);
    this.responses.dropAll();
    this.wake();
  }

  /** Retained, QoS 1. After `expiryS` seconds it is published no more, and with MQTT 5 the broker drops it too. */
  state(topic: string, payload: Buffer, expiryS?: number): void {
    this.queued(topic, this.states.set(topic, payload, expiryS === undefined ? null : performance.now() + expiryS * 1000));
  }

  /** Takes a state back: the broker forgets it too, even if it came from an earlier process. */
  forget(topic: string): void {
    this.queued(topic, this.states.forget(topic));
  }

  /** Publishes every state once more. */
  restate(): void {
    this.states.touchAll();
    this.pump();
  }

  /** QoS 1, not retained. */
  event(topic: string, body: EventBody): void {
    const now = performance.now();
    this.expireEvents(now);
    this.events.push({ topic, body, at: now, connection: this.connections, suspicion: 0 }, JSON.stringify(body).length);
    this.pump();
  }

  /** QoS 0; false when it was dropped. */
  transient(topic: string, payload: Buffer, properties: Properties & { retain?: boolean } = {}): boolean {
    const { retain = false, ...rest } = properties;
    const message: Publish = { topic, payload, qos: 0, retain, ...rest };
    const { wire } = this;
    if (wire === undefined) return this.drop('offline');
    if (!this.fits(message)) return false;
    if (wire.backlogBytes > 2 * this.options.maxPacketBytes) return this.drop('slow_link');
    wire.publish(message, () => {
      this.published.qos0++;
    });
    return true;
  }

  /** QoS 1, never kept for a later connection. `too_large`: nothing was sent, the caller owes a smaller one. */
  respond(topic: string, payload: Buffer, { optional = false, ...properties }: ResponseProperties = {}): 'sent' | 'offline' | 'too_large' {
    const message: Publish = { topic, payload, qos: 1, retain: false, ...properties };
    if (optional && this.responses.size > OPTIONAL_RESPONSES) {
      this.drop('slow_link');
      return 'sent';
    }
    if (this.wire === undefined) {
      this.drop('offline');
      return 'offline';
    }
    if (!this.fits(message)) return 'too_large';
    this.responses.push({ message, suspicion: 0 }, payload.length);
    this.pump();
    return 'sent';
  }

  /** Resolves when nothing waits any more or there is no connection. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.idle.add(resolve);
      this.wake();
    });
  }

  stats(): OutboxStats {
    return {
      published: { ...this.published },
      dropped: { ...this.dropped },
      queued: this.states.dirty.size + this.events.size + this.responses.size + this.inFlight.size,
    };
  }

  private queued(topic: string, fits: boolean): void {
    if (fits) this.pump();
    else {
      this.drop('overflow');
      this.options.onRefused(topic, `more than ${STATES} retained topics`);
    }
  }

  private pump(): void {
    const { wire } = this;
    if (wire === undefined || this.pumping) return; // the one that pumps sees what a callback has added
    this.pumping = true;
    const window = Math.min(WINDOW, wire.receiveMaximum);
    try {
      while (this.wire === wire && this.inFlight.size < window && !this.alone && this.sendNext(wire));
    } finally {
      this.pumping = false;
    }
    this.wake();
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

  private sendState(wire: Wire): boolean {
    if (!this.statesFlow) return false;
    const now = performance.now();
    for (const topic of this.states.dirty) {
      if (this.topicsInFlight.has(topic)) continue; // newest wins: it goes out when the one before is acknowledged
      const state = this.states.get(topic) as State;
      const expired = state.expiresAt !== null && state.expiresAt <= now;
      // 3.1.1 brokers do not expire: there an empty payload takes the old one away.
      const payload = expired ? Buffer.alloc(0) : state.payload;
      const message: Publish = { topic, payload, qos: 1, retain: true };
      if (!expired && state.expiresAt !== null) message.expiryS = (state.expiresAt - now) / 1000;
      if (state.suspicion > 0 && state.suspicion < SUSPICIONS && this.inFlight.size > 0) return false;
      this.states.clean(topic); // before anybody is told: who hears of a refusal may publish about it
      if (expired) {
        this.drop('expired');
        this.states.drop(topic);
      }
      if (state.suspicion >= SUSPICIONS) this.options.onRefused(topic, REFUSED);
      if ((expired && wire.protocol === '5') || state.suspicion >= SUSPICIONS || !this.fits(message)) {
        this.settle(topic);
        continue;
      }
      this.topicsInFlight.add(topic);
      this.send(wire, message, { kind: 'state', topic, state, at: now }, state.suspicion > 0);
      return true;
    }
    return false;
  }

  private sendEvent(wire: Wire): boolean {
    if (!this.eventsFlow) return false;
    const now = performance.now();
    this.expireEvents(now);
    const event = this.events.peek();
    if (event === undefined) return false;
    if (event.suspicion > 0 && this.inFlight.size > 0) return false;
    this.events.shift();
    // It may have gone out over an earlier connection, or an outage held it up.
    const replayed = event.body.replayed || event.connection !== this.connections;
    const payload = Buffer.from(JSON.stringify({ ...event.body, replayed }));
    const message: Publish = {
      topic: event.topic,
      payload,
      qos: 1,
      retain: false,
      expiryS: (event.at + EVENT_LIFE_MS - now) / 1000,
      contentType: 'application/json',
    };
    if (this.fits(message)) this.send(wire, message, { kind: 'event', event, bytes: payload.length, at: now }, event.suspicion > 0);
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
      else {
        this.drop('refused');
        // Where responses go is the choice of whoever asked: no business of the operator.
        if (sent.kind !== 'response') this.options.onRefused(message.topic, refusal.message);
      }
      if (sent.kind === 'state') {
        this.topicsInFlight.delete(sent.topic);
        if (refusal === null) this.states.settled(sent.topic, sent.state);
        this.settle(sent.topic);
      }
      this.pump();
    });
  }

  private returnState({ topic, state }: Sent & { kind: 'state' }, suspicious: boolean): void {
    if (suspicious) state.suspectedAt = performance.now();
    if (this.states.get(topic) === state && this.convict(state, topic, suspicious)) this.states.clean(topic);
    else this.states.touch(topic);
  }

  /** True when the message has broken too many connections to be tried again. */
  private convict(suspect: { suspicion: number }, topic: string, suspicious: boolean): boolean {
    if (!suspicious) return false;
    suspect.suspicion++;
    if (suspect.suspicion < SUSPICIONS) return false;
    this.drop('refused');
    this.options.onRefused(topic, REFUSED);
    return true;
  }

  private settle(topic: string): void {
    if (this.unsettled === undefined) return;
    this.unsettled.delete(topic);
    if (this.unsettled.size === 0) this.wake();
  }

  private wake(): void {
    if (this.unsettled?.size === 0) {
      const { onSettled } = this;
      this.unsettled = undefined;
      this.onSettled = undefined;
      onSettled?.();
    }
    const waiting = this.responses.size + (this.statesFlow ? this.states.dirty.size : 0) + (this.eventsFlow ? this.events.size : 0);
    const busy = this.inFlight.size + waiting > 0;
    if (this.wire !== undefined && busy) return;
    for (const resolve of this.idle) resolve();
    this.idle.clear();
  }

  private expireEvents(now: number): void {
    for (let event = this.events.peek(); event !== undefined && event.at + EVENT_LIFE_MS <= now; event = this.events.peek()) {
      this.events.shift();
      this.drop('expired');
    }
  }

  private fits(message: Publish): boolean {
    const limit = Math.min(this.options.maxPacketBytes, this.wire?.maxPacketBytes ?? Number.POSITIVE_INFINITY);
    const bytes = packetBytes(message);
    if (bytes <= limit) return true;
    this.drop('too_large');
    this.options.onRefused(message.topic, `${bytes} bytes, at most ${limit} may be sent`);
    return false;
  }

  private drop(reason: DropReason): false {
    this.dropped[reason]++;
    return false;
  }
}
