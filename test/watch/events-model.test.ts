/** Events against a twin that has no timers, holds nothing and looks at everything again every second. */
import { expect, it } from 'vitest';
import { random } from '../../src/camera/kitchen.js';
import { type EventRules, type Value, WEEKDAYS } from '../../src/watch/spec.js';
import { counts } from '../support/counts.js';
import { Desk, type Seen } from './desk.js';
import { spec } from './stage.js';

const BEGIN = Date.parse('2026-06-10T21:50:00Z'); // a Wednesday
const NEVER = -1e9;

/** Times in seconds. */
class Twin {
  readonly log: string[] = [];
  private told: Value | null = null;
  private value: Value | null = null;
  private since = 0;
  private goodUntil = 0;
  private answer = 0; // number of the last that spoke for the value
  private waited = false;
  private failing = false;
  private failureTold = false;
  private valueToldAt = NEVER;
  private errorToldAt = NEVER;
  private reminderSince: number | null = null;
  private confirmedUntil = NEVER;
  private wishFrom: number | null = null;
  private refusedAnswer = -1;
  private readonly counted = { value: new Set<string>(), error: new Set<string>(), reminder: new Set<string>() };

  constructor(private rules: EventRules) {}

  wants(second: number): boolean {
    return this.wishFrom !== null && second >= this.wishFrom;
  }

  change(second: number, rules: EventRules, enabled: boolean): void {
    if (JSON.stringify(rules.confirm) !== JSON.stringify(this.rules.confirm) && enabled) {
      [this.wishFrom, this.refusedAnswer, this.confirmedUntil] = [null, -1, NEVER];
    }
    this.rules = rules;
    if (!enabled) {
      this.end(second);
      [this.failing, this.reminderSince] = [false, null];
    }
    this.look(second);
  }

  see(second: number, given: Seen, speaksForIt: boolean, ttl: number, answer: number): void {
    this.look(second);
    if (given === 'broken') {
      if (!this.failing) [this.failing, this.failureTold, this.counted.error] = [true, false, new Set()];
    } else {
      this.failing = false;
      if (given !== this.value) {
        this.end(second);
        this.told ??= given;
        if (given !== null) this.beginAnew(second, given);
      } else if (!speaksForIt) {
        this.look(second);
        return;
      }
      [this.goodUntil, this.answer] = [second + ttl, answer];
    }
    this.look(second);
  }

  opine(second: number, agrees: boolean, ttl: number): void {
    this.wishFrom = null;
    if (agrees) this.confirmedUntil = second + ttl;
    else {
      this.refusedAnswer = this.answer;
      this.hold(second, 'value', 'unconfirmed');
    }
    this.look(second);
  }

  look(second: number): void {
    const quiet = this.isQuiet(second);
    const free = (toldAt: number, what: 'value' | 'error' | 'reminder') => {
      if (second < toldAt + this.rules.gap_ms / 1000) this.hold(second, what, 'gap');
      else if (quiet) this.hold(second, what, 'quiet');
      else return true;
      return false;
    };
    if (this.failing && !this.failureTold && free(this.errorToldAt, 'error')) {
      [this.failureTold, this.errorToldAt] = [true, second];
      this.log.push(`${second} error ${this.told}`);
    }
    if (this.value === null || second >= this.goodUntil) return;
    if (this.value !== this.told) {
      if (second < this.since + this.rules.for_ms / 1000) return;
      this.waited = true;
      const { confirm } = this.rules;
      const confirmed = confirm === undefined || this.value === false || second < this.confirmedUntil;
      if (!confirmed && (this.wishFrom !== null || this.refusedAnswer === this.answer)) return;
      if (!free(this.valueToldAt, 'value')) return;
      if (!confirmed) {
        this.wishFrom = second + confirm.after_ms / 1000;
        return;
      }
      this.log.push(`${second} ${this.type} ${this.told}`);
      [this.told, this.valueToldAt, this.counted.reminder] = [this.value, second, new Set()];
      this.reminderSince = this.value === false ? null : second;
    }
    const { remind_ms } = this.rules;
    if (this.reminderSince === null || remind_ms === undefined || second < this.reminderSince + remind_ms / 1000) return;
    if (!free(this.valueToldAt, 'reminder')) return;
    [this.reminderSince, this.valueToldAt] = [null, second];
    this.log.push(`${second} reminder ${this.told}`);
  }

  private get type(): string {
    return typeof this.value === 'boolean' ? (this.value ? 'triggered' : 'cleared') : 'changed';
  }

  private beginAnew(second: number, value: Value): void {
    [this.value, this.since, this.waited, this.wishFrom, this.confirmedUntil, this.refusedAnswer] = [value, second, false, null, NEVER, -1];
    this.counted.value = new Set();
  }

