/** What every call to the engine shares: the caller's stack, a signal, a deadline, a priority; and how a native job becomes a promise. */
import type { Job, JobOptions } from '../addon/addon.js';
import { type CallSite, type ErrorCode, fromNative, MiphaError, type MiphaErrorOf, type MiphaErrorOptions, optionError } from '../errors.js';
import { onAbort } from '../signals.js';

export interface CallOptions {
  /** Aborting rejects the call with `signal.reason`; the work stops within one token or one layer. */
  signal?: AbortSignal | undefined;
  /** Milliseconds from now, after which the call rejects with ERR_DEADLINE. Among equal priorities the earliest deadline goes first. */
  deadlineMs?: number | undefined;
  /** Whole number, higher first. Default 0. */
  priority?: number | undefined;
}

export const CALL_KEYS = ['signal', 'deadlineMs', 'priority'] as const;

export class Call {
  readonly begin = performance.now();

  /** Throws ERR_OPTION; `owner` names the public call, `site` is its callSite(). */
  constructor(
    owner: string,
    private readonly options: CallOptions,
    private readonly site: CallSite,
  ) {
    checkSignal(`${owner}.signal`, options.signal);
    checkNumber(`${owner}.deadlineMs`, options.deadlineMs, { above: 0 });
    checkNumber(`${owner}.priority`, options.priority, { whole: true, least: -1000, most: 1000 });
  }

  get signal(): AbortSignal | undefined {
    return this.options.signal;
  }

  /** Throws `signal.reason` or ERR_DEADLINE when there is no point in starting. */
  check(): void {
    this.options.signal?.throwIfAborted();
    if (this.remainingMs() <= 0) throw this.deadlineError();
  }

  jobOptions(): JobOptions {
    const { deadlineMs, priority = 0 } = this.options;
    return deadlineMs === undefined ? { priority } : { priority, deadlineMs: this.remainingMs() };
  }

  /** Runs a job to its end. A cancelled outcome becomes the reason of the cancellation, unless `keep` allows it. */
  async settle<T>(start: () => Job<T>, cancelled: (outcome: T) => boolean, keep: () => boolean = () => false): Promise<T> {
    this.check();
    const { signal } = this.options;
    let unlink = () => {};
    let outcome: T;
    try {
      const job = start();
      unlink = onAbort(signal, () => job.cancel());
      outcome = await job.done;
    } catch (error) {
      throw fromNative(error, this.site);
    } finally {
      unlink();
    }
    if (!cancelled(outcome) || keep()) return outcome;
    signal?.throwIfAborted();
    if (this.remainingMs() <= 0) throw this.deadlineError();
    throw this.error('ERR_DISPOSED', 'The engine was disposed while this call was under way');
  }

  /** An error with the stack of the public call. */
  error<C extends ErrorCode>(code: C, message: string, options?: MiphaErrorOptions<C>): MiphaErrorOf<C> {
    const error = new MiphaError(code, message, options);
    error.stack = `${error.name}: ${message}\n${this.site}`;
    return error;
  }

  private remainingMs(): number {
    return (this.options.deadlineMs ?? Number.POSITIVE_INFINITY) - (performance.now() - this.begin);
  }

  private deadlineError(): MiphaError {
    const { deadlineMs } = this.options;
    return this.error('ERR_DEADLINE', `The call took longer than its deadline of ${deadlineMs} ms`, {
      details: { deadlineMs: deadlineMs as number },
    });
  }
}

export function checkSignal(name: string, value: unknown): void {
  if (value !== undefined && !(value instanceof AbortSignal)) throw optionError(name, 'an AbortSignal', value);
}

export interface Range {
  whole?: boolean;
  least?: number;
  most?: number;
  above?: number;
}

/** Throws ERR_OPTION unless `value` is undefined or a finite number in the range. */
export function checkNumber(name: string, value: unknown, { whole = false, least, most, above }: Range): void {
  if (value === undefined) return;
  const kind = whole ? 'a whole number' : 'a number';
  const range = above !== undefined ? ` above ${above}${most === undefined ? '' : ` and at most ${most}`}` : ` from ${least} to ${most}`;
  const fits = typeof value === 'number' && Number.isFinite(value) && (!whole || Number.isInteger(value));
  const inside = fits && (above === undefined || value > above) && (least === undefined || value >= least) && (most === undefined || value <= most);
  if (!inside) throw optionError(name, kind + range, value);
}
