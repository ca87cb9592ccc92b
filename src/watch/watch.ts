/** One standing question: what was asked, what is believed, and until when. */
import type { Frame } from '../camera/frame.js';
import type { Answer } from '../engine/answer.js';
import type { AnswerType } from '../engine/answer-type.js';
import { fromNative, type MiphaError } from '../errors.js';
import { Agreement, rulesOf } from './agreement.js';
import { answerType } from './answer-type.js';
import type { Clock } from './clock.js';
import type { Suppressed, WatchEvent } from './event.js';
import { Events } from './events.js';
import { Gate } from './gate.js';
import type { Inspection } from './inspection.js';
import type { LocalTime } from './local-time.js';
import { type Opinion, secondInquiry } from './opinion.js';
import { nothingKnown, type Sight, type WatchOutcome } from './outcome.js';
import { partKey } from './part.js';
import { type Belief, compared, type Mark, type Past, pastOf, SinceEvent } from './past.js';
import { seenFrame, timingOf } from './seen.js';
import { confidencesOf, type Value, type WatchSpec } from './spec.js';

/** Whom a watch tells. */
export interface Reports {
  outcome: (outcome: WatchOutcome) => void;
  event: (event: WatchEvent) => void;
  suppressed: (suppressed: Suppressed) => void;
  opinion: (opinion: Opinion) => void;
  /** A second opinion is wanted. */
  wanted: () => void;
}

/** An inference under way for one watch. */
export interface Inquiry {
  watch: Watch;
  frame: Frame;
  /** Aborts when the answer is of no use any more. */
  signal: AbortSignal;
  /** After this, in milliseconds of the clock, the answer would have expired before it came. */
  deadlineMs: number;
  question: string;
  /** What the engine decodes the answer by. */
  as: AnswerType<Value>;
  /** `beganMs`: when the look began. */
  succeed: (seen: Sight, answer: Answer<Value>, beganMs: number) => void;
  fail: (cause: unknown) => void;
}

/** One answer, as far as it is remembered. */
interface Remembered {
  belief: Belief;
  /** It has the confidence that a new value needs. */
  isSure: boolean;
  /** For what is believed. */
  speaks: boolean;
}

export class Watch {
  readonly gate: Gate;
  /** Looks that others got since this one was due. */
  passed = 0;
  /** What was told last about a frame. */
  decision = '';
  lastAskedMs = Number.NEGATIVE_INFINITY;
  lastAskedAt: Date | null = null;
  asked = 0;
  answered = 0;
  errors = 0;
  private readonly agreement: Agreement;
  private type: AnswerType<Value>;
  private present: WatchSpec;
  readonly events: Events;
  private past: Past | null;
  /** What was said last. */
  private reported: WatchOutcome['status'] | null = null;
  private inquiry: AbortController | null = null;
  /** Set while an answer is relied upon. */
  private expiry: { cancel: () => void; at: Date; untilMs: number } | null = null;

  constructor(
    readonly id: string,
    spec: WatchSpec,
    private readonly clock: Clock,
    time: LocalTime,
    private readonly reports: Reports,
  ) {
    this.present = spec;
    this.type = answerType(spec.answer);
    this.gate = new Gate(spec);
    this.agreement = new Agreement(...rulesOf(spec));
    this.past = pastOf(id, spec);
    this.events = new Events(spec, clock, time, reports, this.past);
  }

  get spec(): WatchSpec {
    return this.present;
  }

  get value(): Value | null {
    return this.agreement.value;
  }

  get validUntil(): Date | null {
    return this.expiry?.at ?? null;
  }

  /** Whether `spec` asks the same about the same, so that what is believed stays true. */
  asksTheSame(spec: WatchSpec): boolean {
    const { camera, question, answer } = this.present;
    const sameAnswer = JSON.stringify(answer) === JSON.stringify(spec.answer);
    return camera === spec.camera && question === spec.question && sameAnswer && partKey(this.present) === partKey(spec);
  }

  /** Takes over intervals, limits and the like of a spec that asks the same. */
  change(spec: WatchSpec): void {
    if (JSON.stringify(spec.compare) !== JSON.stringify(this.present.compare)) {
      this.past = pastOf(this.id, spec);
      this.gate.want(null);
    }
    this.present = spec;
    this.gate.change(spec);
    this.agreement.change(...rulesOf(spec));
    if (!spec.enabled) this.cancel();
    this.events.change(spec, this.past);
  }

  begin(inspection: Inspection, nowMs: number): Inquiry {
    this.gate.ask(inspection, nowMs);
    return this.inquire(inspection, nowMs);
  }

  /** A frame that is being looked at for others; see wantsLook(). */
  beginBesides(inspection: Inspection, nowMs: number, isNewest: boolean): Inquiry {
    this.gate.askBesides(inspection, nowMs, isNewest);
    return this.inquire(inspection, nowMs);
  }

  /** What was told elsewhere is to be compared with this frame, or a later one. */
  wantsLook(frame: Frame, nowMs: number): boolean {
    return this.present.enabled && this.inquiry === null && this.gate.wants(frame, nowMs);
  }

  /** Another watch, which this one compares with, has told something. */
  mark({ fromMs }: Pick<Mark, 'fromMs'>): void {
    if (!(this.past instanceof SinceEvent)) return;
    this.past.mark(fromMs);
    this.gate.want(this.past.waitsForMs);
    this.events.settle();
  }

  /** This one has, and compares with that. */
  markOwn(answer: Belief): void {
    if (!(this.past instanceof SinceEvent)) return;
    this.past.begin(answer);
    this.events.settle();
  }

