/** What a watch compares with, as the loop asks it: what was seen when another told something, what was believed so long ago, and what ends it. */
import { expect, it, vi } from 'vitest';
import type { WatchEvent } from '../../src/watch/event.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import type { Mark } from '../../src/watch/past.js';
import { kept, onFakeTime } from './loop-stage.js';
import { FakeCamera, FakeEyes, spec } from './stage.js';

const VISITOR = 'Is somebody at the door?';
const PARCELS = 'How many parcels are there?';
const SLOW = { change_percent: 100, reask_ms: 60_000, ttl_ms: 600_000, interval_ms: 30_000 }; // asked once, if nobody else wants it to
const COUNT = { question: PARCELS, answer: { type: 'number', min: 0, max: 9 } } as const;

function stage({ lookMs = 0, askMs = 0 } = {}) {
  const eyes = new FakeEyes({ lookMs, askMs });
  const events: WatchEvent[] = [];
  const results: Record<string, WatchOutcome> = {};
  const marks: [string, Mark][] = [];
  const answers: Record<string, unknown> = { [VISITOR]: false, [PARCELS]: 1 };
  const sure: Record<string, number> = {};
  eyes.answer = (question) => {
    if (answers[question] === 'broken') throw new Error('no answer');
    return { value: answers[question], confidence: sure[question] ?? 1 };
  };
  const loop = new WatchLoop(eyes, {
    onOutcome: (outcome) => {
      results[outcome.watch] = outcome;
    },
    onEvent: (event) => events.push(event),
    onMark: (watch, mark) => marks.push([watch, mark]),
    onFault: (fault) => expect.unreachable(String(fault)),
  });
  kept(loop);
  const camera = new FakeCamera('kitchen');
  const other = new FakeCamera('yard');
  loop.addCamera(camera);
  loop.addCamera(other);
  loop.start();
  const visitor = (more: object = {}) => loop.put('visitor', spec({ question: VISITOR, change_percent: 0, ...more }));
  const parcels = (more: object = {}) => loop.put('parcels', spec({ ...COUNT, ...SLOW, compare: { event: 'visitor' }, ...more }));
  /** A new picture of the kitchen, and time for its answers. */
  const show = async (given: { visitor?: unknown; parcels?: unknown } = {}, ms = 100) => {
    if ('visitor' in given) answers[VISITOR] = given.visitor;
    if ('parcels' in given) answers[PARCELS] = given.parcels;
    const frame = camera.show();
    await vi.advanceTimersByTimeAsync(ms);
    return frame.id;
  };
  const told = (watch = 'parcels') =>
    events
      .filter(({ outcome }) => outcome.watch === watch)
      .map(({ type, previous, outcome, compare }) => `${type} ${previous} → ${outcome.value} (${compare?.frame.id})`);
  /** A look and what was asked of it. */
  const asked = () => eyes.looks.map(({ questions }) => questions.map(({ question }) => (question === PARCELS ? 'parcels' : 'visitor')).join(' '));
  return { eyes, loop, camera, other, events, results, marks, answers, sure, visitor, parcels, show, told, asked };
}

onFakeTime();

it('is asked of the very view that the other watch tells something about, whatever its own gate says', async () => {
  const { visitor, parcels, show, results, told, asked, marks, loop, eyes, camera } = stage();
  visitor();
  parcels();
  await show();
  expect(results.parcels).toMatchObject({ value: 1, compare: null });
  await show();
  const then = await show({ visitor: true });
  expect(asked()).toEqual(['visitor parcels', 'visitor', 'visitor parcels']);
  expect(results.parcels).toMatchObject({ value: 1, compare: { changed: false, value: 1, confidence: 1, frame: { id: then } } });
  expect(marks).toMatchObject([['parcels', { watch: 'visitor', answer: results.visitor?.id, frame: then }]]);
  parcels({ change_percent: 0, interval_ms: 0 });
  await show({ parcels: 2 });
  await show({ parcels: 1 });
  await show({ parcels: 2 });
  await show({ parcels: 2 });
  await show({ parcels: 4 });
  expect(told()).toEqual([`changed 1 → 2 (${then})`, `changed 1 → 2 (${then})`, `changed 1 → 4 (${then})`]);
  expect(results.parcels).toMatchObject({ value: 4, compare: { changed: true, value: 1, frame: { id: then } } });
  expect(loop.status().cameras.kitchen).toMatchObject({ looks: 8, asked: 15 });
  expect([eyes.views, camera.held]).toEqual([0, 0]); // the frame of an event is not held once it has been told
});

