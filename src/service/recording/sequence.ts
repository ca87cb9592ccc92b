/** Hands things on in the order in which they were added, though some are not ready yet. */
interface Entry {
  hand: () => void;
  ready: boolean;
}

export class Sequence {
  private readonly entries: Entry[] = [];
  private waiting: (() => void)[] = [];

  /** `work` gets what `when` resolves to, which must not reject, when everything added before has been handed on. */
  add(work: () => void): void;
  add<T>(work: (value: T) => void, when: Promise<T>): void;
  add<T>(work: (value: T) => void, when?: Promise<T>): void {
    if (when === undefined) {
      this.entries.push({ hand: () => work(undefined as T), ready: true });
      this.flush();
      return;
    }
    const entry: Entry = { hand: () => {}, ready: false };
    this.entries.push(entry);
    void when.then((value) => {
      entry.hand = () => work(value);
      entry.ready = true;
      this.flush();
    });
  }

  /** Resolves when nothing waits. */
  async done(): Promise<void> {
    if (this.entries.length > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private flush(): void {
    while (this.entries[0]?.ready) this.entries.shift()?.hand();
    if (this.entries.length > 0) return;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
