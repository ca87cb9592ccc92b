/**
 * The lane of queries against a model of it: whatever is asked, cancelled, delayed or stopped in whatever order. The engine does what the sequence
 * says; it may ignore that a call was cancelled, for a while.
 */
import { afterEach, beforeEach, it, vi } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { MiphaError } from '../../src/errors.js';
import type { Eyes, Sight } from '../../src/watch/outcome.js';
import { Queries } from '../../src/watch/queries.js';
import { counts } from '../support/counts.js';
import { type Dice, runSequences } from '../support/sequences.js';

type Operation =
  | { do: 'ask'; deadlineMs: number; priority: number; cancellable: boolean; obedient: boolean; frame: 'there' | 'missing'; crop: boolean }
  /** The engine finishes what it is at: with an answer or an error. */
  | { do: 'finish'; fails: boolean }
  | { do: 'cancel'; which: number }
  | { do: 'wait'; ms: number }
  | { do: 'limit'; limit: number }
  | { do: 'stop'; budgetMs: number };

function make({ below, oneOf, weighted }: Dice): Operation[] {
  const one = (): Operation => {
    const kind = weighted({ ask: 30, finish: 30, cancel: 10, wait: 20, limit: 2, stop: 1 });
    switch (kind) {
      case 'ask':
        return {
          do: kind,
          deadlineMs: oneOf([1, 50, 500, 10_000]),
          priority: below(3),
          cancellable: below(2) === 0,
          obedient: below(3) > 0,
          frame: below(8) === 0 ? 'missing' : 'there',
          crop: below(4) === 0,
        };
      case 'finish':
        return { do: kind, fails: below(5) === 0 };
      case 'cancel':
        return { do: kind, which: below(8) };
      case 'wait':
        return { do: kind, ms: oneOf([1, 49, 100, 700]) };
      case 'limit':
        return { do: kind, limit: 1 + below(5) };
      case 'stop':
        return { do: kind, budgetMs: oneOf([0, 100]) };
    }
  };
  return Array.from({ length: 5 + below(40) }, one);
}

function must(rule: string, holds: boolean, more: unknown = ''): void {
  if (!holds) throw new Error(`${rule} ${more === '' ? '' : JSON.stringify(more)}`);
}

interface Asked {
  id: number;
  arrivedMs: number;
  deadlineMs: number;
  priority: number;
  abort: AbortController;
  cancelledMs: number | null;
  began: boolean;
  ended: { ok: boolean; code: string; atMs: number } | null;
}

const GRACE_MS = 1000; // of stop(), beyond its budget

