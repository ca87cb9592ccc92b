/** What comes again and again is passed on once and then counted, and more than so many different things in a window are only counted. */

export interface RepeatsOptions<T> {
  windowMs: number;
  /** Different keys that are passed on in a window. */
  most: number;
  /** `count` is 1 at first, and at the end of the window how often it came again. */
  tell: (item: T, count: number) => void;
  /** At the end of a window: how many were beyond `most`. */
  leftOut: (count: number) => void;
}

export class Repeats<T> {
  /** The newest of each key, and how often it came since it was passed on. */
  private readonly seen = new Map<string, { item: T; count: number }>();
  private suppressed = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: RepeatsOptions<T>) {}

  take(key: string, item: T): void {
    const before = this.seen.get(key);
    if (before !== undefined) {
      this.seen.set(key, { item, count: before.count + 1 });
      return;
    }
    if (this.seen.size >= this.options.most) {
      this.suppressed++;
      return;
    }
    this.seen.set(key, { item, count: 0 });
    this.timer ??= setTimeout(() => this.endWindow(), this.options.windowMs).unref();
    this.options.tell(item, 1);
  }

  /** Tells what was counted, now. */
  endWindow(): void {
    const repeated = [...this.seen.values()].filter(({ count }) => count > 0);
    const { suppressed } = this;
    this.reset();
    for (const { item, count } of repeated) this.options.tell(item, count);
    if (suppressed > 0) this.options.leftOut(suppressed);
  }

  /** Forgets what was counted; leaves no timer behind. */
  reset(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.seen.clear();
    this.suppressed = 0;
  }
}
