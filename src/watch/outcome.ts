/** What comes out of watches and queries, before anybody turns it into messages. */

import { randomUUID } from 'node:crypto';
import type { Crop, Frame } from '../camera/frame.js';
import type { Answer } from '../engine/answer.js';
import type { QuestionSpec } from '../engine/asker.js';
import type { CallOptions } from '../engine/call.js';
import type { RawImage } from '../engine/image.js';
import type { ErrorCode } from '../errors.js';
import type { Compared } from './past.js';
import type { AnswerType, Value, WatchSpec } from './spec.js';

/** What watches and queries need of a Mipha; tests put something else in its place. */
export interface Eyes {
  look(image: RawImage, options?: CallOptions): Promise<Sight>;
}

/** What they need of a View. */
export interface Sight {
  /** Of looking alone. */
  readonly timings: { queueMs: number; preprocessMs: number; visionMs: number; prefillMs: number };
  ask<T>(question: string, options?: Omit<QuestionSpec<T>, 'question'> & CallOptions): Promise<Answer<T>>;
  stream(question: string, options?: { maxTokens?: number | undefined } & CallOptions): AsyncIterable<string> & { readonly answer: Promise<Answer> };
  dispose(): Promise<void>;
}

/** The frame an answer is about. */
export interface SeenFrame {
  id: Frame['id'];
  at: Date;
  monotonicMs: number;
  width: number; // of the whole picture
  height: number;
  crop: Crop | null;
}

/** Milliseconds, see Answer.timings. Looking is included, though it was done once for everything asked about the frame. */
export interface Timing {
  queueMs: number;
  prepMs: number;
  visionMs: number;
  prefillMs: number; // of the picture and of the question
  decodeMs: number;
  totalMs: number; // from the decision to look, or the arrival of the query, to the answer
}

/** One answer of one watch, after the agreement filter; or the news that there is none any more. */
export interface WatchOutcome {
  /** Its own, for ever: what an event, a record and a label refer to. */
  id: string;
  /** When it came about: milliseconds of the clock. */
  atMs: number;
  watch: string;
  camera: string;
  type: AnswerType;
  /** `stale`: there is no answer that may be relied upon. `error`: asking failed. */
  status: 'ok' | 'stale' | 'error';
  /** The agreed value; null while there is no agreement, and when stale. */
  value: Value | null;
  /** The agreed value before this outcome. */
  previous: Value | null;
  /** `value` differs from `previous`. */
  changed: boolean;
  /** What this one frame gave, before the filter. */
  observed: Value | null;
  /** Of `observed`, see Answer.confidence. */
  confidence: number | null;
  /** How many answers in a row gave `observed`. */
  stableCount: number;
  /** What the model wrote. */
  answer: string;
  /** `answer` is a text that reached its longest though the model had more to say. */
  truncated: boolean;
  /**
   * After this moment `value` must not be relied upon: `ttl_ms` after the capture of the last frame that spoke for it. With `stale` it has
   * passed. Null when nothing was answered yet, or that has expired.
   */
  validUntil: Date | null;
  /** What was believed then, beside `value`; null: one of them is not known, or the watch compares nothing. */
  compare: Compared | null;
  /** Null only for `stale` and `error` without a frame. */
  frame: SeenFrame | null;
  timing: Timing | null;
  tokens: { in: number; out: number } | null;
  error: { code: ErrorCode; message: string; retryable: boolean } | null;
}

/** That nothing is known. */
export function nothingKnown(watch: string, { camera, answer }: Pick<WatchSpec, 'camera' | 'answer'>, atMs = performance.now()): WatchOutcome {
  return {
    id: randomUUID(),
    atMs,
    watch,
    camera,
    type: answer.type,
    status: 'stale',
    value: null,
    previous: null,
    changed: false,
    observed: null,
    confidence: null,
    stableCount: 0,
    answer: '',
    truncated: false,
    validUntil: null,
    compare: null,
    frame: null,
    timing: null,
    tokens: null,
    error: null,
  };
}

/**
 * Why a frame was not asked about: too old; the same picture as the last one asked about; nothing new in the part; too soon after the last
 * question, for a board that is too hot, after a failure or a change of the value; a newer one came while the engine was busy.
 */
export const SKIP_REASONS = ['age', 'repeat', 'unchanged', 'interval', 'heat', 'cooldown', 'busy'] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];