async function run(operations: readonly Operation[]): Promise<void> {
  vi.useFakeTimers({ now: 0 });
  const all: Asked[] = [];
  let stoppedMs: number | null = null;
  let stopBudgetMs = 0;
  let stopped: Promise<void> | undefined;
  let limit = 3;
  let held = 0;
  let views = 0;
  let broken: unknown;
  const errors: unknown[] = [];
  const onRejection = (error: unknown) => errors.push(error);
  process.on('unhandledRejection', onRejection);
  /** What the engine is at. */
  const engine: { finish: (fails: boolean) => void }[] = [];
  const work = <T>(signal: AbortSignal | undefined, obedient: boolean, result: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const entry = {
        finish: (fails: boolean) => {
          engine.splice(engine.indexOf(entry), 1);
          if (fails) reject(new MiphaError('ERR_INTERNAL', 'on purpose'));
          else if (signal?.aborted) reject(signal.reason);
          else resolve(result());
        },
      };
      engine.push(entry);
      if (engine.length > 1) broken ??= new Error('Only one query is in the engine at a time.');
      if (obedient) signal?.addEventListener('abort', () => engine.includes(entry) && entry.finish(false));
    });
  let obedient = true;
  const eyes: Eyes = {
    look: (_image, options) =>
      work(options?.signal, obedient, (): Sight => {
        views++;
        let disposed = false;
        return {
          timings: { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0 },
          ask: (_question, given) =>
            work(given?.signal, obedient, () => ({
              text: 'yes',
              value: true as never,
              confidence: 1,
              finish: 'stop',
              tokens: { prompt: 1, reused: 0, answer: 1 },
              timings: { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 },
            })),
          stream: () => {
            throw new Error('nothing is streamed here');
          },
          dispose: async () => {
            if (disposed) broken ??= new Error('A view is disposed of once.');
            disposed = true;
            views--;
          },
        };
      }),
  };
  const queries = new Queries(eyes, { limit });
  const open = () => all.filter(({ ended }) => ended === null);
  const settle = async () => {
    for (let i = 0; i < 20; i++) await null;
    if (broken !== undefined) throw broken;
    const now = performance.now();
    for (const one of open()) {
      must('A query ends by its deadline.', now < one.arrivedMs + one.deadlineMs, one);
      must('A query that was cancelled ends at once.', one.cancelledMs === null, one);
      must('After stop() only the one under way is left, for its budget.', stoppedMs === null || now <= stoppedMs + stopBudgetMs, one);
    }
    const { waiting, running } = queries.status;
    must('One query is under way while any waits.', waiting === 0 || running === 1, queries.status);
    must('What is told to wait is what waits.', waiting <= open().length && open().length <= waiting + running, queries.status);
  };

  const ask = (operation: Operation & { do: 'ask' }) => {
    const { deadlineMs, priority, cancellable, frame, crop } = operation;
    const abort = new AbortController();
    const { waiting, running } = queries.status;
    const full = waiting + running >= limit;
    const one: Asked = { id: all.length, arrivedMs: performance.now(), deadlineMs, priority, abort, cancelledMs: null, began: false, ended: null };
    const pixels = { width: 4, height: 4, format: 'gray', data: new Uint8Array(16) } as const;
    const newest = (): Frame => {
      one.began = true;
      obedient = operation.obedient;
      const ends = ({ arrivedMs, deadlineMs: ms }: Asked) => arrivedMs + ms;
      const waiting = open().filter((other) => !other.began && ends(other) > performance.now());
      const better = waiting.find((other) => other.priority > priority || (other.priority === priority && ends(other) < ends(one)));
      if (better !== undefined) broken ??= new Error('The query of the highest priority is next, among equals the one that ends first.');
      if (frame === 'missing') throw new MiphaError('ERR_CAMERA', 'no frame');
      const hold = () => {
        held++;
        return () => {
          held--;
        };
      };
      return { id: 'f', monotonicMs: performance.now(), at: new Date(), ...pixels, content: 1, hold };
    };
    let admitted = false;
    all.push(one);
    const end = (ok: boolean, code: string) => {
      if (one.ended !== null) broken ??= new Error('A query ends once.');
      one.ended = { ok, code, atMs: performance.now() };
      if (ok && !one.began) broken ??= new Error('Only what had its turn is answered.');
      if (ok && one.cancelledMs !== null) broken ??= new Error('What was cancelled is not answered.');
    };
    queries
      .ask({
        frame: newest,
        question: 'lamp?',
        answer: { type: 'boolean' },
        deadlineMs,
        priority,
        ...(crop ? { crop: { x: 0, y: 0, width: 0.5, height: 0.5 } } : {}),
        ...(cancellable ? { signal: abort.signal } : {}),
        onAdmitted: () => {
          admitted = true;
        },
      })
      .then(
        () => end(true, ''),
        (error: Error & { code?: string }) => end(false, error.code ?? error.message),
      );
    if (!cancellable) one.abort = new AbortController(); // nobody listens to that
    const refused = full || stoppedMs !== null;
    must('What finds room is admitted, nothing else is.', admitted === !refused, { full, stoppedMs, admitted });
    return { one, refused, cancellable };
  };
  const cancellable = new Set<Asked>();

  try {
    for (const operation of operations) {
      switch (operation.do) {
        case 'ask': {
          const asked = ask(operation);
          if (asked.cancellable) cancellable.add(asked.one);
          await settle();
          if (!asked.refused) break;
          const code = stoppedMs === null ? 'ERR_BUSY' : 'ERR_DISPOSED';
          must('What is refused is told so at once, and why.', asked.one.ended?.code === code, asked.one.ended);
          break;
        }
        case 'finish':
          engine[0]?.finish(operation.fails);
          break;
        case 'cancel': {
          const left = open().filter((one) => cancellable.has(one));
          const one = left[operation.which % Math.max(1, left.length)];
          if (one === undefined) break;
          one.abort.abort(new Error('not wanted'));
          one.cancelledMs = performance.now();
          await settle();
          must('What is cancelled ends with the reason it was cancelled for.', one.ended?.code === 'not wanted', one.ended);
          break;
        }
        case 'wait':
          await vi.advanceTimersByTimeAsync(operation.ms);
          break;
        case 'limit':
          limit = operation.limit;
          queries.lane.setLimit(limit);
          break;
        case 'stop':
          if (stopped !== undefined) break;
          stoppedMs = performance.now();
          stopBudgetMs = operation.budgetMs;
          stopped = queries.lane.stop(stopBudgetMs);
          break;
      }
      await settle();
    }
    stoppedMs ??= performance.now();
    stopped ??= queries.lane.stop(0);
    let over = false;
    void stopped.then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(stopBudgetMs + GRACE_MS);
    must('stop() ends within its budget and a second, whatever the engine does.', over);
    must('In the end every query has ended.', open().length === 0, open());
    while (engine.length > 0) {
      engine[0]?.finish(false);
      await settle();
    }
    for (let i = 0; i < 20; i++) await null;
    must('In the end nothing waits and nothing runs.', queries.status.waiting + queries.status.running === 0, queries.status);
    must('Every frame that was held is let go, every view is disposed of.', held === 0 && views === 0, { held, views });
    must('No timer is left.', vi.getTimerCount() === 0, vi.getTimerCount());
    must('No rejection is left unhandled.', errors.length === 0, errors.map(String));
    if (broken !== undefined) throw broken;
  } finally {
    process.off('unhandledRejection', onRejection);
    vi.useRealTimers();
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it(
  'queries end once, in time and in order, whatever happens in whatever order',
  async () => {
    await runSequences(counts(500, 20_000), { make, run });
  },
  counts(60_000, 1_200_000),
);
