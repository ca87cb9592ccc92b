/** Questions that somebody asks once: a bounded lane beside the watches, one at a time, ahead of them in the engine. */
import type { Frame } from '../camera/frame.js';
import type { Answer } from '../engine/answer.js';
import { MiphaError } from '../errors.js';
import { answerType } from './answer-type.js';
import type { Eyes, SeenFrame, Sight, Timing } from './outcome.js';
import { type Part, pictureOf } from './part.js';
import { seenFrame, timingOf } from './seen.js';
import type { AnswerSpec, AnswerType, Value } from './spec.js';
import { Usage } from './usage.js';
import { GRACE_MS, within } from './within.js';

export interface Query extends Part {
  /** Called when its turn comes, for the newest frame; what it throws, ask() rejects with. */
  frame: () => Frame;
  question: string;
  /** Default: free text. */
  answer?: AnswerSpec | undefined;
  /** Longest free text. */
  maxTokens?: number | undefined;
  /** 0 to 9, higher first; among equals the earliest deadline. Default 0. */
  priority?: number | undefined;
  /** Milliseconds from now. */
  deadlineMs: number;
  /** How long after its capture an answer may be relied upon, in milliseconds: one that would come later is given up. Default: for ever. */
  ttlMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** The query has its place in the lane. */
  onAdmitted?: (() => void) | undefined;
  /** Gets free text in pieces while it is written. */
  onText?: ((piece: string) => void) | undefined;
}

export interface QueryOutcome {
  type: AnswerType;
  value: Value;
  /** What the model wrote. */
  text: string;
  /** See Answer.confidence. */
  confidence: number | null;
  frame: SeenFrame;
  /** `queueMs` and `totalMs` count from the arrival of the query. */
  timing: Timing;
  tokens: { in: number; out: number };
  /** The text ended at a limit, not where the model ended it. */
  truncated: boolean;
}

export interface QueriesOptions {
  /** Most queries waiting and under way. */
  limit: number;
  /** Shared with others that use the same engine. */
  usage?: Usage | undefined;
}

/** Above every watch. */
const PRIORITY = 100;
const FIRST_GUESS_MS = 1000; // of how long a query takes

interface Entry {
  query: Query;
  arrivedMs: number; // of performance.now()
  deadlineMs: number; // the same
  controller: AbortController;
  started: boolean;
  succeed: (outcome: QueryOutcome) => void;
  fail: (error: unknown) => void;
}

export class Queries {
  private readonly waiting: Entry[] = [];
  private current: { entry: Entry; done: Promise<void> } | null = null;
  private stopped = false;
  private rejected = 0;
  private usualMs = FIRST_GUESS_MS;
  private readonly usage: Usage;
  private limit: number;

  constructor(
    private readonly eyes: Eyes,
    { limit, usage = new Usage() }: QueriesOptions,
  ) {
    this.limit = limit;
    this.usage = usage;
  }

  get status(): { waiting: number; running: number; limit: number; rejected: number } {
    return { waiting: this.waiting.length, running: this.current === null ? 0 : 1, limit: this.limit, rejected: this.rejected };
  }

  /** For queries that come from now on. */
  setLimit(limit: number): void {
    this.limit = limit;
  }

