/** The final responses of the last while, by request: a request that comes twice gets the same one again. Bounded in count and bytes. */

interface Entry {
  payload: Buffer;
  until: number; // monotonic ms
}

export class Remembered {
  private readonly entries = new Map<string, Entry>(); // the oldest first
  private bytes = 0;
  private evicted = 0;

  constructor(private readonly limit: { ms: number; count: number; bytes: number }) {}

  get size(): number {
    return this.entries.size;
  }

  /** How many had to go before their time: a repetition of those would run again. */
  get evictions(): number {
    return this.evicted;
  }

  put(key: string, payload: Buffer): void {
    const now = performance.now();
    this.remove(key);
    this.entries.set(key, { payload, until: now + this.limit.ms });
    this.bytes += weight(key, payload);
    for (const [oldest, { until }] of this.entries) {
      const full = this.entries.size > this.limit.count || this.bytes > this.limit.bytes;
      if (!full && until > now) break;
      if (until > now) this.evicted++;
      this.remove(oldest);
    }
  }

  get(key: string): Buffer | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined || entry.until > performance.now()) return entry?.payload;
    this.remove(key);
    return undefined;
  }

  private remove(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.bytes -= weight(key, entry.payload);
    this.entries.delete(key);
  }
}

/** Bytes of an entry, its bookkeeping included. */
function weight(key: string, payload: Buffer): number {
  return 200 + 2 * key.length + payload.length;
}
