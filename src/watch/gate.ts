/** Whether a frame is worth an inference for one watch. Every frame that is not is counted under the reason. */
import type { Frame } from '../camera/frame.js';
import { longestWindow } from './agreement.js';
import type { Pair } from './change.js';
import { Duty } from './duty.js';
import type { Inspection } from './inspection.js';
import { SKIP_REASONS, type SkipReason } from './outcome.js';
import type { WatchSpec } from './spec.js';

/** When it is not to be asked about now: whether time alone may change that, and when. Milliseconds of the clock. */
export type Decision = { ask: true } | { ask: false; againMs: number | null };

/** More of the picture than that changes at once when lightning strikes. */
const FLASH_SHARE = 0.8;
/** A flash is over by the next frame. A camera that has none for so long is too slow to tell a flash from a new scene. */
const FLASH_MS = 250;
const FIRST_PAUSE_MS = 1000; // after an error; doubles with each in a row
const LONGEST_PAUSE_MS = 60_000;

export interface Comparison {
  against: string; // id of the frame asked about last
  share: number;
}

const ASK: Decision = { ask: true };
const NEVER: Decision = { ask: false, againMs: null };

export class Gate {
  readonly skipped = Object.fromEntries(SKIP_REASONS.map((reason) => [reason, 0])) as Record<SkipReason, number>;
  /** What the last decision rested on: share of the picture, 0 to 1, that differed from that of frame `against`. Null: the pictures were not compared. */
  compared: Comparison | null = null;
  readonly duty: Duty;
  private open: SkipReason | null = null;
  /** What was asked about last. */
  private asked: { frame: string; content: number; atMs: number; pair: Pair | null } | null = null; // no pair: it was not to be compared
  private askedMs = Number.NEGATIVE_INFINITY; // also when what was asked about is forgotten
  private blockedMs = Number.NEGATIVE_INFINITY; // until interval or pause is over
  private cooledMs = Number.NEGATIVE_INFINITY;
  private flash: { frame: string; atMs: number } | null = null;
  private errors = 0; // in a row
  /** Answers that may still be asked for although nothing changes, so that an agreement of several can come about. */
  private rechecks = 0;
  private recheckNext = 0; // `rechecks` once the frame decided upon has been asked about
  private settled = true;
  private wantedMs: number | null = null;
  private failedFrame = ''; // the last that asking failed about

  constructor(private spec: WatchSpec) {
    this.duty = new Duty(spec);
  }

  /** Why the newest frame has not been asked about so far; null when it has, or none came. */
  get reason(): SkipReason | null {
    return this.open;
  }

  /** A new frame; the one before will not be asked about any more. Its reason, if it was skipped. */
  arrived(): SkipReason | null {
    this.compared = null;
    const reason = this.open;
    if (reason !== null) this.skipped[reason]++;
    this.open = 'busy';
    return reason;
  }

  decide(inspection: Inspection, nowMs: number): Decision {
    this.compared = null;
    const { frame } = inspection;
    const { max_age_ms, reask_ms, change_percent } = this.spec;
    if (nowMs - frame.monotonicMs > max_age_ms) return this.skip('age', null);
    const { asked } = this;
    const recheck = !this.settled && this.rechecks > 0;
    if (asked?.frame === frame.id) return this.skip('repeat', null);
    if (this.wants(frame, nowMs)) return this.pass(this.rechecks);
    if (asked?.content === frame.content && !recheck) return this.skip('repeat', null);
    if (nowMs < this.cooledMs) return this.skip('cooldown', this.cooledMs);
    if (nowMs < this.blockedMs) return this.skip('interval', this.blockedMs);
    const restedMs = this.askedMs + this.duty.restMs;
    if (nowMs < restedMs) return this.skip('heat', restedMs);
    if (recheck) return this.pass(this.rechecks - 1);
    if (asked !== null && nowMs >= asked.atMs + reask_ms) return this.pass(this.rechecks);
    if (asked === null || asked.pair === null || change_percent === 0) return this.pass(longestWindow(this.spec) - 1);
    const share = inspection.changedSince(asked.pair, this.spec);
    this.compared = { against: asked.frame, share };
    const flash = share > FLASH_SHARE ? (this.flash ?? { frame: frame.id, atMs: nowMs }) : null;
    this.flash = flash;
    if (share * 100 < change_percent || share === 0) return this.skip('unchanged', asked.atMs + reask_ms);
    if (flash !== null && flash.frame === frame.id && nowMs < flash.atMs + FLASH_MS) return this.skip('unchanged', flash.atMs + FLASH_MS);
    return this.pass(longestWindow(this.spec) - 1);
  }

  /** A frame of this moment or later is to be asked about, once, whatever it shows and when; null: no more. */
  want(fromMs: number | null): void {
    this.wantedMs = fromMs;
  }

  wants({ id, monotonicMs }: Frame, nowMs: number): boolean {
    if (this.wantedMs === null || monotonicMs < this.wantedMs) return false;
    return this.asked?.frame !== id && this.failedFrame !== id && nowMs - monotonicMs <= this.spec.max_age_ms;
  }

  /** The frame, for which decide() has just said so, is being asked about. */
  ask(inspection: Inspection, nowMs: number): void {
    const { frame } = inspection;
    const { interval_ms, change_percent } = this.spec;
    this.rechecks = this.recheckNext;
    this.wantedMs = null;
    this.asked = { frame: frame.id, content: frame.content, atMs: nowMs, pair: change_percent === 0 ? null : inspection.pair(this.spec) };
    this.askedMs = nowMs;
    this.blockedMs = nowMs + interval_ms;
    this.flash = null;
    this.open = null;
  }

  /** The same, but wants() has said so. One that is not the newest any more was counted already. */
  askBesides(inspection: Inspection, nowMs: number, isNewest: boolean): void {
    const { open } = this;
    this.recheckNext = this.rechecks;
    this.ask(inspection, nowMs);
    if (!isNewest) this.open = open;
  }

  /** An answer came. Not settled: it spoke against the agreed value, or there is none yet. */
  answered(nowMs: number, { settled, changed }: { settled: boolean; changed: boolean }): void {
    this.errors = 0;
    this.settled = settled;
    if (changed) this.cooledMs = nowMs + this.spec.cooldown_ms;
  }

  /** Asking failed: the same picture may be tried again, after a pause. */
  failed(nowMs: number): void {
    this.failedFrame = this.asked?.frame ?? '';
    this.forget();
    this.blockedMs = Math.max(this.blockedMs, nowMs + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.errors, 16)));
    this.errors++;
  }

  /** No answer will come, or the camera is another: the next frame is not compared with the last. */
  forget(): void {
    this.asked = null;
    this.flash = null;
    this.settled = true;
  }

  change(spec: WatchSpec): void {
    this.blockedMs = this.asked === null ? Number.NEGATIVE_INFINITY : this.asked.atMs + spec.interval_ms;
    this.spec = spec;
    this.duty.change(spec);
  }

  private pass(rechecks: number): Decision {
    this.recheckNext = rechecks;
    return ASK;
  }

  private skip(reason: SkipReason, againMs: number | null): Decision {
    if (this.open !== null) this.open = reason;
    return againMs === null ? NEVER : { ask: false, againMs };
  }
}