  /**
   * Rejects with `signal.reason`; ERR_DEADLINE (details: `started`, whether any work had begun, or `ttlMs`, when the answer would have come
   * after that); ERR_BUSY when the lane is full (details:
   * retryAfterMs); ERR_DISPOSED after stop(); and what look() and ask() throw. It settles then at once, though the engine may need a moment more.
   */
  async ask(query: Query): Promise<QueryOutcome> {
    if (this.stopped) throw stopping();
    query.signal?.throwIfAborted();
    const { limit } = this;
    if (this.waiting.length + (this.current === null ? 0 : 1) >= limit) {
      this.rejected++;
      throw new MiphaError('ERR_BUSY', `All ${limit} places for queries are taken`, {
        details: { limit, retryAfterMs: Math.max(1, Math.round(this.usualMs)) },
      });
    }
    const arrivedMs = performance.now();
    const controller = new AbortController();
    const entry: Entry = {
      query,
      arrivedMs,
      deadlineMs: arrivedMs + query.deadlineMs,
      controller,
      started: false,
      succeed: () => {},
      fail: () => {},
    };
    const abort = () => controller.abort(query.signal?.reason);
    const timer = setTimeout(() => controller.abort(late(entry)), query.deadlineMs);
    query.signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<QueryOutcome>((resolve, reject) => {
        entry.succeed = resolve;
        entry.fail = reject;
        controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
        this.waiting.push(entry);
        query.onAdmitted?.();
        this.next();
      });
    } finally {
      clearTimeout(timer);
      query.signal?.removeEventListener('abort', abort);
      const place = this.waiting.indexOf(entry);
      if (place >= 0) this.waiting.splice(place, 1);
    }
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
    if (this.current !== null) return;
    const entry = this.first();
    if (entry === undefined) return;
    this.waiting.splice(this.waiting.indexOf(entry), 1);
    entry.started = true;
    const beganMs = performance.now();
    const done = this.usage
      .during(() => this.answer(entry))
      .then(entry.succeed, (error: unknown) => entry.fail(isDeadline(error) ? late(entry) : error))
      .finally(() => {
        this.usualMs += (performance.now() - beganMs - this.usualMs) / 4;
        this.current = null;
        this.next();
      });
    this.current = { entry, done };
  }

  private first(): Entry | undefined {
    const alive = this.waiting.filter(({ controller, deadlineMs }) => !controller.signal.aborted && deadlineMs > performance.now());
    const rank = ({ query, deadlineMs }: Entry) => ({ priority: query.priority ?? 0, deadlineMs });
    return alive.sort((a, b) => rank(b).priority - rank(a).priority || rank(a).deadlineMs - rank(b).deadlineMs)[0];
  }

  private async answer(entry: Entry): Promise<QueryOutcome> {
    const { query, arrivedMs, controller } = entry;
    const waitedMs = performance.now() - arrivedMs;
    const frame = query.frame();
    const expiresMs = frame.monotonicMs + (query.ttlMs ?? Number.POSITIVE_INFINITY);
    const giveUp = () => controller.abort(expired(query.ttlMs as number));
    const timer = Number.isFinite(expiresMs) ? setTimeout(giveUp, expiresMs - performance.now()) : undefined;
    try {
      const outcome = await this.answerAbout(frame, entry, waitedMs);
      if (performance.now() < expiresMs) return outcome;
      throw expired(query.ttlMs as number);
    } finally {
      clearTimeout(timer);
    }
  }

  private async answerAbout(frame: Frame, { query, arrivedMs, deadlineMs, controller }: Entry, waitedMs: number): Promise<QueryOutcome> {
    const { answer: spec, crop } = query;
    const call = () => ({
      signal: controller.signal,
      deadlineMs: Math.max(1, deadlineMs - performance.now()),
      priority: PRIORITY + (query.priority ?? 0),
    });
    const letGo = frame.hold?.();
    const seen = await this.eyes.look(pictureOf(frame, query), call()).finally(letGo);
    try {
      controller.signal.throwIfAborted();
      const { answer, truncated } = await ask(seen, query, call());
      const timing = timingOf(seen, answer.timings, performance.now() - arrivedMs);
      return {
        type: spec?.type ?? 'text',
        value: answer.value,
        text: answer.text,
        confidence: answer.confidence,
        frame: seenFrame(frame, crop),
        timing: { ...timing, queueMs: timing.queueMs + waitedMs },
        tokens: { in: answer.tokens.prompt, out: answer.tokens.answer },
        truncated,
      };
    } finally {
      await seen.dispose().catch(() => {}); // only an engine that is gone, and the view with it
    }
  }
}

type CallOf = Required<Pick<Query, 'deadlineMs' | 'priority'>> & { signal: AbortSignal };

async function ask(
  seen: Sight,
  { question, answer: spec, maxTokens, onText }: Query,
  call: CallOf,
): Promise<{ answer: Answer<Value>; truncated: boolean }> {
  if (onText !== undefined && (spec === undefined || spec.type === 'text')) {
    return await stream(seen, question, { ...call, maxTokens }, spec?.max_chars ?? Number.POSITIVE_INFINITY, onText);
  }
  const answer =
    spec === undefined ? await seen.ask<string>(question, { ...call, maxTokens }) : await seen.ask(question, { ...call, as: answerType(spec) });
  return { answer, truncated: answer.finish === 'length' };
}

/** What is longer than `most` characters (code points) is left unwritten. */
async function stream(
  seen: Sight,
  question: string,
  options: NonNullable<Parameters<Sight['stream']>[1]>,
  most: number,
  onText: (piece: string) => void,
): Promise<{ answer: Answer<Value>; truncated: boolean }> {
  const written = seen.stream(question, options);
  let text = '';
  let room = most;
  let cut = false;
  for await (const piece of written) {
    const characters = [...piece];
    const fits = characters.slice(0, room).join('');
    room -= characters.length;
    text += fits;
    if (fits !== '') onText(fits);
    cut = room < 0;
    if (cut) break;
  }
  const answer = await written.answer;
  return cut ? { answer: { ...answer, text, value: text }, truncated: true } : { answer, truncated: answer.finish === 'length' };
}

function late({ started, query }: Entry): MiphaError {
  const when = started ? 'while it was under way' : 'before its turn came';
  return new MiphaError('ERR_DEADLINE', `The query's deadline of ${query.deadlineMs} ms passed ${when}`, {
    details: { deadlineMs: query.deadlineMs, started },
  });
}

function expired(ttlMs: number): MiphaError {
  return new MiphaError('ERR_DEADLINE', `The answer would have come more than ttl_ms, ${ttlMs} ms, after its picture`, { details: { ttlMs } });
}

/** Of the engine's, not one of ours. */
function isDeadline(error: unknown): boolean {
  return error instanceof MiphaError && error.code === 'ERR_DEADLINE' && error.details.ttlMs === undefined;
}

function stopping(): MiphaError {
  return new MiphaError('ERR_DISPOSED', 'Queries are not taken any more');
}
