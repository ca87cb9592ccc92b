/**
 * The pictures of events. An event waits until the JPEG of its very frame is made, at most a second, and names it; one that comes to nothing is told
 * with `picture` null. Events of a watch keep their order.
 */
import { createHash } from 'node:crypto';
import type { Crop, Frame } from '../../camera/frame.js';
import { type EventPicture, SCHEMA_VERSION, type WatchEvent } from '../../mqtt/messages.js';
import type { Picture } from '../../mqtt/pictures.js';
import { rectOf } from '../../watch/crop.js';
import type { PictureSpec } from '../../watch/spec.js';
import { type Jpeg, JpegMaker } from './jpeg-maker.js';
import type { Outlet } from './outlet.js';

export interface EventPicturesOptions {
  outlet: Pick<Outlet, 'event'>;
  topicOf: (watch: string) => string;
  /** Null: events of this watch, about this camera, have no picture. */
  wanted: (watch: string, camera: string) => PictureSpec | null;
  /** That can be sent of a picture. */
  mostBytes: () => number;
  onFault: (watch: string, error: unknown) => void;
  /** Milliseconds an event waits for its picture. Default: 1000. */
  withinMs?: number;
  maker?: Pick<JpegMaker, 'make'>;
}

/** `failed`: it could not be made. `late`: not in time. `busy`: too many were being made. */
const DROPS = ['failed', 'late', 'busy', 'too_large', 'withdrawn'] as const;
type Drop = (typeof DROPS)[number];

/** An event whose turn has not come; `made` is undefined while its picture is being made. */
interface Telling {
  topic: string;
  body: Omit<WatchEvent, 'picture'>;
  part: PictureSpec['part'];
  frame: Frame | null;
  made: Jpeg | null | undefined;
  /** Without a picture. */
  giveUp: (reason: Drop) => void;
}

const WITHIN_MS = 1000;

export class EventPictures {
  readonly dropped = Object.fromEntries(DROPS.map((reason) => [reason, 0])) as Record<Drop, number>;
  private readonly waiting = new Map<string, Telling[]>(); // by watch, the oldest first
  private readonly maker;
  private onEmpty = () => {};

  constructor(private readonly options: EventPicturesOptions) {
    this.maker = options.maker ?? new JpegMaker();
  }

  /** Publishes an event, at once where it has no picture and none before it waits. `frame` may be held from this tick on. */
  tell(topic: string, body: Omit<WatchEvent, 'picture'>, frame: Frame | null, crop: Crop | undefined): void {
    const { watch, camera } = body;
    const spec = frame === null ? null : this.options.wanted(watch, camera);
    const telling: Telling = { topic, body, part: spec?.part ?? 'crop', frame, made: spec === null ? null : undefined, giveUp: () => {} };
    const queue = this.waiting.get(watch) ?? [];
    this.waiting.set(watch, queue);
    queue.push(telling);
    if (frame !== null && spec !== null) this.make(telling, frame, spec, crop);
    this.flush(watch);
  }

  /** What is being made and may not be shown any more comes to nothing. */
  withdraw(isShown: (watch: string, camera: string) => boolean): void {
    for (const { body, giveUp } of [...this.waiting.values()].flat()) if (!isShown(body.watch, body.camera)) giveUp('withdrawn');
  }

  /** Resolves when all events are told: after the budget without their pictures. */
  async finish(budgetMs: number): Promise<void> {
    if (this.waiting.size === 0) return;
    const empty = new Promise<void>((resolve) => (this.onEmpty = resolve));
    const timer = setTimeout(() => {
      for (const { giveUp } of [...this.waiting.values()].flat()) giveUp('late');
    }, budgetMs);
    await empty;
    clearTimeout(timer);
  }

  private make(telling: Telling, frame: Frame, spec: PictureSpec, crop: Crop | undefined): void {
    const { watch } = telling.body;
    const finish = (made: Jpeg | null) => {
      clearTimeout(timer);
      telling.made = made;
      this.flush(watch);
    };
    telling.giveUp = (reason) => {
      if (telling.made !== undefined) return;
      this.dropped[reason]++;
      finish(null);
    };
    const timer = setTimeout(() => telling.giveUp('late'), this.options.withinMs ?? WITHIN_MS);
    const wish = {
      part: spec.part === 'whole' ? undefined : rectOf(frame, crop),
      maxSidePx: spec.max_side_px,
      quality: spec.quality,
      mostBytes: Math.min(spec.max_bytes, this.options.mostBytes()),
      isWanted: () => telling.made === undefined,
    };
    this.maker.make(frame, wish).then(
      (made) => {
        if (typeof made === 'string') telling.giveUp(made);
        else if (telling.made === undefined) finish(made);
      },
      (error: unknown) => {
        this.options.onFault(watch, error);
        telling.giveUp('failed');
      },
    );
  }

  private flush(watch: string): void {
    const queue = this.waiting.get(watch);
    if (queue === undefined) return;
    for (let first = queue[0]; first?.made !== undefined; first = queue[0]) {
      queue.shift();
      this.publish(first);
    }
    if (queue.length === 0) this.waiting.delete(watch);
    if (this.waiting.size === 0) this.onEmpty();
  }

  private publish({ topic, body, part, frame, made }: Telling): void {
    if (frame === null || made === null || made === undefined) {
      this.options.outlet.event(topic, { ...body, picture: null } satisfies WatchEvent);
      return;
    }
    const { data, width, height } = made;
    const sha256 = createHash('sha256').update(data).digest('hex');
    const { id: event, seq, session, watch, camera } = body;
    const picture: Picture = {
      topic: this.options.topicOf(watch),
      payload: data,
      contentType: 'image/jpeg',
      user: { id: frame.id, ts: frame.at.toISOString(), sha256, v: `${SCHEMA_VERSION}`, watch, camera, event, seq: `${seq}`, session },
    };
    const named: EventPicture = { topic: picture.topic, seq, content_type: 'image/jpeg', bytes: data.length, sha256, width, height, part };
    this.options.outlet.event(topic, { ...body, picture: named } satisfies WatchEvent, picture);
  }
}
