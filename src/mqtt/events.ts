/**
 * Events that wait for the broker: a ring, kept through outages while they are news. One that names a picture goes out when the broker has that picture,
 * and without it where that would cost the event.
 */
import { type Kept, type Picture, type PictureStats, Pictures } from './pictures.js';
import { Ring } from './ring.js';
import { BARRED_MS, REFUSED, SUSPICIONS } from './suspicion.js';
import type { Publish } from './wire.js';

/** The body of an event; `replayed` is filled in here, and `picture` becomes null where the picture did not go out. */
export type EventBody = { id: string; replayed: boolean } & Record<string, unknown>;

export interface EventsOptions {
  /** An event does not go out. */
  onDropped: (reason: 'overflow' | 'expired' | 'refused' | 'too_large') => void;
  /** Something was too large, or broke connections: nothing that repeating would cure. */
  onRefused: (topic: string, reason: string) => void;
}

/** What is true of the connection now. */
export interface EventsLink {
  /** The count of connections. */
  connection: number;
  /** Nothing is unacknowledged. */
  isIdle: boolean;
  /** Messages wait that were sent. */
  isSlow: boolean;
  /** Too large to be sent, in words; null: it is not. */
  excess: (message: Publish) => string | null;
}

/** What is on its way: whoever sends it tells of arrived(), refused() or lost(). */
export type Parcel = { kind: 'event'; event: Event; bytes: number } | { kind: 'picture'; picture: Kept };

/** `alone`: nothing else may be unacknowledged with it. */
export interface Outgoing {
  message: Publish;
  parcel: Parcel;
  alone: boolean;
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

const RING = { count: 256, bytes: 4 * 2 ** 20 };
/** An older event is no news. */
const LIFE_MS = 60_000;
/** With more events than this none waits for its picture: they would be lost for it. */
const PATIENT_EVENTS = 128;

export class Events {
  private readonly pictures = new Pictures(SUSPICIONS);
  private readonly waiting = new Ring<Event>(RING, (event) => this.drop(event, 'overflow'));
  /** That were lost with the connection, in order. */
  private returned: { value: Event; bytes: number }[] = [];
  /** Topics of events that broke the connection, and when; monotonic ms. */
  private readonly barred = new Map<string, number>();

  constructor(private readonly options: EventsOptions) {}

  get size(): number {
    return this.waiting.size;
  }

  /** A connection has broken right after the one whose turn it is, or after its picture. */
  get isSuspect(): boolean {
    const event = this.waiting.peek();
    return (event?.suspicion ?? 0) > 0 || (event?.picture?.suspicion ?? 0) > 0;
  }

  push(topic: string, body: EventBody, picture: Picture | null, connection: number): void {
    const now = performance.now();
    this.expire(now);
    const kept = picture && this.pictures.keep(picture);
    this.waiting.push({ topic, body, at: now, connection, suspicion: 0, picture: kept }, JSON.stringify(body).length);
  }

  /** Pictures that wait and may not be shown any more do not go out. */
  withdrawPictures(isShown: (picture: Publish) => boolean): void {
    this.pictures.withdraw(isShown);
  }

  /** What goes out now. `again`: something was got out of the way; null: nothing can. */
  next(link: EventsLink): Outgoing | 'again' | null {
    const now = performance.now();
    this.expire(now);
    const event = this.waiting.peek();
    if (event === undefined) return null;
    const { picture } = event;
    if (picture?.state === 'under way') {
      if (this.waiting.size <= PATIENT_EVENTS) return null;
      this.pictures.drop(picture, 'slow_link');
    }
    if (picture?.state === 'waiting' && !this.isBarred(event.topic, now)) return this.nextPicture(event, picture, now, link);
    if (event.suspicion > 0 && !link.isIdle) return null;
    this.waiting.shift();
    if (this.isBarred(event.topic, now)) {
      this.drop(event, 'refused');
      return 'again';
    }
    // It may have gone out over an earlier connection, or an outage held it up.
    const replayed = event.body.replayed || event.connection !== link.connection;
    const payload = Buffer.from(JSON.stringify({ ...event.body, replayed, ...(picture?.state === 'gone' ? { picture: null } : {}) }));
    const message: Publish = { topic: event.topic, payload, qos: 1, retain: false, expiryS: lifeS(event, now), contentType: 'application/json' };
    const tooLarge = link.excess(message);
    if (tooLarge === null) return { message, parcel: { kind: 'event', event, bytes: payload.length }, alone: event.suspicion > 0 };
    this.options.onRefused(event.topic, tooLarge);
    this.options.onDropped('too_large');
    this.pictures.release(picture);
    return 'again';
  }