it.each(['visitor', 'parcels'])('is not asked twice about a frame of its own turn, %s being answered first', async (first) => {
  const { visitor, parcels, show, results, asked, eyes } = stage();
  const look = eyes.look.bind(eyes);
  eyes.look = async (...given) => {
    const seen = await look(...given);
    const slow = async (question: string, options?: object) => {
      if ((question === VISITOR) !== (first === 'visitor')) await new Promise((resolve) => setTimeout(resolve, 20));
      return await seen.ask(question, options);
    };
    return { ...seen, ask: slow as never };
  };
  visitor();
  parcels({ change_percent: 0, interval_ms: 0 });
  await show();
  const then = await show({ visitor: true, parcels: 3 });
  expect(asked()).toHaveLength(2);
  expect(eyes.asked).toBe(4);
  expect(results.parcels).toMatchObject({ value: 3 });
  const next = await show();
  expect(results.parcels).toMatchObject({ value: 3, frame: { id: next }, compare: { changed: false, value: 3, frame: { id: then } } });
});

it.each([
  ['of another part', { crop: { x: 0.5, width: 0.5 } }, 'kitchen'],
  ['of another camera', { camera: 'yard' }, 'yard'],
])('%s asks about the next frame there, once', async (_, more, id) => {
  const { visitor, parcels, show, results, asked, camera, other } = stage();
  const source = id === 'yard' ? other : camera;
  visitor();
  parcels({ ...more, cooldown_ms: 500_000 });
  other.show();
  await show();
  await vi.advanceTimersByTimeAsync(10);
  const before = asked().filter((each) => each === 'parcels').length;
  expect(before).toBe(1);
  await show({ visitor: true });
  if (id === 'yard') {
    expect(asked().filter((each) => each === 'parcels').length).toBe(1); // its newest frame is older than that
    expect(results.parcels?.compare).toBeNull();
    other.show(other.newest as never); // the very same picture
    await vi.advanceTimersByTimeAsync(10);
  }
  const then = source.newest?.id;
  expect(results.parcels).toMatchObject({ compare: { changed: false, value: 1, frame: { id: then } } });
  for (let i = 0; i < 5; i++) {
    other.show();
    await show();
  }
  expect(asked().filter((each) => each === 'parcels').length).toBe(2);
});

it('begins anew with every event about a value, and with nothing else', async () => {
  const { visitor, parcels, show, results, marks, told } = stage();
  visitor({ events: { remind_ms: 1000 } });
  parcels();
  await show();
  const first = await show({ visitor: true });
  await show({}, 1100);
  await show(); // reminds
  await show({ visitor: 'broken' }, 500);
  await show({ visitor: true }, 1000); // when the pause after a failure is over
  expect(told('visitor')).toEqual(['triggered false → true (undefined)', 'reminder true → true (undefined)', 'error true → true (undefined)']);
  expect([marks.length, results.parcels?.compare?.frame.id]).toEqual([1, first]);
  const second = await show({ visitor: false, parcels: 2 });
  expect([marks.length, results.parcels?.compare?.frame.id]).toEqual([2, second]);
  expect(results.parcels).toMatchObject({ value: 2, compare: { changed: false, value: 2 } });
  expect(told()).toEqual([]);
});

it('takes one answer for then at once, if it is sure enough, and tells of no difference to what was believed before it', async () => {
  const { visitor, parcels, show, results, sure, asked, told } = stage();
  visitor();
  const settings = { agreement: { n: 2, of: 2 }, min_confidence: 0.6, change_percent: 0, interval_ms: 0 };
  parcels(settings);
  await show();
  await show();
  parcels({ ...settings, ...SLOW });
  sure[PARCELS] = 0.5;
  await show({ visitor: true, parcels: 5 });
  await show();
  await show();
  expect(results.parcels).toMatchObject({ value: 1, observed: 5, compare: null });
  sure[PARCELS] = 0.9;
  const then = await show({ parcels: 3 });
  parcels(settings);
  await vi.advanceTimersByTimeAsync(10);
  expect(results.parcels).toMatchObject({ value: 1, observed: 3, compare: null }); // that there is one is older than then
  await show({ parcels: 1 });
  expect(results.parcels).toMatchObject({ value: 1, compare: { changed: true, value: 3, confidence: 0.9, frame: { id: then } } });
  expect(told()).toEqual([`changed 3 → 1 (${then})`]);
  expect(asked().filter((each) => each.includes('parcels')).length).toBeGreaterThan(4);
});

