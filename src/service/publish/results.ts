/** Outcomes of watches and queries → what is published about them. */
import { MiphaError } from '../../errors.js';
import { type Result, STATE_CHARS, type Stamp, stateOf } from '../../mqtt/messages.js';
import { requestErrorOf } from '../../mqtt/request-error.js';
import type { Topics } from '../../mqtt/topics.js';
import type { WatchEvent as Happening } from '../../watch/event.js';
import type { SeenFrame, Timing, WatchOutcome } from '../../watch/outcome.js';
import type { Compared } from '../../watch/past.js';
import type { QueryOutcome } from '../../watch/queries.js';
import type { EventPictures } from './event-pictures.js';
import type { Outlet } from './outlet.js';

export type Model = Result['model'];

export class ResultPublisher {
  constructor(
    private readonly topics: Topics,
    private readonly stamp: Stamp,
    private readonly outlet: Outlet,
    private readonly pictures: EventPictures,
    private readonly model: () => Model,
  ) {}

  watch(given: WatchOutcome): void {
    const outcome = hasPassed(given.validUntil) ? worthless(given) : given;
    const { watch, value, validUntil } = outcome;
    const topic = this.topics.watch(watch, 'result');
    const life = validUntil === null || hasPassed(validUntil) ? {} : { expiresAt: validUntil };
    this.outlet.state(topic, this.result(topic, outcome), life);
    const state = stateOf(value);
    this.outlet.state(this.topics.watch(watch, 'state'), state, state === '' ? {} : life);
  }

  event({ type, previous, outcome, frame: seen, confirmation, compare }: Happening): void {
    const { id, watch, camera, value, confidence, frame, error, validUntil } = outcome;
    if (type !== 'error' && hasPassed(validUntil)) return; // and the result said so
    const topic = this.topics.watch(watch, 'event');
    const body = {
      ...this.stamp.next(topic),
      watch,
      camera,
      event_type: type,
      value,
      previous,
      confidence,
      result: id,
      frame: frame === null ? null : frameOf(frame),
      confirmed: confirmation && { confidence: confirmation.confidence, frame: confirmation.frame },
      compare: compareOf(compare),
      error: errorOf(error),
      replayed: false,
    };
    this.pictures.tell(topic, body, seen, frame?.crop ?? undefined);
  }

  /** Takes back all that is retained about a watch. */
  forget(watch: string): void {
    this.outlet.forget(this.topics.watch(watch, 'result'));
    this.outlet.forget(this.topics.watch(watch, 'state'));
  }

  /** The `data` of a query's response. */
  query(outcome: QueryOutcome, request: { transaction: string | null; watch: string | null; camera: string; ttlMs: number }): Result {
    const { value, text, confidence, type, frame, timing, tokens, truncated } = outcome;
    return {
      ...this.stamp.next('query'),
      camera: request.camera,
      watch: request.watch,
      transaction: request.transaction,
      trigger: 'request',
      status: 'ok',
      type,
      value,
      observed: value,
      answer: text,
      confidence,
      changed: false,
      stable_count: 1,
      valid_until: new Date(frame.at.getTime() + request.ttlMs).toISOString(),
      compare: null,
      frame: frameOf(frame),
      model: this.model(),
      timing: timingOf(timing),
      tokens,
      truncated,
      error: null,
    };
  }

  private result(topic: string, outcome: WatchOutcome): Result {
    const { id, watch, camera, status, type, value, observed, answer, confidence, changed, stableCount, validUntil, compare } = outcome;
    const { frame, timing, tokens, truncated, error } = outcome;
    return {
      ...this.stamp.next(topic),
      id,
      camera,
      watch,
      transaction: null,
      trigger: 'interval',
      status,
      type,
      value,
      observed,
      answer,
      confidence,
      changed,
      stable_count: stableCount,
      valid_until: validUntil?.toISOString() ?? null,
      compare: compareOf(compare),
      frame: frame === null ? null : frameOf(frame),
      model: this.model(),
      timing: timing === null ? null : timingOf(timing),
      tokens,
      truncated: truncated || (typeof value === 'string' && value.length > STATE_CHARS),
      error: errorOf(error),
    };
  }
}

function hasPassed(validUntil: Date | null): boolean {
  return validUntil !== null && validUntil.getTime() <= Date.now();
}

/** What must not be relied upon any more is not told as if it could be. */
function worthless(outcome: WatchOutcome): WatchOutcome {
  const { status, previous } = outcome;
  const gone = { value: null, changed: previous !== null, compare: null };
  if (status !== 'ok') return { ...outcome, ...gone };
  return { ...outcome, ...gone, status: 'stale', observed: null, confidence: null, stableCount: 0, answer: '', truncated: false };
}

function frameOf({ id, at, monotonicMs, width, height, crop }: SeenFrame): NonNullable<Result['frame']> {
  return { id, ts: at.toISOString(), age_ms: Math.max(0, performance.now() - monotonicMs), width, height, crop };
}

function compareOf(compare: Compared | null): Result['compare'] {
  if (compare === null) return null;
  const { changed, value, confidence, frame } = compare;
  return { changed, value, confidence, frame: { id: frame.id, ts: frame.at.toISOString() } };
}

function timingOf({ queueMs, prepMs, visionMs, prefillMs, decodeMs, totalMs }: Timing): NonNullable<Result['timing']> {
  return { queue_ms: queueMs, prep_ms: prepMs, vision_ms: visionMs, prefill_ms: prefillMs, decode_ms: decodeMs, total_ms: totalMs };
}

function errorOf(error: WatchOutcome['error']): Result['error'] {
  if (error === null) return null;
  const { code, message, retryable } = error;
  return requestErrorOf(new MiphaError(code, message, { retryable })).body();
}
