/** Passes warnings on without flooding: the same one within ten seconds is counted, and so is what exceeds the rate. */
import { Repeats } from './repeats.js';

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
  private readonly repeats = new Repeats<Warning>({
    windowMs: WINDOW_MS,
    most: MOST_PER_WINDOW,
    tell: (warning, count) => this.tell({ ...warning, count }),
    leftOut: (count) =>
      this.tell({ ts: new Date().toISOString(), level: 'warn', ns: 'service', msg: `${count} more warnings are not told here`, count }),
  });
  private telling = false;

  add(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.repeats.reset();
    };
  }

  /** Never throws; ignores what listeners log. */
  take(warning: Warning): void {
    if (this.listeners.size === 0 || this.telling) return;
    const short = { ...warning, msg: warning.msg.slice(0, MOST_CHARS) };
    this.repeats.take(`${short.ns}\n${short.level}\n${short.msg}`, short);
  }

  close(): void {
    this.repeats.endWindow();
    this.repeats.reset();
    this.listeners.clear();
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