it('of an event that a rule has held back asks about a frame of when it was seen, or later', async () => {
  const { visitor, parcels, show, results, events } = stage();
  visitor({ events: { for_ms: 950 } });
  parcels();
  await show();
  for (let i = 0; i < 9; i++) await show({ visitor: true });
  expect(events).toEqual([]);
  const last = await show({ visitor: true });
  expect(events.map(({ outcome }) => outcome.watch)).toEqual(['visitor']);
  expect(results.parcels).toMatchObject({ compare: { frame: { id: last } } }); // by a look of its own
});

it('stays what it was when the other watch is disabled, asks something else, or is deleted', async () => {
  const { loop, visitor, parcels, show, results } = stage();
  visitor();
  parcels();
  await show();
  const then = await show({ visitor: true });
  parcels({ change_percent: 0, interval_ms: 0 });
  for (const end of [
    () => loop.setEnabled('visitor', false),
    () => visitor({ max_age_ms: 77, crop: { x: 0.5, width: 0.5 } }),
    () => loop.delete('visitor'),
  ]) {
    end();
    await show({ visitor: false });
    expect(results.parcels?.compare?.frame.id).toBe(then);
  }
  visitor();
  await show({ visitor: true });
  expect(results.parcels?.compare?.frame.id).toBe(then); // its first value is no event
  const next = await show({ visitor: false });
  await show();
  expect(results.parcels?.compare?.frame.id).toBe(next);
});

it('waits while it is disabled, and is not known any more when it compares with something else, or asks something else', async () => {
  const { loop, visitor, parcels, show, results, asked } = stage();
  visitor();
  parcels();
  await show();
  loop.setEnabled('parcels', false);
  const then = await show({ visitor: true });
  expect(asked().at(-1)).toBe('visitor');
  loop.setEnabled('parcels', true);
  await vi.advanceTimersByTimeAsync(10);
  expect(results.parcels?.compare?.frame.id).toBe(then);
  parcels({ change_percent: 0, interval_ms: 0, compare: { ago_ms: 1000 } });
  await show();
  expect(results.parcels).toMatchObject({ value: 1, compare: null });
  await show({}, 1000);
  await show();
  expect(results.parcels).toMatchObject({ compare: { value: 1, changed: false } });
  parcels({ question: `${PARCELS} Or letters?`, compare: { event: 'visitor' } });
  await show();
  expect(results.parcels).toMatchObject({ compare: null });
});

it('with its own events tells what differs from what it told last', async () => {
  const { parcels, show, results, told } = stage();
  parcels({ change_percent: 0, interval_ms: 0, compare: { event: 'parcels' } });
  const first = await show();
  expect(results.parcels).toMatchObject({ value: 1, compare: { changed: false, frame: { id: first } } });
  await show();
  const second = await show({ parcels: 2 });
  await show();
  await show({ parcels: 1 });
  expect(told()).toEqual([`changed 1 → 2 (${first})`, `changed 2 → 1 (${second})`]);
});

it('two watches that compare with each other ask each frame once', async () => {
  const { visitor, parcels, show, asked, results, told } = stage();
  visitor({ compare: { event: 'parcels' } });
  parcels({ change_percent: 0, interval_ms: 0, compare: { event: 'visitor' } });
  for (let i = 0; i < 6; i++) await show({ visitor: i % 2 === 0, parcels: i });
  expect(asked()).toEqual(Array(6).fill('visitor parcels'));
  expect([results.visitor?.compare, results.parcels?.compare, told()]).toEqual([null, null, []]); // neither begins
});

it('a boolean triggers and clears; no question is under way and no view left when the loop stops amid one that another has brought about', async () => {
  const { visitor, loop, show, told, eyes, asked, camera } = stage({ askMs: 500 });
  visitor();
  loop.put('door', spec({ ...SLOW, question: PARCELS, compare: { event: 'visitor' } }));
  await show({ parcels: false }, 600);
  const then = await show({ visitor: true }, 1200);
  expect(asked().at(-1)).toBe('visitor parcels');
  loop.put('door', spec({ ...SLOW, question: PARCELS, compare: { event: 'visitor' }, change_percent: 0, interval_ms: 0 }));
  await show({ parcels: true }, 1200);
  expect(told('door')).toEqual([`triggered false → true (${then})`]);
  await show({ parcels: false }, 1200);
  expect(told('door')).toHaveLength(1); // as then
  await show({ visitor: false }, 700);
  expect([eyes.running, eyes.views]).toEqual([0, 0]);
  loop.put('door', spec({ ...SLOW, question: PARCELS, compare: { event: 'visitor' } }));
  await show({ visitor: true }, 700);
  expect([eyes.running, eyes.views]).toEqual([1, 1]);
  const stopping = loop.stop(0);
  await vi.advanceTimersByTimeAsync(1);
  await stopping;
  expect([eyes.running, eyes.views, camera.held]).toEqual([0, 0, 0]);
});