  private end(second: number): void {
    if (this.value !== null && this.value !== this.told) {
      if (!this.waited) this.hold(second, 'value', 'for');
      else if (this.wishFrom !== null) this.hold(second, 'value', 'unconfirmed');
    }
    [this.value, this.wishFrom] = [null, null];
  }

  private hold(second: number, what: 'value' | 'error' | 'reminder', reason: string): void {
    if (!this.counted[what].has(reason)) this.log.push(`${second} ${reason}: ${what === 'value' ? this.type : what}`);
    this.counted[what].add(reason);
  }

  private isQuiet(second: number): boolean {
    const now = new Date(BEGIN + second * 1000).toISOString();
    const day = (shift: number) => WEEKDAYS[(new Date(Date.parse(now) + shift * 86_400_000).getUTCDay() + 6) % 7] as 'mon';
    const clock = now.slice(11, 16);
    return this.rules.quiet.some(({ from, to, days = WEEKDAYS }) => {
      if (from < to) return clock >= from && clock < to && days.includes(day(0));
      return (clock >= from && days.includes(day(0))) || (clock < to && days.includes(day(-1)));
    });
  }
}

it(
  'tells and counts what a twin without timers does, for any rules and outcomes',
  () => {
    let [told, seen] = [0, new Set<string>()];
    for (let seed = 1; seed <= counts(300, 4000); seed++) {
      const rand = random(seed);
      const some = (most: number) => Math.floor(rand() * (most + 1));
      const maybe = <T>(value: T, other: T, chance = 0.5): T => (rand() < chance ? value : other);
      const isBoolean = rand() < 0.5;
      const anyRules = () => {
        const period = { from: maybe('21:51', '23:59'), to: maybe('22:00', '00:02'), ...maybe({}, { days: ['wed', 'sat'] as const }) };
        return {
          for_ms: maybe(0, some(40) * 1000),
          gap_ms: maybe(0, some(200) * 1000),
          ...maybe({}, { remind_ms: (1 + some(200)) * 1000 }),
          quiet: maybe([], [{ ...period, days: 'days' in period ? [...(period.days ?? [])] : undefined }]),
          ...maybe({}, { confirm: { question: 'Really?', after_ms: maybe(0, some(20) * 1000) } }),
        };
      };
      const rules = anyRules();
      const desk = new Desk(rules, BEGIN);
      const twin = new Twin(spec({ events: rules }).events);
      let second = 0;
      let enabled = true;
      let last: Seen = null;
      let seenFrames = 0;
      for (let step = 0; step < 60; step++) {
        const next = second + maybe(some(20), some(600), 0.95);
        while (second < next) {
          second++;
          desk.until(second);
          twin.look(second);
        }
        const what = rand();
        if (what < 0.5 && enabled) {
          const given: Seen =
            rand() < 0.1
              ? 'broken'
              : rand() < 0.1
                ? null
                : rand() < 0.4 && last !== 'broken'
                  ? last
                  : maybe<Value>(isBoolean || 'a', isBoolean ? false : 'b');
          const known = given === last;
          const speaks = rand() < 0.8 || !known || given === null;
          const ttl = maybe(10_000, 1 + some(60), 0.8);
          desk.see(given, { observed: speaks ? given : 'other', ttlS: ttl });
          twin.see(second, given, speaks, ttl, ++seenFrames);
          if (given !== 'broken') last = given;
        } else if (what < 0.85) {
          const agrees = rand() < 0.5;
          const wanted = twin.wants(second);
          expect(desk.opine(agrees), `seed ${seed}, second ${second}`).toBe(wanted);
          if (wanted) twin.opine(second, agrees, 30);
        } else if (what < 0.9) {
          enabled = rand() < 0.8;
          const changed = maybe(rules, anyRules());
          desk.change(changed, { enabled });
          twin.change(second, spec({ events: changed }).events, enabled);
          if (!enabled) last = null;
        }
        if (!enabled) expect(desk.held).toBe(0);
        expect(desk.log, `seed ${seed}, second ${second}, ${JSON.stringify(rules)}`).toEqual(twin.log);
      }
      const { suppressed, count } = desk.events;
      expect(desk.suppressed.length).toBe(Object.values(suppressed).reduce((sum, each) => sum + each));
      expect(desk.told.length).toBe(count);
      told += count;
      for (const { reason } of desk.suppressed) seen.add(reason);
      expect(desk.held).toBeLessThanOrEqual(1);
      desk.events.close();
      expect(desk.idle).toBe(true);
    }
    expect(told).toBeGreaterThan(500);
    expect([...seen].sort()).toEqual(['for', 'gap', 'quiet', 'unconfirmed']);
  },
  counts(30_000, 600_000),
);
