/** What watches and queries leave of the engine: work that waits until nobody else uses it, and makes room at once when somebody comes. */
import type { CallOptions } from '../engine/call.js';
import { MiphaError } from '../errors.js';
import type { Usage } from './usage.js';

/** Below every watch. */
const PRIORITY = -1000;
/** Who has just been served often asks again, and a look that is begun in vain costs the others a layer. */
const REST_MS = 20;
const PATIENCE_MS = 600_000;

export class Spare {
  /** `usage`: of the watches and queries. This work is no use in its sense: nobody waits for it. */
  constructor(
    private readonly usage: Usage,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  /**
   * `work` is begun anew as often as somebody came in between; it must let go of the engine when its signal aborts. Rejects with `signal.reason`,
   * what it throws, and ERR_DEADLINE when it never had the time to end.
   */
  async run<T>(work: (call: Pick<CallOptions, 'signal' | 'priority'>) => Promise<T>, signal: AbortSignal): Promise<T> {
    const begunMs = performance.now();
    for (;;) {
      await this.untilFree(signal, begunMs + this.patienceMs);
      const taken = new AbortController();
      const stop = this.onTaken(() => taken.abort());
      try {
        return await work({ signal: AbortSignal.any([signal, taken.signal]), priority: PRIORITY });
      } catch (error) {
        signal.throwIfAborted();
        if (!taken.signal.aborted) throw error;
      } finally {
        stop();
      }
    }
  }

  /** `listener` is called when somebody else comes, before their work begins. Returns how to stop that. */
  onTaken(listener: () => void): () => void {
    return this.usage.onChange((isFree) => {
      if (!isFree) listener();
    });
  }

  /** It is, and was for a moment, when this resolves. */
  private async untilFree(signal: AbortSignal, endMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let stop = () => {};
    let abort = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        abort = () => reject(signal.reason);
        const rest = (isFree: boolean) => {
          clearTimeout(timer);
          const leftMs = endMs - performance.now();
          if (leftMs <= 0) return reject(this.starved());
          timer = isFree ? setTimeout(resolve, REST_MS) : setTimeout(() => reject(this.starved()), leftMs);
        };
        stop = this.usage.onChange(rest);
        signal.addEventListener('abort', abort, { once: true });
        rest(this.usage.isFree);
        if (signal.aborted) abort();
      });
    } finally {
      clearTimeout(timer);
      stop();
      signal.removeEventListener('abort', abort);
    }
  }

  private starved(): MiphaError {
    const minutes = Math.round(this.patienceMs / 60_000);
    return new MiphaError('ERR_DEADLINE', `The watches and questions of this node left no time to look at a picture within ${minutes} minutes`, {
      details: { deadlineMs: this.patienceMs },
    });
  }
}
