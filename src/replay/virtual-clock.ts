/** A clock that somebody moves: a recorded day passes as fast as it is looked at. */
import type { Clock } from '../watch/clock.js';

interface Timer {
  atMs: number;
  work: () => void;
}

export class VirtualClock implements Clock {
  private timers: Timer[] = []; // by time, among equals in the order in which they were set
  private wallMs = 0; // Unix time less `nowMs`

  /** Milliseconds, as in the record. */
  constructor(private nowMs = 0) {}

  now(): number {
    return this.nowMs;
  }

  date(): Date {
    return new Date(this.nowMs + this.wallMs);
  }

  /** What the wall clock showed at a moment of this one. */
  setDate(date: Date, atMs: number): void {
    this.wallMs = date.getTime() - atMs;
  }

  after(ms: number, work: () => void): () => void {
    return this.at(this.nowMs + Math.max(0, ms), work);
  }

  /** As after(), for a moment that must be met to the bit; one that has passed is as soon as can be. */
  at(atMs: number, work: () => void): () => void {
    const timer = { atMs, work };
    const place = this.timers.findIndex(({ atMs }) => atMs > timer.atMs);
    this.timers.splice(place < 0 ? this.timers.length : place, 0, timer);
    return () => {
      const index = this.timers.indexOf(timer);
      if (index >= 0) this.timers.splice(index, 1);
    };
  }

  /** Moves on to the first timer that is due by then, and has it run; false: there is none, and the clock shows that moment. It never goes back. */
  step(untilMs: number): boolean {
    const [next] = this.timers;
    if (next === undefined || next.atMs > untilMs) {
      this.nowMs = Math.max(this.nowMs, untilMs);
      return false;
    }
    this.timers.shift();
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.work();
    return true;
  }
}
