/** Which events both days have: the same value about the same frame. */
import { type Both, MOST_LISTED, type ReplayedEvent } from './report.js';

/** An event of one day may come so many later than the same of the other. */
const FARTHEST = 2000;

export class Differences {
  readonly counts: Both<number> = { before: 0, now: 0 };
  private readonly listed: Both<ReplayedEvent[]> = { before: [], now: [] };
  private readonly waiting: Both<Map<string, ReplayedEvent[]>> = { before: new Map(), now: new Map() };

  add(day: keyof Both<unknown>, event: ReplayedEvent): void {
    this.counts[day]++;
    const key = JSON.stringify([event.frame, event.type, event.value]);
    if (take(this.waiting[day === 'now' ? 'before' : 'now'], key) !== undefined) return;
    const own = this.waiting[day];
    own.set(key, [...(own.get(key) ?? []), event]);
    const [oldest = ''] = own.keys();
    if (own.size > FARTHEST) this.list(day, take(own, oldest));
  }

  /** Those that only one day has, the first thousand of each. */
  only(day: keyof Both<unknown>): ReplayedEvent[] {
    for (const events of this.waiting[day].values()) for (const event of events) this.list(day, event);
    this.waiting[day].clear();
    return this.listed[day];
  }

  private list(day: keyof Both<unknown>, event: ReplayedEvent | undefined): void {
    if (event !== undefined && this.listed[day].length < MOST_LISTED) this.listed[day].push(event);
  }
}

function take(from: Map<string, ReplayedEvent[]>, key: string): ReplayedEvent | undefined {
  const events = from.get(key);
  const event = events?.shift();
  if (events?.length === 0) from.delete(key);
  return event;
}
