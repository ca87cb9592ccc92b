/** A queue with a limit in entries and in bytes: what is too much falls out at the old end and is handed to `onDrop`. */
export class Ring<T> {
  private readonly entries: { value: T; bytes: number }[] = [];
  private total = 0;

  constructor(
    private readonly limit: { count: number; bytes: number },
    private readonly onDrop: (value: T) => void,
  ) {}

  get size(): number {
    return this.entries.length;
  }

  /** One that is larger than the whole falls out itself, not the others for it. */
  push(value: T, bytes: number): void {
    if (bytes > this.limit.bytes) {
      this.onDrop(value);
      return;
    }
    this.entries.push({ value, bytes });
    this.total += bytes;
    this.trim();
  }

  /** Before all others; `values` in order. */
  putBack(values: readonly { value: T; bytes: number }[]): void {
    this.entries.unshift(...values);
    for (const { bytes } of values) this.total += bytes;
    this.trim();
  }

  /** The oldest, still inside. */
  peek(): T | undefined {
    return this.entries[0]?.value;
  }

  shift(): T | undefined {
    const first = this.entries.shift();
    this.total -= first?.bytes ?? 0;
    return first?.value;
  }

  /** Empties it; each entry is handed to `onDrop`. */
  dropAll(): void {
    for (let value = this.shift(); value !== undefined; value = this.shift()) this.onDrop(value);
  }

  private trim(): void {
    while (this.entries.length > this.limit.count || (this.total > this.limit.bytes && this.entries.length > 0)) {
      this.onDrop(this.shift() as T);
    }
  }
}
