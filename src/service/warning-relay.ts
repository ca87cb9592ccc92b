/** Passes warnings on without flooding: the same one within ten seconds is counted, and so is what exceeds the rate. */

export interface Warning {
  ts: string; // ISO 8601
  level: 'warn' | 'error' | 'fatal';
  /** The room it comes from. */
  ns: string;
  msg: string;
  /** How often it was logged since it was last passed on. */
  count: number;
}

const WINDOW_MS = 10_000;
const MOST_PER_WINDOW = 20;
const MOST_CHARS = 1000;

type Listener = (warning: Warning) => void;

export class WarningRelay {
  private readonly listeners = new Set<Listener>();
  /** Repeats since a warning was passed on in this window, by room, level and message. */
  private readonly seen = new Map<string, Warning>();
  private suppressed = 0;
  private timer: NodeJS.Timeout | null = null;
  private telling = false;

  add(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.reset();
    };
  }

  /** Never throws; ignores what listeners log. */
  take(warning: Warning): void {
    if (this.listeners.size === 0 || this.telling) return;
    const short = { ...warning, msg: warning.msg.slice(0, MOST_CHARS) };
    const key = `${short.ns}\n${short.level}\n${short.msg}`;
    const before = this.seen.get(key);
    if (before !== undefined) {
      this.seen.set(key, { ...short, count: before.count + 1 });
      return;
    }
    if (this.seen.size >= MOST_PER_WINDOW) {
      this.suppressed++;
      return;
    }
    this.seen.set(key, { ...short, count: 0 });
    this.timer ??= setTimeout(() => this.endWindow(), WINDOW_MS).unref();
    this.tell(short);
  }

  close(): void {
    this.endWindow();
    this.reset();
    this.listeners.clear();
  }

  private endWindow(): void {
    const repeated = [...this.seen.values()].filter(({ count }) => count > 0);
    const { suppressed } = this;
    this.reset();
    for (const warning of repeated) this.tell(warning);
    if (suppressed > 0) {
      const msg = `${suppressed} more warnings are only in the log of the node`;
      this.tell({ ts: new Date().toISOString(), level: 'warn', ns: 'service', msg, count: suppressed });
    }
  }

  private reset(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.seen.clear();
    this.suppressed = 0;
  }

  private tell(warning: Warning): void {
    this.telling = true;
    try {
      for (const listener of this.listeners) listener(warning);
    } catch {
      // the warning itself is in the log; a broken listener must not break whoever logs
    } finally {
      this.telling = false;
    }
  }
}
