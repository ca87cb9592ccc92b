/** Where whoever asks once waits for a turn: a bounded lane beside the watches, one at a time, ahead of them in the engine. */
import type { CallOptions } from '../engine/call.js';
import { MiphaError } from '../errors.js';
import { Usage } from './usage.js';
import { GRACE_MS, within } from './within.js';

export interface LaneRequest {
  /** 0 to 9, higher first; among equals the earliest deadline. Default 0. */
  priority?: number | undefined;
  /** Milliseconds from now. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
  /** Guests together take at most half of the places, so that a crowd of them leaves room for others. */
  guest?: boolean | undefined;
  /** It has its place in the lane. */
  onAdmitted?: (() => void) | undefined;
}

/** What the work of a request gets when its turn has come. */
export interface LaneTurn {
  /** Aborted when nobody wants the outcome any more. */
  readonly signal: AbortSignal;
  /** Of performance.now(): when the request came. */
  readonly arrivedMs: number;
  /** How long it has waited. */
  readonly waitedMs: number;
  /** For calls of the engine, with the time that is left now. */
  call(): Required<Omit<CallOptions, 'signal'>> & { signal: AbortSignal };
  /** Ends the request with this error. */
  giveUp(error: MiphaError): void;
}

export interface LaneOptions {
  /** Most requests waiting and under way. */
  limit: number;
  /** Shared with others that use the same engine. */
  usage?: Usage | undefined;
  /** Another number of requests is waiting or under way. */
  onChange?: (() => void) | undefined;
}

/** Above every watch. */
const PRIORITY = 100;
const FIRST_GUESS_MS = 1000; // of how long a request takes
const REMEMBERED = 31; // durations, for the median

interface Entry {
  request: LaneRequest;
  arrivedMs: number; // of performance.now()
  deadlineMs: number; // the same
  controller: AbortController;
  started: boolean;
  run: () => Promise<void>;
}

export class Lane {
  private readonly waiting: Entry[] = [];
  private current: { entry: Entry; done: Promise<void> } | null = null;
  private stopped = false;
  private held = 0; // by so many
  private rejected = 0;
  /** How long the last requests took once their turn had come; ms. */
  private readonly lately: number[] = [];
  private readonly usage: Usage;
  private readonly onChange: () => void;
  private limit: number;

  constructor({ limit, usage = new Usage(), onChange = () => {} }: LaneOptions) {
    this.limit = limit;
    this.usage = usage;
    this.onChange = onChange;
  }

  /** `usualMs`: how long a request takes once its turn has come, the median of the last ones; null before the first. */
  get status(): { waiting: number; running: number; limit: number; rejected: number; usualMs: number | null } {
    const { waiting, current, limit, rejected, usualMs } = this;
    return { waiting: waiting.length, running: current === null ? 0 : 1, limit, rejected, usualMs };
  }

  /** For requests that come from now on. */
  setLimit(limit: number): void {
    this.limit = limit;
  }

  /** What keeps a request from being taken now, counted as a refusal: ERR_BUSY or ERR_DISPOSED, as run() throws them. */
  refusal({ guest = false }: Pick<LaneRequest, 'guest'> = {}): MiphaError | undefined {
    if (this.stopped) return stopping();
    const inside = [...this.waiting, ...(this.current === null ? [] : [this.current.entry])];
    const guests = inside.filter(({ request }) => request.guest === true).length;
    const room = Math.max(1, Math.floor(this.limit / 2));
    if (inside.length < this.limit && !(guest && guests >= room)) return undefined;
    this.rejected++;
    const limit = guest ? room : this.limit;
    return new MiphaError('ERR_BUSY', `All ${limit} places for queries are taken`, {
      details: { limit, retryAfterMs: Math.max(1, Math.round(this.usualMs ?? FIRST_GUESS_MS)) },
    });
  }

