/** Objects and words → payloads for the outbox: JSON without secrets, expiry in seconds, the properties each class of message has. */
import type { EventBody } from '../mqtt/events.js';
import type { Outbox } from '../mqtt/outbox.js';
import type { Picture } from '../mqtt/pictures.js';
import type { Properties } from '../mqtt/wire.js';
import { redactor } from '../redact.js';

/** A health document older than this is not to be trusted. */
const HEALTH_LIFE_S = 90;

export class Outlet {
  constructor(private readonly outbox: Pick<Outbox, 'state' | 'forget' | 'event' | 'transient' | 'restate'>) {}

  /** Retained until it is replaced, forgotten, or `expiresAt`; without `expiresAt` only when it is news. A string is published bare. */
  state(topic: string, body: object | string, { expiresAt }: { expiresAt?: Date } = {}): void {
    const expiryS = expiresAt && Math.max(0, (expiresAt.getTime() - Date.now()) / 1000);
    this.outbox.state(topic, typeof body === 'string' ? body : redactor.json(body), expiryS);
  }

  forget(topic: string): void {
    this.outbox.forget(topic);
  }

  /** The broker has `picture` before it hears of the event. */
  event(topic: string, body: EventBody, picture: Picture | null = null): void {
    this.outbox.event(topic, redactor.value(body), picture);
  }

  health(topic: string, body: object): void {
    this.outbox.transient(topic, redactor.json(body), { retain: true, expiryS: HEALTH_LIFE_S, contentType: 'application/json' });
  }

  /** Gone at once for whoever is not listening. */
  transient(topic: string, body: object | string | Buffer, properties: Properties = {}): boolean {
    return this.outbox.transient(topic, typeof body === 'string' || Buffer.isBuffer(body) ? body : redactor.json(body), properties);
  }

  /** Publishes a retained topic again. */
  restate(topic: string): void {
    this.outbox.restate(topic);
  }
}
