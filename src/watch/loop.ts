/**
 * Standing questions, asked for as long as the process runs: whenever the engine is free, the newest frame of the camera whose turn it is.
 * One look at a time, so that every frame is as young as it can be when it is looked at.
 */
import type { Frame } from '../camera/frame.js';
import { optionError } from '../errors.js';
import { type Clock, processClock } from './clock.js';
import { Decisions, type FrameDecision } from './decisions.js';
import type { Suppressed, WatchEvent } from './event.js';
import { Inspection } from './inspection.js';
import { LocalTime, processTimeZone } from './local-time.js';
import { type LoopStatus, noTally, statusOf } from './loop-status.js';
import { markOthers } from './marks.js';
import type { Opinion } from './opinion.js';
import type { Eyes, WatchOutcome } from './outcome.js';
import { partKey } from './part.js';
import type { Mark } from './past.js';
import { choose, type Due, type Post, type Watched } from './posts.js';
import { round } from './round.js';
import type { WatchSpec } from './spec.js';
import { nextTurn } from './turns.js';
import { Usage } from './usage.js';
import { type Inquiry, Watch } from './watch.js';
import { GRACE_MS, within } from './within.js';

export interface Look {
  camera: string;
  /** For second questions alone. */
  confirms: boolean;
}

export interface LoopHandlers {
  onOutcome: (outcome: WatchOutcome) => void;
  /** Called right after onOutcome for an outcome that is news; or later, when what held it back is over. */
  onEvent?: ((event: WatchEvent) => void) | undefined;
  /** Called right after onEvent, for each other watch that compares with what was seen then. */
  onMark?: ((watch: string, mark: Mark) => void) | undefined;
  /** What was not told when it came, once for each reason. */
  onSuppressed?: ((suppressed: Suppressed) => void) | undefined;
  /** Every answer to a second question. */
  onOpinion?: ((opinion: Opinion) => void) | undefined;
  /** A frame is about to be looked at. */
  onLook?: ((frame: Frame, look: Look) => void) | undefined;
  /** For whoever keeps a record: every decision about every frame. */
  onDecision?: ((decision: FrameDecision) => void) | undefined;
  /** False: that a frame comes makes it look, and nothing else: not that an interval or a look is over. Default true. */
  alarm?: boolean | undefined;
  /** Whether a frame may be looked at for second questions alone. Default: any may. */
  mayConfirm?: ((frame: Frame) => boolean) | undefined;
  /** Makes what gates look at. Default: an Inspection of the frame's pixels. */
  inspect?: ((frame: Frame) => Inspection) | undefined;
  /** What the others threw; the loop goes on. Must not throw. Default: a warning of the process. */
  onFault?: ((error: unknown) => void) | undefined;
  /** Shared with others that use the same engine. */
  usage?: Usage | undefined;
  /** Default: the process's. */
  clock?: Clock | undefined;
  /** Of quiet hours: an IANA name. Default: the process's. */
  timeZone?: string | undefined;
}

const MOST_WATCHES = 256;

export class WatchLoop {
  private readonly posts = new Map<string, Post>();
  private readonly watches = new Map<string, Watch>();
  private readonly usage: Usage;
  private state: 'new' | 'running' | 'stopped' = 'new';
  private running: Promise<void> | null = null;
  private beganMs = 0; // the running one, or the last
  private held = 0; // by so many
  private stopAlarm = () => {};
  private readonly decisions = new Decisions((decision) => this.safely(() => this.handlers.onDecision?.(decision)));
  private celsius: number | null = null;
  private readonly clock: Clock;
  private readonly time: LocalTime;

  /** Throws RangeError for a time zone that there is none of. */
  constructor(
    private readonly eyes: Eyes,
    private readonly handlers: LoopHandlers,
  ) {
    this.usage = handlers.usage ?? new Usage();
    this.clock = handlers.clock ?? processClock;
    this.time = new LocalTime(handlers.timeZone ?? processTimeZone());
  }

  /** Watches of this camera are asked from now on; one with the same id is replaced. */
  addCamera(camera: Watched): void {
    this.removeCamera(camera.id);
    const listener = (frame: Frame) => {
      try {
        this.arrived(post, frame);
      } catch (error) {
        this.fault(error); // cameras keep to themselves what a listener throws
      }
    };
    const post: Post = { camera, listener, inspection: null, passed: 0, lastMs: Number.NEGATIVE_INFINITY, status: noTally() };
    this.posts.set(camera.id, post);
    camera.on('frame', listener);
    this.wake();
  }

  /** Its watches stay, without anything to look at: what is under way about it is cancelled, what is believed becomes `stale`. */
  removeCamera(id: string): void {
    const post = this.posts.get(id);
    if (post === undefined) return;
    post.camera.off('frame', post.listener);
    this.posts.delete(id);
    for (const watch of this.of(id)) {
      watch.cancel();
      watch.gate.forget();
      watch.expire();
    }
  }

