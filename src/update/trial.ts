/** Whether a model that was just put in its place does as well as the one before: its answers come, and not in twice the time. */

/** Of the last so many answers. */
const WINDOW = 20;
const FEWEST = 10;
const FEWEST_FAILURES = 5;
const TIMES_SLOWER = 2;
const REMEMBERED = 50;

/** How long the present model usually takes for an answer: the median of the last ones. */
export class Pace {
  private readonly lately: number[] = []; // ms

  add(ms: number): void {
    this.lately.push(ms);
    if (this.lately.length > REMEMBERED) this.lately.shift();
  }

  /** Milliseconds; null: too few answers to tell. */
  get usualMs(): number | null {
    return this.lately.length < FEWEST ? null : median(this.lately);
  }

  forget(): void {
    this.lately.length = 0;
  }
}

export class Trial {
  private readonly lately: (number | null)[] = []; // ms; null: it failed

  /** `usualMs`: of the model before; null: nobody knows, so only failures count. */
  constructor(private readonly usualMs: number | null) {}

  /** An answer that took `ms`, or null: one that failed. Returns why the model must go, in words; null: it may stay. */
  answered(ms: number | null): string | null {
    this.lately.push(ms);
    if (this.lately.length > WINDOW) this.lately.shift();
    const times = this.lately.filter((one) => one !== null);
    const failures = this.lately.length - times.length;
    if (failures >= FEWEST_FAILURES && failures > times.length) return `${failures} of its last ${this.lately.length} answers failed`;
    if (this.usualMs === null || times.length < FEWEST) return null;
    const now = median(times);
    if (now < TIMES_SLOWER * this.usualMs) return null;
    return `an answer takes ${Math.round(now)} ms, where the model before took ${Math.round(this.usualMs)} ms`;
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}
