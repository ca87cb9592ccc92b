/** The other side of a comparison: what a watch believed then. */
import type { SeenFrame } from './outcome.js';
import type { Value, WatchSpec } from './spec.js';

/** What was believed then, and the answer that decided it. */
export interface Belief {
  value: Value;
  confidence: number | null;
  frame: Pick<SeenFrame, 'id' | 'at' | 'monotonicMs'>;
}

/** That beside what is believed now. */
export interface Compared extends Belief {
  /** What is believed now is something else. */
  changed: boolean;
}

/** That another watch has told a new value: the first answer about a frame of that moment or later is compared with. */
export interface Mark {
  /** That told it. */
  watch: string;
  /** Its outcome. */
  answer: string;
  /** Of that outcome. */
  frame: string;
  fromMs: number; // capture of `frame`: milliseconds of the clock
  /** When it was told: milliseconds of the clock, and the same on the wall clock. */
  atMs: number;
  at: Date;
}

const NEVER = Number.POSITIVE_INFINITY;
/** Of a history: it is exact to one of them, and has at most two entries more. */
export const STEPS = 254;

/** What a watch with `compare` remembers; null: it has none. */
export function pastOf(id: string, { compare }: Pick<WatchSpec, 'compare'>): Past | null {
  if (compare === undefined) return null;
  return compare.ago_ms === undefined ? new SinceEvent(compare.event === id) : new History(compare.ago_ms);
}

/** Null: one of them is not known. */
export function compared(now: Value | null, former: Belief | null): Compared | null {
  return now === null || former === null ? null : { ...former, changed: former.value !== now };
}

/** All times are milliseconds of the clock. */
export interface Past {
  /** Null: not known. */
  belief(nowMs: number): Belief | null;
  /** When time alone makes another value of it; infinite: never. */
  nextMs(nowMs: number): number;
  /** What is believed from this moment on, by an answer that spoke for it; null: nothing. */
  believe(now: Belief | null, atMs: number): void;
}

/** What was believed at any moment of the last `agoMs`: of several changes within a step the last, so the memory that it takes is bounded. */
export class History implements Past {
  private readonly entries: { fromMs: number; belief: Belief | null }[] = []; // the oldest is in force at the beginning of the window

  constructor(private readonly agoMs: number) {}

  get size(): number {
    return this.entries.length;
  }

  belief(nowMs: number): Belief | null {
    return this.entries[this.inForce(nowMs)]?.belief ?? null;
  }

  nextMs(nowMs: number): number {
    const index = this.inForce(nowMs);
    const value = this.entries[index]?.belief?.value;
    const next = this.entries.slice(index + 1).find(({ belief }) => belief?.value !== value);
    return next === undefined ? NEVER : next.fromMs + this.agoMs;
  }

  believe(now: Belief | null, atMs: number): void {
    const last = this.entries.at(-1);
    const isSame = last?.belief?.value === now?.value;
    const isSameStep = last !== undefined && this.step(last.fromMs) === this.step(atMs);
    if (isSame && (now === null || isSameStep)) return; // a younger frame for the same value is worth an entry, but takes none from another
    if (isSameStep) this.entries.pop();
    this.entries.push({ fromMs: atMs, belief: now });
    this.entries.splice(0, this.inForce(atMs));
  }

  private step(ms: number): number {
    return Math.floor((ms * STEPS) / this.agoMs);
  }

  /** -1: there is none that old. */
  private inForce(nowMs: number): number {
    return this.entries.findLastIndex(({ fromMs }) => fromMs + this.agoMs <= nowMs);
  }
}

/** What was answered about the first frame since something was told. */
export class SinceEvent implements Past {
  private known: Belief | null = null;
  /** Waits for an answer about a frame of this moment or later. */
  private fromMs: number | null;
  private last: Belief | null = null; // answer that was sure enough
  private spokenMs = Number.NEGATIVE_INFINITY; // capture of the last frame that spoke for what is believed

  /** `own`: of what the watch itself tells; its first answer is what that is measured by. */
  constructor(own: boolean) {
    this.fromMs = own ? Number.NEGATIVE_INFINITY : null;
  }

  /** Null: it waits for none. */
  get waitsForMs(): number | null {
    return this.fromMs;
  }

  /** What is believed by an older frame is not known to have changed since. */
  belief(): Belief | null {
    return this.known !== null && this.spokenMs >= this.known.frame.monotonicMs ? this.known : null;
  }

  nextMs(): number {
    return NEVER;
  }

  believe(now: Belief | null): void {
    if (now !== null) this.spokenMs = now.frame.monotonicMs;
  }

  /** One answer that is sure enough. */
  answered(answer: Belief): void {
    this.last = answer;
    if (this.fromMs !== null && answer.frame.monotonicMs >= this.fromMs) this.begin(answer);
  }

  mark(fromMs: number): void {
    this.known = null;
    this.fromMs = fromMs;
    if (this.last !== null) this.answered(this.last);
  }

  /** Then is now. */
  begin(answer: Belief): void {
    this.known = answer;
    this.fromMs = null;
  }
}
