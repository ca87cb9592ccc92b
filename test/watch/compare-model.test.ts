/** What a watch with `compare.ago_ms` says and tells, against a twin that keeps everything, has no timers and looks at it again every second. */
import { describe, expect, it } from 'vitest';
import { random } from '../../src/camera/kitchen.js';
import { Film } from '../../src/replay/film.js';
import { VirtualClock } from '../../src/replay/virtual-clock.js';
import type { WatchEvent } from '../../src/watch/event.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { Eyes, WatchOutcome } from '../../src/watch/outcome.js';
import { History, STEPS } from '../../src/watch/past.js';
import type { WatchSpec } from '../../src/watch/spec.js';
import { counts } from '../support/counts.js';
import { spec } from './stage.js';

const soon = () => new Promise((resolve) => setImmediate(resolve));
const NEVER = -1e9;

/** Times in seconds; a frame is called by the second that it was taken in. */
class Twin {
  readonly told: string[] = [];
  private readonly log: { at: number; value: number | null; words: string }[] = [];
  private answers: { value: number; counts: boolean }[] = []; // since the value last changed; the newest is the last
  private value: number | null = null;
  private goodUntil = Number.POSITIVE_INFINITY;
  private pair: { value: number; former: number | null; since: number } | null = null;
  private isResting = true;
  private last: { value: number; former: number } | null = null;
  private toldAt = NEVER;
  private reminderSince: number | null = null;

  constructor(private readonly rules: WatchSpec) {}

  /** What the result of this answer says of then. */
  answer(second: number, observed: number, confidence: number): string {
    this.look(second);
    const { agreement, min_confidence, keep_confidence = min_confidence, ttl_ms } = this.rules;
    const isPresent = observed === this.value;
    const counts = confidence >= (isPresent ? keep_confidence : min_confidence);
    this.answers.push({ value: observed, counts });
    const agreeing = this.answers.slice(-agreement.of).filter((each) => each.counts && each.value === observed).length;
    if (counts && !isPresent && agreeing >= agreement.n) [this.value, this.answers] = [observed, []];
    const speaks = counts && observed === this.value;
    if (speaks || this.value === null) this.goodUntil = second + ttl_ms / 1000;
    if (speaks || this.value === null) this.log.push({ at: second, value: this.value, words: `${confidence} ${second}` });
    if (this.value !== null) this.isResting = false;
    this.settle(second);
    const then = this.former(second);
    return this.value === null || then === null ? 'unknown' : `${then.value} ${then.words} ${then.value !== this.value}`;
  }

  /** The camera is gone. */
  lose(second: number): void {
    this.look(second);
    if (this.goodUntil < Number.POSITIVE_INFINITY) this.expire(second);
    this.settle(second);
  }

  rest(second: number): void {
    this.look(second);
    [this.isResting, this.pair, this.reminderSince] = [true, null, null];
  }

  look(second: number): void {
    if (second >= this.goodUntil) this.expire(second);
    this.settle(second);
  }

  private expire(second: number): void {
    [this.value, this.answers, this.goodUntil] = [null, [], Number.POSITIVE_INFINITY];
    this.log.push({ at: second, value: null, words: '' });
  }

  private former(second: number) {
    const then = this.log.filter(({ at }) => at <= second - (this.rules.compare?.ago_ms as number) / 1000).at(-1);
    return then === undefined || then.value === null ? null : then;
  }

  private settle(second: number): void {
    const { value } = this;
    const then = this.former(second);
    const former = then?.value ?? null;
    if (value === null) this.isResting = true;
    if (value === null || this.isResting) this.pair = null;
    else if (this.pair?.value !== value || this.pair.former !== former) this.pair = { value, former, since: second };
    if (value === null || this.pair === null || former === null) return;
    const { for_ms, gap_ms, remind_ms } = this.rules.events;
    const isFree = second >= this.toldAt + gap_ms / 1000;
    const words = `${former} → ${value}, ${then?.words}`;
    if (this.last?.value === value && this.last.former === former) {
      if (this.reminderSince === null || remind_ms === undefined || second < this.reminderSince + remind_ms / 1000 || !isFree) return;
      [this.reminderSince, this.toldAt] = [null, second];
      this.told.push(`${second} reminder ${words}`);
      return;
    }
    if (second < this.pair.since + for_ms / 1000) return;
    if (former === value) [this.last, this.reminderSince] = [{ value, former }, null];
    else if (isFree) {
      [this.last, this.reminderSince, this.toldAt] = [{ value, former }, second, second];
      this.told.push(`${second} changed ${words}`);
    }
  }
}

