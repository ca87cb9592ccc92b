/** The second question of a watch, asked before an event goes out. */
import type { Frame } from '../camera/frame.js';
import { fromNative } from '../errors.js';
import { answerType } from './answer-type.js';
import type { Clock } from './clock.js';
import type { Events } from './events.js';
import type { SeenFrame, WatchOutcome } from './outcome.js';
import { seenFrame } from './seen.js';
import type { Inquiry, Watch } from './watch.js';

/** What came of it. */
export interface Opinion {
  watch: string;
  question: string;
  /** The answer that would agree. */
  expect: boolean;
  frame: SeenFrame;
  atMs: number; // of the clock
  /** Null: there was no answer, see `error`. */
  value: boolean | null;
  confidence: number | null;
  /** What the model wrote. */
  answer: string;
  /** The event may go out. */
  agrees: boolean;
  error: WatchOutcome['error'];
}

/** Asks a wish of `events` about this frame. An answer, or an error, that comes after the value has changed is not reported. */
export function secondInquiry(watch: Watch, events: Events, clock: Clock, frame: Frame, report: (opinion: Opinion) => void): Inquiry | null {
  const { confirm } = watch.spec.events;
  if (confirm === undefined || !events.wants(frame)) return null;
  const { question, expect, min_confidence } = confirm;
  const { signal, settle } = events.ask();
  const untilMs = frame.monotonicMs + watch.spec.ttl_ms;
  const base = () => ({ watch: watch.id, question, expect, frame: seenFrame(frame, watch.spec.crop), atMs: clock.now() });
  return {
    watch,
    frame,
    signal,
    deadlineMs: untilMs,
    question,
    as: answerType({ type: 'boolean' }),
    succeed: (_, { value, confidence, text }) => {
      const agrees = value === expect && (confidence === null || confidence >= min_confidence);
      report({ ...base(), value: value as boolean, confidence, answer: text, agrees, error: null });
      settle(agrees ? { confidence, frame: frame.id, untilMs } : null);
    },
    fail: (cause) => {
      const { code, message, retryable } = fromNative(cause, '');
      report({ ...base(), value: null, confidence: null, answer: '', agrees: false, error: { code, message, retryable } });
      settle(null);
    },
  };
}
