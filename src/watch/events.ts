/**
 * Which outcomes of a watch are news, and when they are told. What was last told is compared with what is true now, whenever something changes and
 * whenever a rule ends: so a value that a rule has held back is told as soon as none does, if it is still true then, and never if it is not.
 * The first value is what news are measured by, and none itself; so is a value that comes back unchanged after an outage.
 * With `compare` a pair is told, of what is believed now and what was believed then, if they differ; that they are equal again ends it, and is told by
 * nobody.
 */
import type { Frame } from '../camera/frame.js';
import type { Clock } from './clock.js';
import { type Confirmation, SUPPRESS_REASONS, type Suppressed, type SuppressReason, type WatchEvent } from './event.js';
import type { LocalTime } from './local-time.js';
import type { WatchOutcome } from './outcome.js';
import { type Belief, compared, type Past } from './past.js';
import { QuietHours } from './quiet.js';
import type { EventType, Value, WatchSpec } from './spec.js';

export interface EventReports {
  event: (event: WatchEvent) => void;
  suppressed: (suppressed: Suppressed) => void;
  /** A second opinion is wanted about a frame to come. */
  wanted: () => void;
}

/** What may be told: counted once for each reason that holds it back. */
interface News {
  outcome: WatchOutcome;
  counted: Set<SuppressReason>;
}

/** The present value. */
interface Standing extends News {
  value: Value;
  /** Null: not known, or nothing is compared. */
  former: Belief | null;
  sinceMs: number; // of the clock, as all below
  untilMs: number; // not to be relied upon after that
  /** What `outcome`, the last that spoke for it, is about; held. */
  frame: Frame | null;
  letGo: () => void;
  /** Long enough. */
  stood: boolean;
  confirmation: Confirmation | null;
  /** Set while a second opinion is wanted: about a frame of this moment or later. `asking` while it is asked for. */
  wish: { fromMs: number; asking: AbortController | null } | null;
  /** The answer that the second opinion did not agree to. */
  refused: WatchOutcome | null;
}

interface Told {
  value: Value;
  former: Value | null; // null: nothing is compared
}

interface Trouble extends News {
  told: boolean;
  frame: Frame | null; // in the tick in which it came
}

const NEVER = Number.POSITIVE_INFINITY;
/** The wall clock may jump: the end of quiet hours is looked for at least this often. */
const LOOK_MS = 60_000;

export class Events {
  readonly suppressed = Object.fromEntries(SUPPRESS_REASONS.map((reason) => [reason, 0])) as Record<SuppressReason, number>;
  /** Events that were told. */
  count = 0;
  /** Last, also that now was as then. */
  private told: Told | null = null;
  private valueToldMs = Number.NEGATIVE_INFINITY;
  private errorToldMs = Number.NEGATIVE_INFINITY;
  private standing: Standing | null = null;
  private trouble: Trouble | null = null;
  /** Waits for its time since then; null: there will be none. */
  private reminder: { sinceMs: number; counted: Set<SuppressReason> } | null = null;
  private quiet: QuietHours;
  private stopAlarm = () => {};
  private closed = false;
  private settling: 'no' | 'once' | 'again' = 'no';

  /** `past`: what is compared with; null: nothing. */
  constructor(
    private spec: Pick<WatchSpec, 'events' | 'enabled'>,
    private readonly clock: Clock,
    private readonly time: LocalTime,
    private readonly reports: EventReports,
    private past: Past | null = null,
  ) {
    this.quiet = new QuietHours(spec.events.quiet, time);
  }

  /** `untilMs`: when the value must not be relied upon any more, in milliseconds of the clock. */
  observe(outcome: WatchOutcome, frame: Frame | null, untilMs: number): void {
    const { status, value, observed } = outcome;
    if (status === 'error') {
      this.trouble ??= { outcome, counted: new Set(), told: false, frame };
    } else {
      this.trouble = null;
      if (value === null) this.fall();
      else if (this.standing?.value !== value) this.rise(value, outcome, frame, untilMs);
      else if (observed === value) this.support(this.standing, outcome, frame, untilMs);
    }
    this.settle();
  }

  /** Takes over other rules. A disabled watch tells nothing, and what has waited is not told later. With another `past` nothing has been told yet. */
  change(spec: Pick<WatchSpec, 'events' | 'enabled'>, past = this.past): void {
    const confirmsAlike = JSON.stringify(spec.events.confirm) === JSON.stringify(this.spec.events.confirm);
    this.spec = spec;
    this.quiet = new QuietHours(spec.events.quiet, this.time);
    if (past !== this.past) this.compareWith(past);
    if (!spec.enabled) this.rest();
    else if (!confirmsAlike && this.standing !== null) {
      this.standing.wish?.asking?.abort();
      Object.assign(this.standing, { wish: null, refused: null, confirmation: null });
    }
    this.settle();
  }

  /** Tells what is due. Also before anything new is observed: a busy process may not have come to it at its time. */
  settle(): void {
    if (this.settling !== 'no') this.settling = 'again'; // whoever was told has changed something
    if (this.closed || this.settling !== 'no') return;
    try {
      do {
        this.settling = 'once';
        this.settleOnce(this.clock.now());
      } while (this.isDisturbed && !this.closed);
    } finally {
      this.settling = 'no';
    }
  }

