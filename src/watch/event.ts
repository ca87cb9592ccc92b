/** What a watch tells when something is news, and why something is not told. */
import type { Frame } from '../camera/frame.js';
import type { WatchOutcome } from './outcome.js';
import type { Compared } from './past.js';
import type { EventType, Value } from './spec.js';

/**
 * Why a new value, an error or a reminder was not told when it came: it stood less than `for_ms`; quiet hours; too soon after another; the second
 * question did not agree.
 */
export const SUPPRESS_REASONS = ['for', 'quiet', 'gap', 'unconfirmed'] as const;
export type SuppressReason = (typeof SUPPRESS_REASONS)[number];

/** Of the second question, when it agreed. */
export interface Confirmation {
  confidence: number | null;
  /** Id of the frame it was asked about. */
  frame: string;
  /** Confirms nothing after that; milliseconds of the clock. */
  untilMs: number;
}

export interface WatchEvent {
  type: EventType;
  /** The value told before, of a reminder the same; with `compare` the value of then, but for an error. */
  previous: Value | null;
  /** The last answer that spoke for the value, or the error: value, frame. */
  outcome: WatchOutcome;
  /** The frame that `outcome` is about, with its pixels: valid in the tick in which the event is told, and for as long as it is held. Null: they are gone. */
  frame: Frame | null;
  /** Null: none was needed. */
  confirmation: Confirmation | null;
  /** Null: nothing is compared, or it is an error. */
  compare: Compared | null;
  /** When it is told: milliseconds of the clock, and the same on the wall clock. */
  atMs: number;
  at: Date;
}

/** Told once for each reason that holds a change, an error or a reminder back. */
export interface Suppressed extends Pick<WatchEvent, 'type' | 'previous' | 'outcome' | 'atMs' | 'at'> {
  reason: SuppressReason;
}
