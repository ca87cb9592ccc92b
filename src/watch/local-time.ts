/** What the clocks of a time zone show, daylight saving included. Intl knows the zones. */

const HOUR_MS = 3_600_000;
/** No zone is further from UTC than this, in milliseconds. */
const FARTHEST_WEST_MS = 12 * HOUR_MS;
const FARTHEST_EAST_MS = 14 * HOUR_MS;
const MOST_FOUND = 256;

/** An IANA name such as Europe/Berlin, not an offset: that would know nothing of daylight saving. */
export function isTimeZone(name: string): boolean {
  try {
    return /^[a-z]/i.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== '';
  } catch {
    return false;
  }
}

/** Of the process: TZ, or the system's. */
export function processTimeZone(): string {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return isTimeZone(timeZone) ? timeZone : 'UTC'; // Etc/Unknown, where TZ names nothing
}

/** Moments are milliseconds since 1970. A reading is what a clock shows, date included, as the moment at which one in UTC shows the same. */
export class LocalTime {
  private readonly format: Intl.DateTimeFormat;
  /** Moments by reading, as first() has found them: the same few are looked for again and again, and around a change of the clock that takes a millisecond. */
  private readonly found = new Map<number, number>();

  /** Throws RangeError for a zone that there is none of. */
  constructor(readonly zone: string) {
    const numeric = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' } as const;
    this.format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', ...numeric });
  }

  /** To the second. */
  reading(moment: number): number {
    const parts: Record<string, number> = {};
    for (const { type, value } of this.format.formatToParts(moment)) parts[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second);
  }

  /**
   * The first moment at which the clock shows this reading or a later one: of a time that comes twice the first, for one that is left out the moment
   * at which the clock is put forward.
   */
  first(reading: number): number {
    const known = this.found.get(reading);
    if (known !== undefined) return known;
    if (this.found.size >= MOST_FOUND) this.found.clear();
    const moment = this.find(reading);
    this.found.set(reading, moment);
    return moment;
  }

  private find(reading: number): number {
    const before = Math.floor((reading - FARTHEST_EAST_MS) / 1000) - 1; // seconds
    const after = Math.ceil((reading + FARTHEST_WEST_MS) / 1000) + 1;
    const [early, late] = [this.offset(before), this.offset(after)];
    const unchanged = reading - early;
    if (early === late) return unchanged;
    let [low, high] = [before, after]; // the clock is changed in (low, high]
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.offset(middle) === early) low = middle;
      else high = middle;
    }
    const change = high * 1000;
    return unchanged < change ? unchanged : Math.max(change, reading - late);
  }

  private offset(seconds: number): number {
    return this.reading(seconds * 1000) - seconds * 1000;
  }
}
