/**
 * Tells how loaded the node is when that changes: at once, then at most every quarter of a second. Whoever chooses among nodes by their queues cannot
 * wait for the next health, and who asks nothing hears nothing more often than health.
 */
const PAUSE_MS = 250;

export class LoadReporter {
  private timer: NodeJS.Timeout | undefined;
  private again = false;
  private stopped = false;

  constructor(private readonly tell: () => void) {}

  changed(): void {
    if (this.stopped) return;
    this.again = this.timer !== undefined;
    if (this.again) return;
    this.tell();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.again) this.changed();
    }, PAUSE_MS);
  }

  /** Nothing is told any more. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }
}