  /**
   * Adds a watch or changes it. One that now asks something else begins anew, and what was believed becomes `stale`; otherwise value, votes and
   * counters stay. True when it is new. Throws ERR_OPTION above 256 watches.
   */
  put(id: string, spec: WatchSpec): boolean {
    const known = this.watches.get(id);
    if (known?.asksTheSame(spec)) {
      known.change(spec);
    } else {
      if (known === undefined && this.watches.size >= MOST_WATCHES) throw optionError('watch', `at most ${MOST_WATCHES} watches`, id);
      known?.end();
      const watch = new Watch(id, spec, this.clock, this.time, this.reports);
      watch.gate.duty.heat(this.celsius);
      this.watches.set(id, watch);
    }
    this.wake();
    return known === undefined;
  }

  /** False when there is none of that name. Nothing is reported about it any more. */
  delete(id: string): boolean {
    this.watches.get(id)?.close();
    return this.watches.delete(id);
  }

  /** A disabled watch is not asked; its last answer still expires. False when there is none of that name. */
  setEnabled(id: string, enabled: boolean): boolean {
    const watch = this.watches.get(id);
    if (watch === undefined) return false;
    watch.change({ ...watch.spec, enabled });
    this.wake();
    return true;
  }

  /** That another watch, which this one compares with, told something; one that is in this loop says so itself. */
  mark(id: string, mark: Pick<Mark, 'fromMs'>): void {
    this.watches.get(id)?.mark(mark);
    this.wake();
  }

  /** How hot the board is where it is hottest; null: it does not tell. Watches with `duty` slow down by it. */
  heat(celsius: number | null): void {
    this.celsius = celsius;
    for (const { gate } of this.watches.values()) gate.duty.heat(celsius);
    this.wake();
  }

  start(): void {
    if (this.state !== 'new') return;
    this.state = 'running';
    this.wake();
  }

  /** Resolves when nothing is under way; nothing begins until what it returns is called. What is believed meanwhile expires as always. */
  async hold(): Promise<() => void> {
    this.held++;
    await this.running;
    return () => {
      this.held--;
      this.wake();
    };
  }

  /**
   * For good: nothing new begins, what is under way may finish within the budget and is cancelled after it. Then whatever was answered becomes `stale`.
   * Resolves when the engine has let go, or a second after the budget.
   */
  async stop(budgetMs: number): Promise<void> {
    this.end();
    if (this.running !== null) await within(this.running, budgetMs);
    for (const watch of this.watches.values()) watch.end();
    if (this.running !== null) await within(this.running, GRACE_MS);
  }

  status(): LoopStatus {
    const watches = [...this.watches].map(([id, watch]) => [id, statusOf(watch)] as const);
    const cameras = [...this.posts].map(([id, { status }]) => [id, { ...status, skipped: { ...status.skipped } }] as const);
    return {
      state: this.state === 'stopped' ? 'stopped' : this.running === null ? 'idle' : 'looking',
      lookingMs: this.running === null ? null : this.clock.now() - this.beganMs,
      busyRatio: this.usage.ratio(),
      watches: Object.fromEntries(watches),
      cameras: Object.fromEntries(cameras),
    };
  }

  private of(camera: string): Watch[] {
    return [...this.watches.values()].filter(({ spec }) => spec.camera === camera);
  }

  private arrived(post: Post, frame: Frame): void {
    if (this.state !== 'running') return;
    const watches = this.of(post.camera.id).filter(({ spec }) => spec.enabled);
    for (const { gate } of watches) {
      const skipped = gate.arrived();
      if (skipped !== null) post.status.skipped[skipped]++;
    }
    this.next();
    if (this.handlers.onDecision === undefined) return;
    const inspection = this.inspectionOf(post, frame);
    for (const watch of watches) this.decisions.decided(watch, inspection, this.clock.now());
  }

  /** Something else than a new frame may be a reason to look. */
  private wake(): void {
    if (this.handlers.alarm !== false) this.next();
  }

  /** Looks, if the engine is free and there is a reason to; otherwise sets the alarm for when time alone may bring one. */
  private next(): void {
    if (this.state !== 'running' || this.running !== null || this.held > 0) return;
    this.stopAlarm();
    const now = this.clock.now();
    const found = [...this.posts.values()].map((post) => this.due(post, now));
    const due = found.flatMap(({ due }) => due ?? []);
    const chosen = choose(due);
    if (chosen !== undefined) {
      this.beganMs = now;
      this.running = this.usage
        .during(() => this.look(chosen, now))
        .finally(() => {
          this.running = null;
          this.wake();
        });
      return;
    }
    const againMs = Math.min(...found.map(({ againMs }) => againMs));
    if (Number.isFinite(againMs) && this.handlers.alarm !== false) this.stopAlarm = this.clock.after(Math.max(1, againMs - now), () => this.next());
  }