  /**
   * Rejects with `signal.reason`; ERR_DEADLINE (details: `started`, whether any work had begun); ERR_BUSY when the lane is full (details:
   * retryAfterMs); ERR_DISPOSED after stop(); and what the work throws. It settles then at once, though the work may need a moment more.
   */
  async run<T>(request: LaneRequest, work: (turn: LaneTurn) => Promise<T>): Promise<T> {
    if (this.stopped) throw stopping();
    request.signal?.throwIfAborted();
    const refusal = this.refusal(request);
    if (refusal !== undefined) throw refusal;
    const arrivedMs = performance.now();
    const controller = new AbortController();
    const entry: Entry = { request, arrivedMs, deadlineMs: arrivedMs + request.deadlineMs, controller, started: false, run: async () => {} };
    const abort = () => controller.abort(request.signal?.reason);
    const timer = setTimeout(() => controller.abort(late(entry)), request.deadlineMs);
    request.signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<T>((resolve, reject) => {
        entry.run = async () => {
          await work(turnOf(entry)).then(resolve, (error: unknown) => reject(isDeadline(error) ? late(entry) : error));
        };
        controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
        this.waiting.push(entry);
        request.onAdmitted?.();
        this.next();
        this.onChange();
      });
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener('abort', abort);
      const place = this.waiting.indexOf(entry);
      if (place >= 0) {
        this.waiting.splice(place, 1);
        this.onChange();
      }
    }
  }

  /** Resolves when nothing is under way; whoever waits goes on waiting until what it returns is called. */
  async hold(): Promise<() => void> {
    this.held++;
    await this.current?.done;
    return () => {
      this.held--;
      this.next();
    };
  }

  /**
   * For good: those waiting reject with ERR_DISPOSED at once, the one under way after the budget. Resolves when the engine has let go, or a
   * second after the budget.
   */
  async stop(budgetMs: number): Promise<void> {
    this.stopped = true;
    for (const { controller } of [...this.waiting]) controller.abort(stopping());
    if (this.current === null) return;
    const { entry, done } = this.current;
    await within(done, budgetMs);
    entry.controller.abort(stopping());
    await within(done, GRACE_MS);
  }

  private next(): void {
    if (this.current !== null || this.held > 0) return;
    const entry = this.first();
    if (entry === undefined) return;
    this.waiting.splice(this.waiting.indexOf(entry), 1);
    entry.started = true;
    const beganMs = performance.now();
    const done = this.usage.during(entry.run).finally(() => {
      this.lately.push(performance.now() - beganMs);
      if (this.lately.length > REMEMBERED) this.lately.shift();
      this.current = null;
      this.next();
      this.onChange();
    });
    this.current = { entry, done };
  }

  private get usualMs(): number | null {
    return [...this.lately].sort((a, b) => a - b)[this.lately.length >> 1] ?? null;
  }

  private first(): Entry | undefined {
    const alive = this.waiting.filter(({ controller, deadlineMs }) => !controller.signal.aborted && deadlineMs > performance.now());
    const rank = ({ request, deadlineMs }: Entry) => ({ priority: request.priority ?? 0, deadlineMs });
    return alive.sort((a, b) => rank(b).priority - rank(a).priority || rank(a).deadlineMs - rank(b).deadlineMs)[0];
  }
}

function turnOf({ request, arrivedMs, deadlineMs, controller }: Entry): LaneTurn {
  const { signal } = controller;
  return {
    signal,
    arrivedMs,
    waitedMs: performance.now() - arrivedMs,
    call: () => ({ signal, deadlineMs: Math.max(1, deadlineMs - performance.now()), priority: PRIORITY + (request.priority ?? 0) }),
    giveUp: (error) => controller.abort(error),
  };
}

function late({ started, request }: Entry): MiphaError {
  const when = started ? 'while it was under way' : 'before its turn came';
  return new MiphaError('ERR_DEADLINE', `The query's deadline of ${request.deadlineMs} ms passed ${when}`, {
    details: { deadlineMs: request.deadlineMs, started },
  });
}

/** Of the engine's, not one of ours. */
function isDeadline(error: unknown): boolean {
  return error instanceof MiphaError && error.code === 'ERR_DEADLINE' && error.details.ttlMs === undefined;
}

function stopping(): MiphaError {
  return new MiphaError('ERR_DISPOSED', 'Queries are not taken any more');
}