it('is not asked of a view whose camera is gone, nor about a frame that has become too old for it', async () => {
  const { visitor, parcels, show, asked, loop, eyes, answers, camera } = stage({ askMs: 500 });
  visitor();
  parcels();
  await show({}, 600);
  answers[VISITOR] = true;
  camera.show();
  await vi.advanceTimersByTimeAsync(400);
  loop.removeCamera('kitchen');
  await vi.advanceTimersByTimeAsync(600);
  expect(asked()).toEqual(['visitor parcels', 'visitor']);
  await vi.advanceTimersByTimeAsync(30_000);
  loop.addCamera(camera);
  await show({}, 600);
  parcels({ max_age_ms: 300 });
  await show({ visitor: false }, 600);
  expect(asked().slice(-2)).toEqual(['visitor parcels', 'visitor']);
  await show({}, 600);
  expect(asked().at(-1)).toBe('visitor parcels');
  expect(eyes.views).toBe(0);
});

it('rules hold for a difference: it must stand, and is confirmed on the view that brings it; that it is gone for less than it must stand is nothing', async () => {
  const { loop, show, events, eyes, answers, told } = stage();
  const rules = { for_ms: 250, confirm: { question: VISITOR } };
  const put = (more: object = {}) =>
    loop.put('door', spec({ question: PARCELS, change_percent: 0, compare: { ago_ms: 20_000 }, events: { ...rules, ...more } }));
  answers[VISITOR] = true;
  put();
  await show({ parcels: false });
  for (let i = 0; i < 4; i++) await show({}, 5000);
  await show({ parcels: true }); // for too short
  await show({ parcels: false });
  for (let i = 0; i < 2; i++) await show({ parcels: true });
  expect(events).toEqual([]);
  const last = await show();
  expect(events).toMatchObject([{ type: 'triggered', previous: false, compare: { changed: true, value: false }, outcome: { value: true } }]);
  expect(events[0]?.confirmation).toMatchObject({ frame: last });
  const seconds = () => eyes.looks.flatMap(({ questions }) => questions).filter(({ question }) => question === VISITOR).length;
  expect(seconds()).toBe(1);
  await show({ parcels: false });
  await show({ parcels: true });
  for (let i = 0; i < 5; i++) await show();
  expect([told('door').length, seconds()]).toEqual([1, 1]);
  for (let i = 0; i < 4; i++) await show({ parcels: false });
  for (let i = 0; i < 4; i++) await show({ parcels: true });
  expect([told('door').length, seconds()]).toEqual([2, 2]);
  expect(loop.status().watches.door).toMatchObject({ events: 2, suppressed: { for: 1, quiet: 0, gap: 0, unconfirmed: 0 } });
});

it('ago_ms: differs and agrees again by the clock alone, and an event of the clock has the picture of now', async () => {
  const { loop, show, results, events, camera } = stage();
  loop.put('parcels', spec({ ...COUNT, change_percent: 0, reask_ms: 60_000, ttl_ms: 600_000, compare: { ago_ms: 10_000 } }));
  await show({ parcels: 1 }, 12_000);
  const two = await show({ parcels: 2 }, 3000);
  const last = await show({ parcels: 1 }, 1000);
  expect(events.map(({ previous, outcome }) => [previous, outcome.value])).toEqual([[1, 2]]);
  expect(results.parcels).toMatchObject({ value: 1, compare: { changed: false, value: 1 } });
  await vi.advanceTimersByTimeAsync(5999);
  expect(events).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10);
  expect(events[1]).toMatchObject({ type: 'changed', previous: 2, compare: { value: 2, changed: true, frame: { id: two } }, outcome: { value: 1 } });
  expect(events[1]?.frame?.id).toBe(last);
  await vi.advanceTimersByTimeAsync(5000);
  expect([events.length, camera.held]).toEqual([2, 0]); // as then again, and nothing is to come
});
