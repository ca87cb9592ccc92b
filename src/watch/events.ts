/** Which outcomes of a watch are news. Remembers what was last told: a value that comes back unchanged after an outage is none. */
import type { Frame } from '../camera/frame.js';
import type { WatchOutcome } from './outcome.js';
import type { EventType, Value } from './spec.js';

export interface WatchEvent {
  type: EventType;
  /** The value told before. */
  previous: Value | null;
  /** What brought it about: value, frame, error. */
  outcome: WatchOutcome;
  /** The frame that `outcome` is about, with its pixels: valid in the tick in which the event is told, and for as long as it is held. */
  frame: Frame | null;
}

export class Events {
  private known: Value | null = null;
  private failing = false;

  /** Null: nothing new. */
  of(outcome: WatchOutcome, frame: Frame | null = null): WatchEvent | null {
    const { status, value } = outcome;
    const previous = this.known;
    if (status === 'error') {
      const type = this.failing ? null : 'error';
      this.failing = true;
      return type && { type, previous, outcome, frame };
    }
    this.failing = false;
    if (value === null) return null;
    this.known = value;
    if (previous === null || previous === value) return null;
    return { type: typeof value === 'boolean' ? (value ? 'triggered' : 'cleared') : 'changed', previous, outcome, frame };
  }
}
