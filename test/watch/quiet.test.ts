/** Local time and quiet hours: days on which the clock is changed, in zones that do it each in their own way, against a look at every minute. */
import { describe, expect, it } from 'vitest';
import { random } from '../../src/camera/kitchen.js';
import { isTimeZone, LocalTime } from '../../src/watch/local-time.js';
import { QuietHours } from '../../src/watch/quiet.js';
import { type QuietPeriod, WEEKDAYS } from '../../src/watch/spec.js';
import { counts } from '../support/counts.js';

const MINUTE = 60_000;
const DAY = 1440; // minutes

/** Zone, a moment within three days of a change, what is special about it. */
const CHANGES: [string, string, string][] = [
  ['Europe/Berlin', '2026-03-29', 'forward at 02:00'],
  ['Europe/Berlin', '2026-10-25', 'back at 03:00'],
  ['America/New_York', '2026-03-08', 'forward at 02:00'],
  ['America/New_York', '2026-11-01', 'back at 02:00'],
  ['Australia/Lord_Howe', '2026-04-05', 'back by half an hour'],
  ['Australia/Lord_Howe', '2026-10-04', 'forward by half an hour'],
  ['America/Sao_Paulo', '2018-11-04', 'forward at midnight'],
  ['America/Sao_Paulo', '2019-02-17', 'back at midnight'],
  ['America/St_Johns', '2010-11-07', 'back at one minute past midnight'],
  ['Africa/Cairo', '2026-04-24', 'forward at midnight'],
  ['Pacific/Apia', '2011-12-31', 'a day left out'],
  ['Asia/Kathmandu', '2026-06-01', 'never, and 5 h 45 min off'],
  ['UTC', '2026-06-01', 'never'],
];

/** Every minute of nine days around a change, with what the clock shows then, in minutes, by a formatter used another way. */
function minutesAround(zone: string, day: string): { moment: number; shown: number }[] {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'short' });
  const begin = Date.parse(`${day}T00:00:00Z`) - 4 * DAY * MINUTE;
  return Array.from({ length: 9 * DAY }, (_, index) => {
    const moment = begin + index * MINUTE;
    return { moment, shown: Date.parse(`${format.format(moment).replace(' ', 'T')}Z`) / MINUTE };
  });
}

/** The rule in one sentence: from the first moment of a day at which the clock shows `from` or later to the first at which it shows `to` or later. */
function quietMinutes(minutes: { moment: number; shown: number }[], { from, to, days }: QuietPeriod): Map<number, number> {
  const found = new Map<number, number>();
  const at = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  const [first, last] = [minutes[0]?.shown ?? 0, minutes.at(-1)?.shown ?? 0];
  for (let day = Math.floor(first / DAY); day <= Math.floor(last / DAY); day++) {
    if (days !== undefined && !days.includes(WEEKDAYS[(new Date(day * DAY * MINUTE).getUTCDay() + 6) % 7] as 'mon')) continue;
    const end = day * DAY + at(to) + (at(to) < at(from) ? DAY : 0);
    const inside = minutes.findIndex(({ shown }) => shown >= day * DAY + at(from));
    const over = minutes.findIndex(({ shown }) => shown >= end);
    for (let index = inside; index >= 0 && index < over; index++) {
      const { moment } = minutes[index] as { moment: number };
      found.set(moment, Math.max(found.get(moment) ?? 0, minutes[over]?.moment ?? 0));
    }
  }
  return found;
}