  private due(post: Post, nowMs: number): { due: Due | null; againMs: number } {
    let againMs = Number.POSITIVE_INFINITY;
    const watches = this.of(post.camera.id).filter(({ spec }) => spec.enabled);
    const frame = watches.length > 0 ? post.camera.slot.newest() : undefined;
    if (frame === undefined) return { due: null, againMs };
    const inspection = this.inspectionOf(post, frame);
    const seconds = new Set<Watch>();
    const mayConfirm = this.handlers.mayConfirm?.(frame) ?? true;
    const asking = watches.filter((watch) => {
      const decision = watch.gate.decide(inspection, nowMs);
      if (decision.ask) return true;
      if (decision.againMs !== null) againMs = Math.min(againMs, decision.againMs);
      this.decisions.decided(watch, inspection, nowMs);
      if (mayConfirm && watch.wantsSecond(frame, nowMs)) seconds.add(watch);
      return seconds.has(watch);
    });
    return { due: asking.length > 0 ? { post, inspection, watches: asking, seconds } : null, againMs };
  }

  /** At the part whose turn it is; other parts get a look of their own, at a newer frame. */
  private async look({ post, inspection, watches, seconds }: Due, nowMs: number): Promise<void> {
    const first = nextTurn(watches, ({ spec, passed, lastAskedMs }) => ({ priority: spec.priority, passed, lastMs: lastAskedMs })) as Watch;
    const key = partKey(first.spec);
    const asked = watches.filter(({ spec }) => partKey(spec) === key);
    for (const watch of watches) watch.passed++;
    const inquiries = asked.flatMap((watch) => {
      if (seconds.has(watch)) {
        this.decisions.confirms(watch, inspection, nowMs);
        return watch.second(inspection.frame) ?? [];
      }
      const inquiry = watch.begin(inspection, nowMs);
      this.decisions.decided(watch, inspection, nowMs);
      return inquiry;
    });
    const confirms = asked.every((watch) => seconds.has(watch));
    this.safely(() => this.handlers.onLook?.(inspection.frame, { camera: post.camera.id, confirms }));
    post.passed = 0;
    post.lastMs = nowMs;
    post.status.lastAskedAt = this.clock.date();
    post.status.looks++;
    post.status.asked += asked.filter((watch) => !seconds.has(watch)).length;
    const besides = () => this.besides(post, inspection, key);
    if (!(await round(this.eyes, this.clock, inspection.frame, first.spec, inquiries, besides))) this.end();
  }

  /** Watches that want to ask of a look at this part what they compare with. */
  private besides(post: Post, inspection: Inspection, key: string): Inquiry[] {
    const { frame } = inspection;
    const { camera, status } = post;
    if (this.state !== 'running' || this.posts.get(camera.id) !== post) return [];
    const nowMs = this.clock.now();
    const asking = this.of(camera.id).filter((watch) => watch.wantsLook(frame, nowMs) && partKey(watch.spec) === key);
    status.asked += asking.length;
    return asking.map((watch) => {
      const inquiry = watch.beginBesides(inspection, nowMs, camera.slot.newest() === frame);
      this.decisions.besides(watch, inspection, nowMs);
      return inquiry;
    });
  }

  private end(): void {
    this.state = 'stopped';
    this.stopAlarm();
    for (const { camera, listener } of this.posts.values()) camera.off('frame', listener);
  }

  /** Of every watch. */
  private readonly reports = {
    outcome: (outcome: WatchOutcome) => this.safely(() => this.handlers.onOutcome(outcome)),
    event: (event: WatchEvent) => {
      this.safely(() => this.handlers.onEvent?.(event));
      markOthers(event, this.watches.values(), (watch, mark) => {
        this.safely(() => this.handlers.onMark?.(watch, mark));
        this.mark(watch, mark);
      });
    },
    suppressed: (suppressed: Suppressed) => this.safely(() => this.handlers.onSuppressed?.(suppressed)),
    opinion: (opinion: Opinion) => this.safely(() => this.handlers.onOpinion?.(opinion)),
    wanted: () => this.wake(),
  };

  private inspectionOf(post: Post, frame: Frame): Inspection {
    if (post.inspection?.frame !== frame) post.inspection = this.handlers.inspect?.(frame) ?? new Inspection(frame);
    return post.inspection;
  }

  private safely(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.fault(error);
    }
  }

  private fault(error: unknown): void {
    if (this.handlers.onFault !== undefined) this.handlers.onFault(error);
    else process.emitWarning(error instanceof Error ? error : String(error));
  }
}