  private get isDisturbed(): boolean {
    return this.settling === 'again';
  }

  private settleOnce(nowMs: number): void {
    this.lookBack(nowMs);
    const againMs = Math.min(this.settleTrouble(nowMs), this.settleValue(nowMs));
    this.stopAlarm();
    const { standing } = this;
    const otherMs = standing === null ? NEVER : (this.past?.nextMs(nowMs) ?? NEVER);
    if (standing !== null && !this.isNews(standing) && Math.min(this.reminderMs, otherMs) === NEVER) release(standing);
    if (this.trouble !== null) this.trouble.frame = null;
    const nextMs = Math.min(againMs, otherMs);
    if (!this.closed && nextMs < NEVER) this.stopAlarm = this.clock.after(Math.max(1, nextMs - nowMs), () => this.settle());
  }

  /** Leaves no timer, no frame held and nothing under way; nothing is told any more. */
  close(): void {
    this.closed = true;
    this.rest();
  }

  /** A second opinion is wanted, and this frame is late enough. */
  wants(frame: Frame): boolean {
    const wish = this.standing?.wish ?? null;
    return wish !== null && wish.asking === null && frame.monotonicMs >= wish.fromMs;
  }

  /** The second question is asked: `settle` takes what came of it, null where it did not agree, and `signal` aborts when that is of no use any more. */
  ask(): { signal: AbortSignal; settle: (confirmation: Confirmation | null) => void } {
    const { standing } = this;
    const asking = new AbortController();
    const wish = standing?.wish ?? null;
    if (wish !== null) wish.asking = asking;
    const settle = (confirmation: Confirmation | null) => {
      if (asking.signal.aborted || standing === null || standing.wish !== wish) return;
      standing.wish = null;
      standing.confirmation = confirmation;
      if (confirmation === null) {
        standing.refused = standing.outcome;
        this.suppress('unconfirmed', standing, typeOf(standing.value), this.previousOf(standing));
      }
      this.settle();
    };
    return { signal: asking.signal, settle };
  }

  private rise(value: Value, outcome: WatchOutcome, frame: Frame | null, untilMs: number): void {
    this.fall();
    if (this.past === null) this.told ??= { value, former: null };
    this.standing = {
      value,
      former: this.past?.belief(this.clock.now()) ?? null,
      outcome,
      sinceMs: this.clock.now(),
      untilMs,
      frame,
      letGo: frame?.hold?.() ?? (() => {}),
      stood: false,
      confirmation: null,
      wish: null,
      refused: null,
      counted: new Set(),
    };
  }

  private support(standing: Standing, outcome: WatchOutcome, frame: Frame | null, untilMs: number): void {
    standing.letGo();
    Object.assign(standing, { outcome, untilMs, frame, letGo: frame?.hold?.() ?? (() => {}) });
  }

  /** The value is none any more, or another. */
  private fall(): void {
    const { standing } = this;
    if (standing === null) return;
    this.countMissed(standing);
    this.forget();
  }

  private countMissed(standing: Standing): void {
    if (!this.isNews(standing) || (standing.stood && standing.wish === null)) return;
    this.suppress(standing.stood ? 'unconfirmed' : 'for', standing, typeOf(standing.value), this.previousOf(standing));
  }

  /** What was believed then may be another by now: what there is to tell is another, then, and has stood since now. */
  private lookBack(nowMs: number): void {
    const { standing, past } = this;
    if (standing === null || past === null) return;
    const former = past.belief(nowMs);
    if (former?.value === standing.former?.value) standing.former = former;
    else this.beginAnew(standing, former);
  }

  private beginAnew(standing: Standing, former: Belief | null): void {
    this.countMissed(standing);
    standing.wish?.asking?.abort();
    Object.assign(standing, { former, sinceMs: this.clock.now(), stood: false, confirmation: null, wish: null, refused: null, counted: new Set() });
  }

  private compareWith(past: Past | null): void {
    const { standing } = this;
    if (standing !== null) this.beginAnew(standing, past?.belief(this.clock.now()) ?? null);
    this.past = past;
    this.told = past === null && standing !== null ? { value: standing.value, former: null } : null;
    this.reminder = null;
  }

  private isNews(standing: Standing): boolean {
    const { value, former } = standing;
    return !this.isTold(standing) && (this.past === null || (former !== null && former.value !== value));
  }

  private isTold({ value, former }: Standing): boolean {
    return this.told !== null && this.told.value === value && this.told.former === (former?.value ?? null);
  }

  private previousOf({ former }: Standing): Value | null {
    return this.past === null ? (this.told?.value ?? null) : (former?.value ?? null);
  }

  private forget(): void {
    const { standing } = this;
    if (standing === null) return;
    standing.wish?.asking?.abort();
    release(standing);
    this.standing = null;
  }

