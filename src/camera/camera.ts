/** A supervised camera: reads its source, keeps the newest frame, notices a stall, and opens the source again for ever. */
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { Backoff, type BackoffOptions } from '../backoff.js';
import { DROP_REASONS, type DropReason, type Frame, type Picture, type Source } from './frame.js';
import { Lease } from './lease.js';
import { pause } from './pace.js';
import type { Polygon } from './polygon.js';
import { Privacy } from './privacy.js';
import { Rate } from './rate.js';
import { FrameSlot } from './slot.js';
import { Watchdog } from './watchdog.js';

/**
 * starting: opened for the first time, no frame yet; online: frames come; stalled: none came in time, or always the same one; offline: the source
 * broke or ended, or the camera is not started. While it is tried again, `stalled` and `offline` last until a good frame comes.
 */
export type CameraState = 'starting' | 'online' | 'stalled' | 'offline';

export interface CameraOptions {
  id: string;
  source: Source;
  /** Longest time without a frame; before the first one at least ten seconds. */
  stallMs: number;
  /** Longest time with the very same picture; 0: for ever. */
  frozenMs: number;
  /** Black in every frame. Default: nothing. */
  privacy?: readonly Polygon[] | undefined;
  /** Between attempts; default: 1 s doubling to 60 s, jittered. */
  backoff?: BackoffOptions;
}

export interface CameraStatus {
  state: CameraState;
  /** When this state began. */
  since: Date;
  frames: number;
  fps: number;
  frameAgeMs: number | null; // null: no frame yet
  dropped: Record<DropReason, number>;
  restarts: number; // openings after the first
  stalls: number;
  listenerErrors: number;
  /** Why it is stalled or offline; null otherwise. */
  error: string | null;
  /** The last picture that could not be read; null when there was none. */
  warning: string | null;
}

export interface CameraEvents {
  frame: [Frame];
  state: [state: CameraState, previous: CameraState];
  /** The first picture that could not be read since the camera was started; the others are only counted. */
  warning: [string];
}

const PROVEN_MS = 10_000; // of good frames, after which the waiting times start small again

export class Camera extends EventEmitter<CameraEvents> {
  readonly id: string;
  readonly slot = new FrameSlot();
  private readonly source: Source;
  private readonly prefix: string;
  private readonly backoff: Backoff;
  private privacy: Privacy;
  private readonly rate = new Rate();
  private readonly counts = { frames: 0, restarts: 0, stalls: 0, listenerErrors: 0 };
  private readonly dropped: Record<DropReason, number> = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>;
  private current: CameraState = 'offline';
  private since = new Date();
  private error: string | null = null;
  private warning: string | null = null;
  private warned = false;
  private previous: Picture | undefined;
  private lastFrame: Frame | undefined;
  private lease: Lease | undefined; // of the last frame
  private content = 0;
  private frozen = false; // stopped at `previous`, and nothing else has come since
  private wanted = false; // started, or to be started as soon as it has stopped
  private work: Promise<void> | undefined; // until the source has closed
  private round = new AbortController(); // the present attempt or the wait after it
  private next: 'again' | 'restart' | 'stop' = 'again';

  constructor(private readonly options: CameraOptions) {
    super();
    this.id = options.id;
    this.source = options.source;
    this.backoff = new Backoff(options.backoff);
    this.privacy = new Privacy(options.privacy ?? []);
    this.prefix = `${options.id}-${randomBytes(4).toString('hex')}`;
  }

  get state(): CameraState {
    return this.current;
  }

  /** Started, and neither stopped nor at the end of its source. */
  get running(): boolean {
    return this.work !== undefined;
  }

  /** Settles when it has stopped or its source has ended; at once where it is not started. Never rejects. */
  get done(): Promise<void> {
    return this.work ?? Promise.resolve();
  }

  /** Opens the source, and again whenever it fails. A source that ends, such as a file, leaves the camera offline until it is started again. */
  start(): void {
    if (this.work === undefined) {
      this.begin();
    } else if (this.next === 'stop' && !this.wanted) {
      this.work = this.work.then(() => {
        this.work = undefined;
        if (this.wanted) this.begin();
      });
    }
    this.wanted = true;
  }

  /** Closes the source, its processes and descriptors included. The newest frame stays in the slot. */
  async stop(): Promise<void> {
    this.wanted = false;
    this.next = 'stop';
    this.round.abort();
    await this.work;
    this.enter('offline');
  }

  /** Closes the source and opens it at once, without waiting. */
  restart(): void {
    if (this.work === undefined) {
      this.start();
    } else if (this.next !== 'stop') {
      this.next = 'restart';
      this.round.abort();
    }
  }

  /** Black from now on, instead of what was before. Nobody gets the newest frame any more: it was taken before. */
  setPrivacy(polygons: readonly Polygon[]): void {
    this.privacy = new Privacy(polygons);
    this.slot.clear();
  }

  status(): CameraStatus {
    const now = performance.now();
    return {
      state: this.current,
      since: this.since,
      ...this.counts,
      fps: this.rate.perSecond(now),
      frameAgeMs: this.lastFrame === undefined ? null : now - this.lastFrame.monotonicMs,
      dropped: { ...this.dropped, superseded: this.slot.superseded },
      error: this.error,
      warning: this.warning,
    };
  }

