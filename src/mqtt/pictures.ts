/**
 * The pictures that go out before the events that name them: what may wait, and why some never go. One is kept until the broker has its event, since
 * an event that is sent again is preceded by its picture again.
 */
import type { Publish } from './wire.js';

/** QoS 1, never retained. */
export interface Picture {
  topic: string;
  payload: Buffer;
  contentType: string;
  user: Record<string, string>;
}

/** `withdrawn`: it may not be shown any more. The others as for messages of any kind; `slow_link`: its event could not wait for it. */
export const PICTURE_DROPS = ['overflow', 'expired', 'too_large', 'refused', 'slow_link', 'withdrawn'] as const;
export type PictureDrop = (typeof PICTURE_DROPS)[number];

export interface PictureStats {
  published: number;
  /** Kept now, those included that the broker has while it lacks their event. */
  waiting: number;
  bytes: number;
  dropped: Record<PictureDrop, number>;
}

export interface Kept {
  readonly message: Publish;
  /** `there`: the broker has it, on this connection. `gone`: its event goes without it, or is over. */
  state: 'waiting' | 'under way' | 'there' | 'gone';
  /** How often a connection broke right after it. */
  suspicion: number;
  /** How often one broke later, and still without an answer. */
  breaks: number;
}

/** So few that the events of a burst are never held up long: those before the last ones go without. */
const LIMIT = { count: 64, bytes: 8 * 2 ** 20 };
/** One that was under way on so many connections that broke later is too much for this link. */
const BREAKS = 2;

export class Pictures {
  private readonly kept = new Set<Kept>(); // the oldest first
  private bytes = 0;
  private published = 0;
  private readonly dropped = Object.fromEntries(PICTURE_DROPS.map((reason) => [reason, 0])) as Record<PictureDrop, number>;

  /** `suspicions`: one that so many connections broke right after has broken them. */
  constructor(private readonly suspicions: number) {}

  /** The oldest that wait make room. */
  keep({ topic, payload, contentType, user }: Picture): Kept {
    const picture: Kept = { message: { topic, payload, contentType, user, qos: 1, retain: false }, state: 'waiting', suspicion: 0, breaks: 0 };
    this.kept.add(picture);
    this.bytes += payload.length;
    if (payload.length > LIMIT.bytes) this.drop(picture, 'overflow');
    for (const each of this.kept) {
      if (this.kept.size <= LIMIT.count && this.bytes <= LIMIT.bytes) break;
      if (each.state === 'waiting') this.drop(each, 'overflow');
    }
    return picture;
  }

  /** The broker has it. */
  arrived(picture: Kept): void {
    this.published++;
    if (picture.state === 'under way') picture.state = 'there';
  }

  /** The connection broke while it was under way. True when that is its fault, and then it is dropped. */
  lost(picture: Kept, suspicious: boolean): boolean {
    if (picture.state === 'gone') return false;
    if (suspicious) picture.suspicion++;
    else picture.breaks++;
    const guilty = picture.suspicion >= this.suspicions;
    if (guilty) this.drop(picture, 'refused');
    else if (picture.breaks >= BREAKS) this.drop(picture, 'slow_link');
    return guilty;
  }

  /** Its event goes without it, or not at all. */
  drop(picture: Kept | null, reason: PictureDrop): void {
    if (picture === null || picture.state === 'gone') return;
    if (picture.state !== 'there') this.dropped[reason]++;
    this.release(picture);
  }

  /** Nobody needs it any more. */
  release(picture: Kept | null): void {
    if (picture === null || !this.kept.delete(picture)) return;
    picture.state = 'gone';
    this.bytes -= picture.message.payload.length;
  }

  withdraw(isShown: (picture: Publish) => boolean): void {
    for (const picture of this.kept) if (!isShown(picture.message)) this.drop(picture, 'withdrawn');
  }

  /** On another connection each has to go out again. */
  rewind(): void {
    for (const picture of this.kept) picture.state = 'waiting';
  }

  stats(): PictureStats {
    return { published: this.published, waiting: this.kept.size, bytes: this.bytes, dropped: { ...this.dropped } };
  }
}
