/** Between a producer that never waits and one reader: holds the newest item only. */
export class Mailbox<T> {
  private item: { value: T } | undefined;
  private end: { error?: unknown } | undefined;
  private wake: (() => void) | undefined;

  /** `onDropped` is called for each item that a newer one replaced before it was read. */
  constructor(private readonly onDropped: (value: T) => void) {}

  put(value: T): void {
    if (this.item !== undefined) this.onDropped(this.item.value);
    this.item = { value };
    this.wake?.();
  }

  /** No item comes any more; what is still unread can be read first. The first call counts. */
  close(end: { error?: unknown } = {}): void {
    this.end ??= end;
    this.wake?.();
  }

  /** The newest unread item, waiting for one; undefined after the end. Throws the error that it was closed with. */
  async take(): Promise<T | undefined> {
    for (;;) {
      if (this.item !== undefined) {
        const { value } = this.item;
        this.item = undefined;
        return value;
      }
      if (this.end !== undefined) {
        if ('error' in this.end) throw this.end.error;
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }
}