/** A loop with one watch, on a clock that somebody moves, whose answers somebody gives. */
class Stage {
  readonly told: string[] = [];
  readonly clock = new VirtualClock(0);
  given: { value: number; confidence: number } | 'broken' = 'broken';
  said: string | null = null; // of then, by the last result
  readonly loop: WatchLoop;
  readonly camera = new Film('kitchen');
  private frames = 0;

  constructor(rules: WatchSpec) {
    this.clock.setDate(new Date('2026-06-10T12:00:00Z'), 0);
    const ask = async () => {
      if (this.given === 'broken') throw new Error('no answer');
      const timings = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };
      return { ...this.given, text: '', finish: 'stop' as const, tokens: { prompt: 0, reused: 0, answer: 0 }, timings };
    };
    const eyes = { look: async () => ({ timings: {}, ask, dispose: async () => {} }) } as unknown as Eyes;
    this.loop = new WatchLoop(eyes, {
      clock: this.clock,
      timeZone: 'UTC',
      onOutcome: (outcome) => this.outcome(outcome),
      onEvent: (event) => this.event(event),
      onFault: (fault) => expect.unreachable(String(fault)),
    });
    this.loop.addCamera(this.camera);
    this.loop.put('balls', rules);
    this.loop.start();
  }

  async show(): Promise<void> {
    const at = this.clock.date();
    const monotonicMs = this.clock.now();
    const data = new Uint8Array(1).fill(++this.frames);
    this.camera.show({ id: `${monotonicMs / 1000}`, at, monotonicMs, width: 1, height: 1, format: 'gray', data, content: this.frames });
    await soon();
  }

  private outcome({ status, compare, frame }: WatchOutcome): void {
    expect(compare === null || frame === null || compare.frame.monotonicMs < frame.monotonicMs).toBe(true);
    if (status !== 'ok') return;
    this.said = compare === null ? 'unknown' : `${compare.value} ${compare.confidence} ${compare.frame.id} ${compare.changed}`;
  }

  private event({ type, previous, compare, outcome, atMs }: WatchEvent): void {
    if (type === 'error') return;
    expect(compare).toMatchObject({ value: previous, changed: true });
    this.told.push(`${atMs / 1000} ${type} ${previous} → ${outcome.value}, ${compare?.confidence} ${compare?.frame.id}`);
  }
}

it(
  'says and tells what the twin does, for any answers, gaps, rules and lengths of time',
  async () => {
    let [told, reminders, known] = [0, 0, 0];
    for (let seed = 1; seed <= counts(60, 1000); seed++) {
      const rand = random(seed);
      const some = (most: number) => Math.floor(rand() * (most + 1));
      const maybe = <T>(value: T, other: T, chance = 0.5): T => (rand() < chance ? value : other);
      const of = 1 + some(3);
      const rules = spec({
        ...{ answer: { type: 'number', min: 0, max: 9 }, change_percent: 0, reask_ms: 100, max_age_ms: 1, ttl_ms: (2 + some(maybe(8, 60))) * 1000 },
        ...{ agreement: { n: 1 + some(of - 1), of }, min_confidence: maybe(0, 0.5), keep_confidence: 0, compare: { ago_ms: (1 + some(40)) * 1000 } },
        events: { for_ms: maybe(0, some(8) * 1000), gap_ms: maybe(0, some(30) * 1000), ...maybe({}, { remind_ms: (1 + some(20)) * 1000 }) },
      });
      const stage = new Stage(rules);
      const twin = new Twin(rules);
      let second = 0;
      let value = 0;
      for (let step = 0; step < 80; step++) {
        const next = second + 1 + maybe(some(4), some(60), 0.93);
        while (second < next) {
          second++;
          while (stage.clock.step(second * 1000));
          twin.look(second);
        }
        const dice = rand();
        if (dice < 0.9) {
          if (rand() < 0.2) value = some(2);
          stage.given = rand() < 0.05 ? 'broken' : { value: maybe(value, some(2), 0.9), confidence: Math.round(rand() * 100) / 100 };
          stage.said = null;
          await stage.show();
          const { given } = stage;
          if (stage.said !== null && given !== 'broken') {
            const words = twin.answer(second, given.value, given.confidence);
            expect(stage.said, `seed ${seed}, second ${second}`).toBe(words);
            if (words !== 'unknown') known++;
          }
        } else if (dice < 0.95) {
          stage.loop.setEnabled('balls', false);
          stage.loop.setEnabled('balls', true);
          twin.rest(second);
        } else {
          stage.loop.removeCamera('kitchen');
          stage.loop.addCamera(stage.camera);
          await soon();
          twin.lose(second);
        }
        expect(stage.told, `seed ${seed}, second ${second}, ${JSON.stringify(rules)}`).toEqual(twin.told);
      }
      told += stage.told.length;
      reminders += stage.told.filter((each) => each.includes('reminder')).length;
      await stage.loop.stop(0);
      expect(stage.clock.step(Number.MAX_SAFE_INTEGER)).toBe(false); // no timer is left
    }
    expect(told).toBeGreaterThan(200);
    expect(reminders).toBeGreaterThan(20);
    expect(known).toBeGreaterThan(1500);
  },
  counts(60_000, 600_000),
);

