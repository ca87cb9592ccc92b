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

export interface TrialOptions {
  /** Of the model before, in ms; null: nobody knows, so only failures count. */
  usualMs: number | null;
  /** Answers must take twice the time for so long: a machine that is busy with something else for a moment is no fault of the model. */
  standsMs: number;
  /** Milliseconds of a clock that only goes forward. Default: the process's. */
  now?: () => number;
}

export class Trial {
  private readonly lately: (number | null)[] = []; // ms; null: it failed
  private slowSinceMs: number | null = null;

  constructor(private readonly options: TrialOptions) {}

  /** An answer that took `ms`, or null: one that failed. Returns why the model must go, in words; null: it may stay. */
  answered(ms: number | null): string | null {
    this.lately.push(ms);
    if (this.lately.length > WINDOW) this.lately.shift();
    const times = this.lately.filter((one) => one !== null);
    const failures = this.lately.length - times.length;
    if (failures >= FEWEST_FAILURES && failures > times.length) return `${failures} of its last ${this.lately.length} answers failed`;
    return times.length < FEWEST ? null : this.slowness(median(times));
  }

  private slowness(ms: number): string | null {
    const { usualMs, standsMs, now = () => performance.now() } = this.options;
    if (usualMs === null || ms < TIMES_SLOWER * usualMs) {
      this.slowSinceMs = null;
      return null;
    }
    this.slowSinceMs ??= now();
    if (now() - this.slowSinceMs < standsMs) return null;
    return `an answer takes ${Math.round(ms)} ms, where the model before took ${Math.round(usualMs)} ms`;
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}
