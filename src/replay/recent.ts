/** What is known of frames, as far back as a record speaks of one again. */
const FARTHEST = 1000;

export class Recent<T> {
  private readonly entries = new Map<string, T>(); // oldest first

  get(frame: string): T | undefined {
    return this.entries.get(frame);
  }

  set(frame: string, value: T): void {
    this.entries.set(frame, value);
    if (this.entries.size <= FARTHEST) return;
    for (const oldest of this.entries.keys()) {
      this.entries.delete(oldest);
      return;
    }
  }
}
