/** Quiet hours, by the clocks of a time zone. */
import type { LocalTime } from './local-time.js';
import { type QuietPeriod, WEEKDAYS } from './spec.js';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export class QuietHours {
  constructor(
    private readonly periods: readonly QuietPeriod[],
    private readonly time: LocalTime,
  ) {}

  /** When the quiet that holds at this moment is over; null: it is not quiet. Milliseconds since 1970. */
  until(moment: number): number | null {
    if (this.periods.length === 0) return null;
    const today = Math.floor(this.time.reading(moment) / DAY_MS);
    let end: number | null = null;
    for (const period of this.periods) {
      // One of yesterday may reach into today; that of tomorrow may have begun when the clock was put back over midnight.
      for (const day of [today - 1, today, today + 1]) {
        const found = this.of(period, day, moment);
        if (found !== null && (end === null || found > end)) end = found;
      }
    }
    return end;
  }

  /** The end of the period that begins on this day (days since 1970), when `moment` lies in it. */
  private of({ from, to, days }: QuietPeriod, day: number, moment: number): number | null {
    if (days !== undefined && !days.includes(WEEKDAYS[(day + 3) % 7] as (typeof WEEKDAYS)[number])) return null; // 1970 began on a Thursday
    const begin = day * DAY_MS + minutes(from) * MINUTE_MS;
    if (this.time.first(begin) > moment) return null;
    const length = minutes(to) - minutes(from);
    const end = this.time.first(begin + length * MINUTE_MS + (length < 0 ? DAY_MS : 0));
    return moment < end ? end : null;
  }
}

function minutes(time: string): number {
  const [hour, minute] = time.split(':');
  return Number(hour) * 60 + Number(minute);
}
