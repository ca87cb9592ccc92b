/** Waiting times between attempts that must go on for ever: cameras and broker connections share this rule. */

export interface BackoffOptions {
  firstMs: number;
  mostMs: number;
  /** Numbers in [0, 1); for tests. */
  random?: () => number;
}

/** Doubles from `firstMs` to `mostMs`; each delay is drawn from its upper half, so that many devices do not return in step. */
export class Backoff {
  private attempts = 0;

  constructor(private readonly options: BackoffOptions = { firstMs: 1000, mostMs: 60_000 }) {}

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const { firstMs, mostMs, random = Math.random } = this.options;
    const ceiling = Math.min(mostMs, firstMs * 2 ** Math.min(this.attempts, 30));
    this.attempts++;
    return ceiling * (0.5 + random() / 2);
  }

  /** After an attempt that has proven good. */
  reset(): void {
    this.attempts = 0;
  }
}