describe.each(CHANGES)('%s on %s: %s', (zone, day) => {
  const minutes = minutesAround(zone, day);
  const time = new LocalTime(zone);
  const middle = minutes.slice(2 * DAY, 7 * DAY);

  it('shows what the clock shows, and finds when it first does', () => {
    for (const { moment, shown } of middle.filter((_, index) => index % 7 === 0)) expect(time.reading(moment)).toBe(shown * MINUTE);
    const wanted = new Map<number, number>(); // by reading
    for (let reading = (middle[0]?.shown ?? 0) + DAY; reading < (middle.at(-1)?.shown ?? 0) - DAY; reading += 5)
      wanted.set(reading, minutes.find(({ shown }) => shown >= reading)?.moment ?? 0);
    expect(wanted.size).toBeGreaterThan(400);
    expect(new Map([...wanted.keys()].map((reading) => [reading, time.first(reading * MINUTE)]))).toEqual(wanted);
  });

  it(
    'is quiet for the minutes it should be',
    () => {
      const rand = random(day.length + zone.length);
      const clock = (minute: number) => `${`${Math.floor(minute / 60)}`.padStart(2, '0')}:${`${minute % 60}`.padStart(2, '0')}`;
      for (let round = 0; round < counts(6, 60); round++) {
        const near = rand() < 0.5 ? 240 : DAY; // around midnight and in the hours in which clocks are changed
        const from = clock(Math.floor(rand() * near));
        const to = rand() < 0.1 ? '24:00' : clock(Math.floor(rand() * near));
        if (from === to) continue;
        const days = rand() < 0.5 ? {} : { days: WEEKDAYS.filter(() => rand() < 0.5) };
        const period = { from, to, ...days };
        const hours = new QuietHours([period], time);
        const wanted = quietMinutes(minutes, period);
        const step = 1 + Math.floor(rand() * 30);
        const looked = middle.filter((_, index) => index % step === 0);
        const seen = looked.map(({ moment }) => [moment, hours.until(moment)]);
        expect(seen, JSON.stringify(period)).toEqual(looked.map(({ moment }) => [moment, wanted.get(moment) ?? null]));
      }
    },
    counts(20_000, 300_000),
  );
});

describe('in Berlin', () => {
  const time = new LocalTime('Europe/Berlin');
  const ends = (period: QuietPeriod, moment: string) => {
    const end = new QuietHours([period], time).until(Date.parse(moment));
    return end === null ? null : new Date(end).toISOString().slice(0, 16);
  };
  const NIGHT = { from: '22:00', to: '06:30' };

  it('a night ends when the clock on the wall says so, however long it was', () => {
    expect(ends(NIGHT, '2026-03-28T20:59:59Z')).toBe(null);
    expect(ends(NIGHT, '2026-03-28T21:00:00Z')).toBe('2026-03-29T04:30'); // 7 h 30 min
    expect(ends(NIGHT, '2026-10-24T20:00:00Z')).toBe('2026-10-25T05:30'); // 9 h 30 min
    expect(ends(NIGHT, '2026-10-25T05:30:00Z')).toBe(null);
  });

  it('an hour that does not exist is none, and what begins or ends in it does so as the clock is put forward', () => {
    for (const minute of ['00:59', '01:00', '01:30']) expect(ends({ from: '02:10', to: '02:50' }, `2026-03-29T${minute}:00Z`)).toBe(null);
    expect(ends({ from: '02:30', to: '04:00' }, '2026-03-29T01:00:00Z')).toBe('2026-03-29T02:00');
    expect(ends({ from: '01:00', to: '02:30' }, '2026-03-29T00:30:00Z')).toBe('2026-03-29T01:00');
  });

  it('of an hour that comes twice the first counts', () => {
    const period = { from: '02:10', to: '02:50' };
    expect(ends(period, '2026-10-25T00:10:00Z')).toBe('2026-10-25T00:50');
    expect(ends(period, '2026-10-25T01:10:00Z')).toBe(null); // 02:10 once more
    expect(ends({ from: '02:30', to: '04:00' }, '2026-10-25T01:10:00Z')).toBe('2026-10-25T03:00'); // 02:10 once more, in the middle of it
  });

  it('days are those on which it begins', () => {
    const weekend = { ...NIGHT, days: ['fri', 'sat'] as QuietPeriod['days'] };
    expect(ends(weekend, '2026-06-05T22:00:00Z')).toBe('2026-06-06T04:30'); // Friday
    expect(ends(weekend, '2026-06-07T01:00:00Z')).toBe('2026-06-07T04:30'); // Sunday morning
    expect(ends(weekend, '2026-06-07T22:00:00Z')).toBe(null);
  });

  it('of periods that overlap the last end counts', () => {
    const hours = new QuietHours([NIGHT, { from: '05:00', to: '08:00' }, { from: '05:00', to: '07:00' }], time);
    expect(hours.until(Date.parse('2026-06-05T03:30:00Z'))).toBe(Date.parse('2026-06-05T06:00:00Z'));
  });
});

it('a zone has a name that the system knows; an offset is none', () => {
  expect(['Europe/Berlin', 'america/new_york', 'UTC', 'Asia/Calcutta'].filter(isTimeZone)).toHaveLength(4);
  expect(['', 'Europe/Atlantis', '+02:00', 'Etc/Unknown', ' UTC', 'Europe/Berlin '].filter(isTimeZone)).toEqual([]);
});
