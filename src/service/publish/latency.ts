/** How long answers took from the capture of their frame to their publication: the last few hundred, for the health document. */
const REMEMBERED = 512;

export class Latency {
  private readonly recent: number[] = [];
  private next = 0;

  add(ms: number): void {
    this.recent[this.next] = ms;
    this.next = (this.next + 1) % REMEMBERED;
  }

  /** Milliseconds; null before the first answer. */
  quantiles(): { p50: number; p95: number; p99: number } | null {
    if (this.recent.length === 0) return null;
    const sorted = [...this.recent].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}