  private inquire({ frame }: Inspection, nowMs: number): Inquiry {
    this.inquiry = new AbortController();
    this.passed = 0;
    this.lastAskedMs = nowMs;
    this.lastAskedAt = this.clock.date();
    this.asked++;
    const inquiry: Inquiry = {
      watch: this,
      frame,
      signal: this.inquiry.signal,
      deadlineMs: frame.monotonicMs + this.present.ttl_ms,
      question: this.present.question,
      as: this.type,
      succeed: (...given) => this.succeed(inquiry, ...given),
      fail: (cause) => this.fail(inquiry, cause),
    };
    return inquiry;
  }

  /** The second question about a frame that is being looked at, where an event waits for it; null: none does. */
  second(frame: Frame): Inquiry | null {
    this.passed = 0;
    return secondInquiry(this, this.events, this.clock, frame, this.reports.opinion);
  }

  /** A look at this frame is wanted for the second question. */
  wantsSecond(frame: Frame, nowMs: number): boolean {
    return nowMs - frame.monotonicMs <= this.present.max_age_ms && this.events.wants(frame);
  }

  private succeed(
    { frame, deadlineMs }: Inquiry,
    seen: Sight,
    { value, text, confidence, finish, tokens, timings }: Answer<Value>,
    beganMs: number,
  ): void {
    this.inquiry = null;
    this.lapse();
    this.answered++;
    const verdict = this.agreement.observe(value, confidence);
    const { changed, previous } = verdict;
    const nowMs = this.clock.now();
    this.gate.answered(nowMs, { settled: verdict.value === value, changed });
    if (verdict.supported || verdict.value === null) this.rely(frame, deadlineMs);
    const outcome: WatchOutcome = {
      ...this.base('ok', nowMs),
      value: verdict.value,
      previous,
      changed,
      observed: value,
      confidence,
      stableCount: this.agreement.stableCount,
      answer: text,
      truncated: finish === 'length',
      frame: seenFrame(frame, this.present.crop),
      timing: timingOf(seen, timings, this.clock.now() - beganMs),
      tokens: { in: tokens.prompt, out: tokens.answer },
    };
    const isSure = confidence === null || confidence >= confidencesOf(this.present, value).minConfidence;
    const belief = { value, confidence, frame: { id: frame.id, at: frame.at, monotonicMs: frame.monotonicMs } };
    this.report(outcome, frame, { belief, isSure, speaks: verdict.supported });
  }

  private fail({ frame }: Inquiry, cause: unknown): void {
    this.inquiry = null;
    this.lapse();
    this.errors++;
    const nowMs = this.clock.now();
    this.gate.failed(nowMs);
    const { code, message, retryable }: MiphaError = fromNative(cause, '');
    const { value } = this;
    const outcome: WatchOutcome = {
      ...this.base('error', nowMs),
      value,
      previous: value,
      frame: seenFrame(frame, this.present.crop),
      error: { code, message, retryable },
    };
    this.report(outcome, frame);
  }

  /** Gives up what is under way; nothing is reported about it. */
  cancel(): void {
    if (this.inquiry === null) return;
    this.inquiry.abort();
    this.inquiry = null;
    this.gate.forget();
  }

  /** What is believed is true no longer, because it has expired or because something else will be asked or looked at. */
  expire(): void {
    if (this.expiry !== null) this.becomeStale();
  }

  /** Nobody asks any more: whatever was said, nothing is known from now on. Leaves no timer and nothing under way. */
  end(): void {
    this.cancel();
    if (this.reported !== null && this.reported !== 'stale') this.becomeStale();
    this.events.close();
  }

  /** Leaves no timer and nothing under way; reports nothing. */
  close(): void {
    this.cancel();
    this.forgetExpiry();
    this.events.close();
  }

  private rely({ at, monotonicMs }: Frame, untilMs: number): void {
    this.forgetExpiry();
    const cancel = this.clock.after(Math.max(0, untilMs - this.clock.now()), () => this.expire());
    this.expiry = { cancel, at: new Date(at.getTime() + untilMs - monotonicMs), untilMs };
  }

  /** A busy process may not have come to it at its time. */
  private lapse(): void {
    if (this.expiry !== null && this.clock.now() >= this.expiry.untilMs) this.expire();
  }

  private becomeStale(): void {
    const previous = this.agreement.value;
    const validUntil = this.expiry === null ? null : new Date(Math.min(this.expiry.at.getTime(), this.clock.date().getTime()));
    this.forgetExpiry();
    this.agreement.reset();
    this.report({ ...this.base('stale', this.clock.now()), previous, changed: previous !== null, validUntil });
  }

  private forgetExpiry(): void {
    this.expiry?.cancel();
    this.expiry = null;
  }

  private report(given: WatchOutcome, frame: Frame | null = null, answer: Remembered | null = null): void {
    this.events.settle();
    const outcome = { ...given, compare: this.compare(given, answer) };
    this.reported = outcome.status;
    this.reports.outcome(outcome);
    this.events.observe(outcome, frame, this.expiry?.untilMs ?? Number.NEGATIVE_INFINITY);
  }

  /** Remembers this moment, and looks back. */
  private compare({ value, atMs }: WatchOutcome, answer: Remembered | null): WatchOutcome['compare'] {
    const { past } = this;
    if (past === null) return null;
    if (value === null) past.believe(null, atMs);
    else if (answer?.speaks) past.believe(answer.belief, atMs);
    if (past instanceof SinceEvent && answer?.isSure) {
      past.answered(answer.belief);
      if (past.waitsForMs === null) this.gate.want(null);
    }
    return compared(value, past.belief(atMs));
  }

  private base(status: WatchOutcome['status'], atMs: number): WatchOutcome {
    return { ...nothingKnown(this.id, this.present, atMs), status, validUntil: this.validUntil };
  }
}
