/** How much of the last minute something was in use. */
const SLICES = 60;
const SLICE_MS = 1000;

export class Usage {
  private readonly slices = new Float64Array(SLICES); // milliseconds used in each second of the last minute
  private users = 0;
  private accountedMs = performance.now();
  private slice = Math.floor(this.accountedMs / SLICE_MS);
  private readonly listeners = new Set<(isFree: boolean) => void>();

  get isFree(): boolean {
    return this.users === 0;
  }

  /** `listener` is told of the first user before its work begins, and when the last has gone. Returns how to stop that. */
  onChange(listener: (isFree: boolean) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Where uses overlap, the time is counted once. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.account();
    if (this.users++ === 0) this.tell(false);
    try {
      return await work();
    } finally {
      this.account();
      if (--this.users === 0) this.tell(true);
    }
  }

  /** 0 to 1. */
  ratio(): number {
    this.account();
    const used = this.slices.reduce((sum, ms) => sum + ms, 0);
    return Math.min(1, used / (SLICES * SLICE_MS));
  }

  private tell(isFree: boolean): void {
    for (const listener of this.listeners) listener(isFree);
  }

  /** Puts the time since the last call into the seconds it belongs to; each second begun forgets the one a minute before. */
  private account(): void {
    const now = performance.now();
    const last = Math.floor(now / SLICE_MS);
    this.slice = Math.max(this.slice, last - SLICES);
    this.accountedMs = Math.max(this.accountedMs, this.slice * SLICE_MS);
    while (this.slice < last) {
      this.add((this.slice + 1) * SLICE_MS);
      this.slice++;
      this.slices[this.slice % SLICES] = 0;
    }
    this.add(now);
  }

  private add(untilMs: number): void {
    const index = this.slice % SLICES;
    if (this.users > 0) this.slices[index] = (this.slices[index] as number) + untilMs - this.accountedMs;
    this.accountedMs = untilMs;
  }
}