  private begin(): void {
    this.next = 'again';
    this.warned = false;
    this.backoff.reset();
    this.enter('starting');
    const work = this.supervise().finally(() => {
      if (this.work === work) this.work = undefined;
    });
    this.work = work;
  }

  private async supervise(): Promise<void> {
    for (;;) {
      const ended = await this.attempt();
      if (this.next === 'stop' || (ended && this.next === 'again')) return;
      if (this.next === 'again') {
        this.round = new AbortController();
        await pause(this.backoff.next(), this.round.signal);
      }
      if (this.isStopping()) return;
      if (this.next === 'restart') {
        this.next = 'again';
        this.backoff.reset();
        this.frozen = false;
        this.enter('starting');
      }
      this.counts.restarts++;
    }
  }

  /** Not inlined: the compiler takes `next` for what it was before the wait. */
  private isStopping(): boolean {
    return this.next === 'stop';
  }

  /** Reads the source until it ends, fails, stalls or is closed; true when it ended of itself. Never rejects. */
  private async attempt(): Promise<boolean> {
    this.round = new AbortController();
    const { signal } = this.round;
    const watchdog = new Watchdog({ ...this.options, onStall: (kind, ms) => this.stall(kind, ms) });
    const { name, afterEnd } = this.source;
    let shown = 0;
    const onDropped = (reason: 'unread' | 'unreadable', detail?: string) => {
      if (reason === 'unread') shown++;
      this.drop(reason, detail);
    };
    try {
      for await (const picture of this.source.open(signal, onDropped)) {
        if (signal.aborted) break;
        shown++;
        this.accept(picture, watchdog);
      }
      if (signal.aborted) return false;
      this.enter('offline', `${name}: ended after ${shown} picture${shown === 1 ? '' : 's'}${afterEnd === undefined ? '' : `; ${afterEnd}`}`);
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!signal.aborted) this.enter('offline', message);
      else if (this.error !== null) this.error = `${this.error}; ${message}`; // it stalled and could not be closed properly
      return false;
    } finally {
      watchdog.stop();
      if (watchdog.provenMs >= PROVEN_MS) this.backoff.reset();
    }
  }

  /** The only way from a picture to a frame. Throws where the picture cannot be painted, which ends the attempt as a source that breaks does. */
  private accept(received: Picture, watchdog: Watchdog): void {
    const picture = this.privacy.paint(received);
    const changed = this.previous === undefined || !samePixels(this.previous, picture);
    watchdog.arrived(changed);
    if (changed) {
      this.content++;
      this.frozen = false;
    } else if (this.frozen) {
      this.drop('frozen');
      picture.giveBack?.();
      return;
    }
    this.previous = picture;
    const { giveBack, kept: _, ...pixels } = picture;
    const lease = giveBack === undefined ? undefined : new Lease(giveBack);
    const frame: Frame = {
      id: `${this.prefix}-${this.counts.frames++}`,
      monotonicMs: performance.now(),
      at: new Date(),
      ...pixels,
      content: this.content,
      ...(lease === undefined ? {} : { hold: () => lease.hold() }),
    };
    this.rate.count(frame.monotonicMs);
    this.lastFrame = frame;
    this.slot.put(frame);
    this.enter('online');
    this.tell('frame', frame);
    this.lease?.retire(); // nobody who does not hold it can still come to the frame before
    this.lease = lease;
  }

  private stall(kind: 'silent' | 'frozen', ms: number): void {
    this.counts.stalls++;
    if (kind === 'frozen') this.frozen = true;
    this.enter('stalled', kind === 'frozen' ? `the same picture for ${Math.round(ms)} ms` : `no frame for ${Math.round(ms)} ms`);
    this.round.abort();
  }

  private drop(reason: DropReason, detail?: string): void {
    this.dropped[reason]++;
    if (detail === undefined) return;
    this.warning = detail;
    if (!this.warned) this.tell('warning', detail);
    this.warned = true;
  }

  private enter(state: CameraState, error: string | null = null): void {
    this.error = error;
    const previous = this.current;
    if (previous === state) return;
    this.current = state;
    this.since = new Date();
    this.tell('state', state, previous);
  }

  /** Listeners cannot harm the camera nor each other. The first error of one is shown by Node, all are counted. */
  private tell<K extends keyof CameraEvents>(event: K, ...values: CameraEvents[K]): void {
    for (const listener of this.rawListeners(event)) {
      try {
        const result: unknown = Reflect.apply(listener, this, values);
        if (result instanceof Promise) result.catch((error: unknown) => this.blame(event, error));
      } catch (error) {
        this.blame(event, error);
      }
    }
  }

  private blame(event: string, error: unknown): void {
    if (this.counts.listenerErrors++ > 0) return;
    process.emitWarning(`Camera ${this.id}: a listener of '${event}' threw ${error instanceof Error ? error.stack : String(error)}`);
  }
}

function samePixels(a: Picture, b: Picture): boolean {
  if (a.width !== b.width || a.height !== b.height || a.format !== b.format) return false;
  return a.data === b.data || Buffer.compare(a.data, b.data) === 0;
}
