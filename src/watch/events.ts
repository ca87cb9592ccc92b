/** Which outcomes of a watch are news. Remembers what was last told: a value that comes back unchanged after an outage is none. */
import type { WatchOutcome } from './outcome.js';
import type { EventType, Value } from './spec.js';

export interface WatchEvent {
  type: EventType;
  /** The value told before. */
  previous: Value | null;
  /** What brought it about: value, frame, error. */
  outcome: WatchOutcome;
}

export class Events {
  private known: Value | null = null;
  private failing = false;

  /** Null: nothing new. */
  of(outcome: WatchOutcome): WatchEvent | null {
    const { status, value } = outcome;
    const previous = this.known;
    if (status === 'error') {
      const type = this.failing ? null : 'error';
      this.failing = true;
      return type && { type, previous, outcome };
    }
    this.failing = false;
    if (value === null) return null;
    this.known = value;
    if (previous === null || previous === value) return null;
    return { type: typeof value === 'boolean' ? (value ? 'triggered' : 'cleared') : 'changed', previous, outcome };
  }
}
