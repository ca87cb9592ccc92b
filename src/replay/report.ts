/** What a replay tells. */
import type { SuppressReason } from '../watch/event.js';
import type { EventType, Value } from '../watch/spec.js';
import type { BestThreshold, Score } from './score.js';

/** An answer that differs from the one on record. */
export interface Flip {
  frame: string;
  at: Date;
  /** Path of the JPEG; null: none was recorded. */
  picture: string | null;
  before: { id: string; value: Value; confidence: number | null };
  now: { value: Value; confidence: number | null };
}

export interface ReplayedEvent {
  at: Date;
  type: EventType | string;
  value: Value | null;
  previous: Value | null;
  frame: string | null;
}

/** `before`: on record; `now`: in the replay. */
export interface Both<T> {
  before: T;
  now: T;
}

export interface ReplayReport {
  watch: string;
  /** Times that the watch began anew: a start of the node, other settings, another model. */
  lives: number;
  from: Date | null;
  to: Date | null;
  /** Recorded time in days; what lies between two lives does not count. */
  days: number;
  frames: number;
  questions: Both<number>;
  /** Answers that the model gave now; all others are those on record. */
  computed: number;
  machineMs: number;
  /** Frames that were asked about then and now, and gave an answer both times. */
  compared: number;
  flipped: number;
  /** The first thousand. */
  flips: Flip[];
  events: Both<number>;
  /** Changes, errors and reminders that were not told when they came, by what held them back. */
  suppressed: Both<Record<SuppressReason, number>>;
  /** The first thousand that the other does not have. */
  onlyBefore: ReplayedEvent[];
  onlyNow: ReplayedEvent[];
  labels: LabelReport | null;
  /** Lines that could not be read, and pictures that are missing. */
  damaged: number;
  missingPictures: number;
}

export const MOST_LISTED = 1000;

export interface LabelReport {
  /** The value that is an alarm. */
  positive: Value;
  score: Both<Score>;
  /** Of the answers now. */
  best: BestThreshold;
  missCost: number;
  /** Labels of answers to frames that are not asked about now, or that lie outside the time that was replayed. */
  notAsked: number;
}
