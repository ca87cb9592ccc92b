/** Objects and words → payloads for the outbox: JSON without secrets, expiry in seconds, the properties each class of message has. */
import type { EventBody } from '../../mqtt/events.js';
import type { Outbox } from '../../mqtt/outbox.js';
import type { Picture } from '../../mqtt/pictures.js';
import type { Properties } from '../../mqtt/wire.js';
import { redactor } from '../../redact.js';

/** A health document older than this is not to be trusted. */
const HEALTH_LIFE_S = 90;

/** Whoever hears, in this process, all that is published: also while the broker is away. Must not throw. */
export interface Listener {
  /** `json`: what is published, a bare word in quotes; null: there is nothing to know any more. */
  state(topic: string, json: string | null): void;
  /** What happens once. */
  event(topic: string, json: string): void;
}

const NOBODY: Listener = { state: () => {}, event: () => {} };

export class Outlet {
  constructor(
    private readonly outbox: Pick<Outbox, 'state' | 'forget' | 'event' | 'transient' | 'restate'>,
    private readonly listener: Listener = NOBODY,
  ) {}

  /** Retained until it is replaced, forgotten, or `expiresAt`; without `expiresAt` only when it is news. A string is published bare. */
  state(topic: string, body: object | string, { expiresAt }: { expiresAt?: Date } = {}): void {
    const expiryS = expiresAt && Math.max(0, (expiresAt.getTime() - Date.now()) / 1000);
    const text = typeof body === 'string' ? body : redactor.json(body);
    this.outbox.state(topic, text, expiryS);
    this.listener.state(topic, typeof body === 'string' ? JSON.stringify(body) : text);
  }

  forget(topic: string): void {
    this.outbox.forget(topic);
    this.listener.state(topic, null);
  }

  /** The broker has `picture` before it hears of the event. */
  event(topic: string, body: EventBody, picture: Picture | null = null): void {
    const shown = redactor.value(body);
    this.outbox.event(topic, shown, picture);
    this.listener.event(topic, JSON.stringify(shown));
  }

  health(topic: string, body: object): void {
    const text = redactor.json(body);
    this.outbox.transient(topic, text, { retain: true, expiryS: HEALTH_LIFE_S, contentType: 'application/json' });
    this.listener.state(topic, text);
  }

  /** True until it is said otherwise, and said again and again: gone at once for whoever is not listening. */
  passing(topic: string, word: string): void {
    this.outbox.transient(topic, word);
    this.listener.state(topic, JSON.stringify(word));
  }

  /** A picture, for whoever listens now. */
  picture(topic: string, jpeg: Buffer, properties: Properties): boolean {
    return this.outbox.transient(topic, jpeg, properties);
  }

  /** A line of the log; `published`: to the broker too. */
  log(topic: string, line: object, published: boolean): void {
    const text = redactor.json(line);
    if (published) this.outbox.transient(topic, text);
    this.listener.event(topic, text);
  }

  /** Publishes a retained topic again. */
  restate(topic: string): void {
    this.outbox.restate(topic);
  }
}