describe('a history', () => {
  const seen = (value: string, atMs: number) => ({ value, confidence: 1, frame: { id: `${atMs}`, at: new Date(atMs), monotonicMs: atMs } });

  it('knows the last change of every step, as one that forgets nothing does, and keeps at most 256', () => {
    let most = 0;
    for (let seed = 1; seed <= counts(40, 500); seed++) {
      const rand = random(seed);
      const agoMs = rand() < 0.5 ? 1000 : 1000 + Math.floor(rand() * 604_799_000);
      const history = new History(agoMs);
      const log: { atMs: number; value: string | null }[] = [];
      const stepOf = (ms: number) => Math.floor((ms * STEPS) / agoMs);
      const usualMs = (agoMs / STEPS) * (rand() < 0.3 ? 0.1 : 3 * rand());
      let nowMs = rand() * 1e6;
      for (let i = 0; i < 700; i++) {
        nowMs += rand() * usualMs * (rand() < 0.005 ? 400 : 1);
        const value = rand() < 0.2 ? null : 'abc'.charAt(Math.floor(rand() * 3));
        if (value !== (log.at(-1)?.value ?? null)) log.push({ atMs: nowMs, value }); // of what speaks for the same it keeps some, for their frames
        history.believe(value === null ? null : seen(value, nowMs), nowMs);
        most = Math.max(most, history.size);
        const old = log.filter(({ atMs }, index) => atMs + agoMs <= nowMs && stepOf(log[index + 1]?.atMs ?? nowMs + agoMs) !== stepOf(atMs)).at(-1);
        expect(history.belief(nowMs)?.value ?? null, `seed ${seed}, ${i}`).toBe(old?.value ?? null);
        const nextMs = history.nextMs(nowMs);
        if (nextMs < Number.POSITIVE_INFINITY) {
          expect(nextMs).toBeGreaterThan(nowMs);
          expect(history.belief(nextMs)?.value).not.toBe(history.belief(nowMs)?.value);
          expect(history.belief(nowMs + (nextMs - nowMs) * 0.999)?.value).toBe(history.belief(nowMs)?.value);
        }
      }
    }
    expect(most).toBeLessThanOrEqual(256);
    expect(most).toBeGreaterThan(200);
  });

  it('of days and of a value that never stays takes no more', () => {
    const history = new History(604_800_000);
    let most = 0;
    for (let ms = 0; ms < 20 * 86_400_000; ms += 7000) {
      history.believe(ms % 3 === 0 ? null : seen(`${ms}`, ms), ms);
      most = Math.max(most, history.size);
    }
    expect(most).toBeLessThanOrEqual(256);
  });

  it('of a value that stays has a frame that is about as old as asked for', () => {
    const history = new History(60_000);
    for (let ms = 0; ms < 300_000; ms += 40) {
      history.believe(seen('a', ms), ms);
      const frame = history.belief(ms)?.frame.monotonicMs;
      if (ms < 60_000) expect(frame).toBeUndefined();
      else expect(ms - 60_000 - (frame as number)).toBeLessThanOrEqual(60_000 / STEPS + 40);
      expect(history.nextMs(ms)).toBe(ms < 60_000 ? 60_000 : Number.POSITIVE_INFINITY);
    }
    expect(history.size).toBeLessThanOrEqual(256);
  });
});