  private rest(): void {
    this.stopAlarm();
    if (this.closed) this.forget();
    else this.fall();
    this.trouble = null;
    this.reminder = null;
  }

  /** As all below: when to come again, in milliseconds of the clock. */
  private settleTrouble(nowMs: number): number {
    const { trouble } = this;
    if (trouble === null || trouble.told) return NEVER;
    const previous = this.told?.value ?? null;
    const heldMs = this.heldUntil(nowMs, this.errorToldMs, trouble, 'error', previous);
    if (heldMs !== null) return heldMs;
    trouble.told = true;
    this.errorToldMs = nowMs;
    this.tell({ type: 'error', previous, outcome: trouble.outcome, frame: trouble.frame, confirmation: null, compare: null });
    return NEVER;
  }

  private settleValue(nowMs: number): number {
    const { standing } = this;
    if (standing === null || standing.untilMs <= nowMs || (this.past !== null && standing.former === null)) return NEVER;
    const { value, former, outcome, frame } = standing;
    if (this.isTold(standing)) return this.settleReminder(standing, nowMs);
    const { for_ms, confirm } = this.spec.events;
    const type = typeOf(value);
    const stoodMs = standing.sinceMs + for_ms;
    if (nowMs < stoodMs) return stoodMs;
    standing.stood = true;
    const told = { value, former: former?.value ?? null };
    if (value === former?.value) {
      this.told = told;
      this.reminder = null;
      return NEVER;
    }
    const previous = this.previousOf(standing);
    const isConfirmed = confirm === undefined || value === false || (standing.confirmation?.untilMs ?? 0) > nowMs;
    if (!isConfirmed && (standing.wish !== null || standing.refused === outcome)) return NEVER; // nothing to decide before the next answer
    const heldMs = this.heldUntil(nowMs, this.valueToldMs, standing, type, previous);
    if (heldMs !== null) return heldMs;
    if (!isConfirmed) {
      this.wish(standing, nowMs, confirm.after_ms);
      return NEVER;
    }
    this.told = told;
    this.valueToldMs = nowMs;
    this.reminder = value === false ? null : { sinceMs: nowMs, counted: new Set() };
    const confirmation = confirm === undefined ? null : standing.confirmation;
    this.tell({ type, previous, outcome, frame, confirmation, compare: compared(value, former) });
    return this.reminderMs;
  }

  private settleReminder(standing: Standing, nowMs: number): number {
    const { reminder, reminderMs } = this;
    if (reminder === null || nowMs < reminderMs) return reminderMs;
    const { outcome, frame, value, former } = standing;
    const previous = this.previousOf(standing);
    const heldMs = this.heldUntil(nowMs, this.valueToldMs, { outcome, counted: reminder.counted }, 'reminder', previous);
    if (heldMs !== null) return heldMs;
    this.reminder = null;
    this.valueToldMs = nowMs;
    this.tell({ type: 'reminder', previous, outcome, frame, confirmation: null, compare: compared(value, former) });
    return NEVER;
  }

  private get reminderMs(): number {
    const { remind_ms } = this.spec.events;
    return this.reminder === null || remind_ms === undefined ? NEVER : this.reminder.sinceMs + remind_ms;
  }

  /** Null: neither quiet hours nor the gap after the last event hold it back. */
  private heldUntil(nowMs: number, toldMs: number, news: News, type: EventType, previous: Value | null): number | null {
    // The gap first: none begins in quiet hours, so what is counted does not depend on how often this is looked at.
    const gapMs = toldMs + this.spec.events.gap_ms;
    if (nowMs < gapMs) {
      this.suppress('gap', news, type, previous);
      return gapMs;
    }
    const wallMs = this.clock.date().getTime();
    const quietMs = this.quiet.until(wallMs);
    if (quietMs === null) return null;
    this.suppress('quiet', news, type, previous);
    return nowMs + Math.min(quietMs - wallMs, LOOK_MS);
  }

  private wish(standing: Standing, nowMs: number, afterMs: number): void {
    const seenMs = standing.outcome.frame?.monotonicMs ?? nowMs;
    standing.wish = { fromMs: afterMs === 0 ? seenMs : nowMs + afterMs, asking: null };
    this.reports.wanted();
  }

  private suppress(reason: SuppressReason, { outcome, counted }: News, type: EventType, previous: Value | null): void {
    if (counted.has(reason)) return;
    counted.add(reason);
    this.suppressed[reason]++;
    this.reports.suppressed({ reason, type, previous, outcome, ...this.moment() });
  }

  private tell(event: Omit<WatchEvent, 'atMs' | 'at'>): void {
    this.count++;
    this.reports.event({ ...event, ...this.moment() });
  }

  private moment(): Pick<WatchEvent, 'atMs' | 'at'> {
    return { atMs: this.clock.now(), at: this.clock.date() };
  }
}

function typeOf(value: Value): EventType {
  return typeof value === 'boolean' ? (value ? 'triggered' : 'cleared') : 'changed';
}

/** Nobody will want its pixels. */
function release(standing: Standing): void {
  standing.letGo();
  Object.assign(standing, { frame: null, letGo: () => {} });
}
