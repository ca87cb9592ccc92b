/** Events per second over the last few seconds, in bounded memory. */
const MOST = 64; // arrivals remembered
const WINDOW_MS = 5000;

export class Rate {
  private readonly times: number[] = [];

  count(now: number): void {
    this.times.push(now);
    if (this.times.length > MOST) this.times.shift();
  }

  perSecond(now: number): number {
    const recent = this.times.filter((time) => time > now - WINDOW_MS);
    const [first, last] = [recent[0], recent.at(-1)];
    if (first === undefined || last === undefined || recent.length < 2) return 0;
    // Silence since the last arrival counts as soon as it is longer than the usual interval.
    const interval = (last - first) / (recent.length - 1);
    return 1000 / Math.max(interval, (now - first) / recent.length);
  }
}