  /** The broker has it. */
  arrived(parcel: Parcel): void {
    if (parcel.kind === 'event') this.pictures.release(parcel.event.picture);
    else this.pictures.arrived(parcel.picture);
  }

  /** The broker does not take it. */
  refused(parcel: Parcel): void {
    if (parcel.kind === 'picture') {
      this.pictures.drop(parcel.picture, 'refused');
      return;
    }
    this.options.onDropped('refused');
    this.pictures.release(parcel.event.picture);
  }

  /** The connection broke before an answer; `suspicious`: right after it. */
  lost(parcel: Parcel, suspicious: boolean, now: number): void {
    if (parcel.kind === 'picture') {
      if (this.pictures.lost(parcel.picture, suspicious)) this.bar(parcel.picture.message.topic, now);
      return;
    }
    const { event, bytes } = parcel;
    if (suspicious) event.suspicion++;
    if (event.suspicion < SUSPICIONS) {
      this.returned.push({ value: event, bytes });
      return;
    }
    this.bar(event.topic, now);
    this.drop(event, 'refused');
  }

  /** All that was lost with the connection has been told: it waits for another one. */
  rewind(): void {
    this.pictures.rewind();
    this.waiting.putBack(this.returned);
    this.returned = [];
  }

  pictureStats(): PictureStats {
    return this.pictures.stats();
  }

  /** The picture of the event whose turn it is. */
  private nextPicture(event: Event, picture: Kept, now: number, { isIdle, isSlow, excess }: EventsLink): Outgoing | 'again' | null {
    if (picture.suspicion > 0 && !isIdle) return null;
    const message: Publish = { ...picture.message, expiryS: lifeS(event, now) };
    const tooLarge = excess(message);
    if (tooLarge !== null) {
      this.options.onRefused(message.topic, tooLarge);
      this.pictures.drop(picture, 'too_large');
    } else if (this.isBarred(message.topic, now)) this.pictures.drop(picture, 'refused');
    else if (isSlow) this.pictures.drop(picture, 'slow_link');
    else {
      picture.state = 'under way';
      return { message, parcel: { kind: 'picture', picture }, alone: picture.suspicion > 0 };
    }
    return 'again';
  }

  private expire(now: number): void {
    for (let event = this.waiting.peek(); event !== undefined && event.at + LIFE_MS <= now; event = this.waiting.peek()) {
      this.waiting.shift();
      this.drop(event, 'expired');
    }
  }

  private bar(topic: string, now: number): void {
    this.barred.set(topic, now);
    this.options.onRefused(topic, REFUSED);
  }

  private isBarred(topic: string, now: number): boolean {
    const since = this.barred.get(topic);
    if (since === undefined || now < since + BARRED_MS) return since !== undefined;
    this.barred.delete(topic);
    return false;
  }

  private drop({ picture }: Event, reason: 'overflow' | 'expired' | 'refused'): void {
    this.options.onDropped(reason);
    this.pictures.drop(picture, reason);
  }
}

/** Seconds in which it is still news. */
function lifeS({ at }: Event, now: number): number {
  return (at + LIFE_MS - now) / 1000;
}
