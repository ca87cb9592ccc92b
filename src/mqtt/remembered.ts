/** Final responses by request, each for as long as it may be repeated: a request that comes twice gets the same one again. Bounded in count and bytes. */

export interface Memory {
  payload: Buffer;
  /** Monotonic ms: when it must not be repeated any more. */
  until: number;
  /** What the response is true of: it is not repeated once that has changed. */
  world: unknown;
}

export class Remembered {
  private readonly entries = new Map<string, Memory>(); // the oldest first
  private bytes = 0;
  private evicted = 0;

  constructor(private readonly limit: { count: number; bytes: number }) {}

  get size(): number {
    return this.entries.size;
  }

  /** How many had to go before their time: a repetition of those would run again. */
  get evictions(): number {
    return this.evicted;
  }

  put(key: string, memory: Memory): void {
    const now = performance.now();
    this.remove(key);
    if (memory.until <= now) return;
    this.entries.set(key, { ...memory, payload: apart(memory.payload) });
    this.bytes += weight(key, memory.payload);
    for (const [oldest, { until }] of this.entries) {
      const full = this.entries.size > this.limit.count || this.bytes > this.limit.bytes;
      if (!full && until > now) break;
      if (until > now) this.evicted++;
      this.remove(oldest);
    }
  }

  /** Undefined for what is not known, too old, or of another world. */
  get(key: string, world: unknown): Memory | undefined {
    const memory = this.entries.get(key);
    if (memory === undefined) return undefined;
    if (memory.until > performance.now() && memory.world === world) return memory;
    this.remove(key);
    return undefined;
  }

  private remove(key: string): void {
    const memory = this.entries.get(key);
    if (memory === undefined) return;
    this.bytes -= weight(key, memory.payload);
    this.entries.delete(key);
  }
}

/** A copy with memory of its own: a slice of Node's pool would hold 8 KB alive for a few hundred bytes. */
function apart(payload: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(payload.length);
  payload.copy(copy);
  return copy;
}

/** Bytes of an entry, its bookkeeping included. */
function weight(key: string, payload: Buffer): number {
  return 200 + 2 * key.length + payload.length;
}
