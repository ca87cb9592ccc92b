/** The second question of a watch, as the loop asks it: of the same view, or of a frame of later; nothing of it outlives its watch. */
import { expect, it, vi } from 'vitest';
import type { Suppressed, WatchEvent } from '../../src/watch/event.js';
import type { LoopHandlers } from '../../src/watch/loop.js';
import type { Opinion } from '../../src/watch/opinion.js';
import { onFakeTime, stage } from './loop-stage.js';
import { type FakeEyes, spec } from './stage.js';

const FIRST = 'Is the lamp on?';
const SECOND = 'Is it the ceiling lamp?';

function confirming({ lookMs = 0, askMs = 0 } = {}) {
  const log: string[] = [];
  const events: WatchEvent[] = [];
  const suppressed: Suppressed[] = [];
  const opinions: Opinion[] = [];
  const answers: Record<string, unknown> = { [FIRST]: false, [SECOND]: true };
  const handlers: LoopHandlers = {
    onOutcome: ({ status, value }) => log.push(`${status} ${value}`),
    onEvent: (event) => {
      events.push(event);
      log.push(event.type);
    },
    onSuppressed: (given) => {
      suppressed.push(given);
      log.push(given.reason);
    },
    onOpinion: (opinion) => opinions.push(opinion),
  };
  const { eyes, loop, camera } = stage({ lookMs, askMs }, handlers);
  eyes.answer = (question) => ({ value: answers[question], confidence: question === SECOND ? 0.75 : 1 });
  const lamp = (confirm: object = {}, more: object = {}) =>
    loop.put('lamp', spec({ change_percent: 0, events: { confirm: { question: SECOND, ...confirm }, ...more } }));
  /** A new picture, and time for its answer. */
  const show = async (value: boolean, ms = 100) => {
    answers[FIRST] = value;
    camera.show();
    await vi.advanceTimersByTimeAsync(ms);
  };
  return { eyes, loop, camera, log, events, suppressed, opinions, answers, lamp, show };
}

const questions = ({ looks }: FakeEyes) => looks.map(({ questions }) => questions.map(({ question }) => question));

onFakeTime();

it('is asked of the same view, before the event goes out', async () => {
  const { eyes, camera, lamp, show, log, events, opinions } = confirming();
  lamp();
  await show(false);
  await show(true);
  expect(questions(eyes)).toEqual([[FIRST], [FIRST, SECOND]]);
  expect(log).toEqual(['ok false', 'ok true', 'triggered']);
  expect(events[0]).toMatchObject({ previous: false, confirmation: { confidence: 0.75, frame: camera.newest?.id }, outcome: { value: true } });
  expect(events[0]?.frame).toBe(camera.newest);
  expect(opinions).toMatchObject([{ watch: 'lamp', question: SECOND, value: true, agrees: true, error: null, frame: { id: camera.newest?.id } }]);
  await show(false);
  expect([log.at(-1), questions(eyes).at(-1), eyes.views]).toEqual(['cleared', [FIRST], 0]);
});

it.each([
  ['the other answer', {}, false],
  ['the answer that is not expected', { expect: false }, true],
  ['one that is not sure enough', { min_confidence: 0.8 }, true],
])('suppresses the event with %s, and asks again with the next answer', async (_, confirm, value) => {
  const { eyes, lamp, show, log, answers, loop, opinions } = confirming();
  answers[SECOND] = value;
  lamp(confirm);
  await show(false);
  await show(true);
  await show(true);
  expect(questions(eyes)).toEqual([[FIRST], [FIRST, SECOND], [FIRST, SECOND]]);
  expect(log).toEqual(['ok false', 'ok true', 'unconfirmed', 'ok true']);
  expect(opinions.map(({ agrees }) => agrees)).toEqual([false, false]);
  expect(loop.status().watches.lamp).toMatchObject({ value: true, events: 0, suppressed: { unconfirmed: 1 } });
});

it('is asked about a frame of later alone, in a look of its own, whatever the gate says', async () => {
  const { eyes, camera, loop, lamp, show, log, events } = confirming();
  lamp({ after_ms: 3000 });
  await show(false);
  await show(true);
  const seen = camera.newest?.id;
  loop.put('lamp', spec({ interval_ms: 60_000, reask_ms: 60_000, ttl_ms: 600_000, events: { confirm: { question: SECOND, after_ms: 3000 } } }));
  for (let i = 0; i < 29; i++) await show(true);
  await vi.advanceTimersByTimeAsync(10);
  expect(questions(eyes)).toEqual([[FIRST], [FIRST]]);
  await show(true);
  expect(questions(eyes)).toEqual([[FIRST], [FIRST], [SECOND]]);
  expect(log).toEqual(['ok false', 'ok true', 'triggered']);
  expect(events[0]?.outcome.frame?.id).toBe(seen);
  expect(events[0]?.frame?.id).toBe(seen);
  expect(events[0]?.confirmation?.frame).toBe(camera.newest?.id);
  expect(loop.status().cameras.kitchen?.asked).toBe(2);
});

it('looks by itself when a value has stood for its time, though no new frame comes', async () => {
  const { eyes, lamp, show, log } = confirming();
  lamp({}, { for_ms: 1500 });
  await show(false);
  await show(true, 1499);
  expect(log).toEqual(['ok false', 'ok true']);
  await vi.advanceTimersByTimeAsync(10);
  expect(questions(eyes)).toEqual([[FIRST], [FIRST], [SECOND]]);
  expect(log.at(-1)).toBe('triggered');
});

it('confirms nothing with a frame that is too old, or an answer that comes too late', async () => {
  const { eyes, camera, lamp, show, log, opinions, loop } = confirming();
  lamp({}, { for_ms: 5000 });
  await show(false);
  await show(true, 6000);
  expect(questions(eyes)).toEqual([[FIRST], [FIRST]]); // max_age_ms is over
  camera.show();
  await vi.advanceTimersByTimeAsync(10);
  expect(log.at(-1)).toBe('triggered');
  await show(false, 6000);
  loop.put('lamp', spec({ change_percent: 0, reask_ms: 1000, ttl_ms: 2000, events: { confirm: { question: SECOND } } }));
  await show(false);
  eyes.speed.askMs = 1500; // twice that is more than ttl_ms
  await show(true, 1900);
  await vi.advanceTimersByTimeAsync(200);
  expect(questions(eyes).at(-1)).toEqual([FIRST, SECOND]);
  expect(log.slice(-3)).toEqual(['ok true', 'stale null', 'unconfirmed']); // the value went first, and the question with it
  expect([opinions.length, eyes.running, eyes.views]).toEqual([1, 0, 0]);
});

it('that fails suppresses the event, is no error of the watch, and leaves no view', async () => {
  const { eyes, lamp, show, log, opinions, loop } = confirming();
  lamp();
  await show(false);
  eyes.answer = (question) => {
    if (question === SECOND) throw new Error('too long');
    return { value: true };
  };
  await show(true);
  expect(log).toEqual(['ok false', 'ok true', 'unconfirmed']);
  expect(opinions).toMatchObject([{ value: null, agrees: false, error: { message: expect.stringContaining('too long') } }]);
  expect([loop.status().watches.lamp?.errors, eyes.views]).toEqual([0, 0]);
});

it.each([
  ['the watch asks something else', 'anew', async ({ loop }: ReturnType<typeof confirming>) => loop.put('lamp', spec({ question: 'Which?' }))],
  ['the watch is disabled', 'for', async ({ loop }: ReturnType<typeof confirming>) => loop.setEnabled('lamp', false)],
  [
    'the second question is another',
    'on',
    async ({ loop }: ReturnType<typeof confirming>) => loop.put('lamp', spec({ change_percent: 0, events: { confirm: { question: 'Why?' } } })),
  ],
  ['the camera goes', 'for', async ({ loop }: ReturnType<typeof confirming>) => loop.removeCamera('kitchen')],
  ['the watch is deleted', 'silent', async ({ loop }: ReturnType<typeof confirming>) => loop.delete('lamp')],
  ['the loop stops', 'for', async ({ loop }: ReturnType<typeof confirming>) => void loop.stop(0)],
])('is given up when %s', async (_, kind, end) => {
  const all = confirming({ askMs: 1000 });
  const { eyes, lamp, show, log } = all;
  lamp();
  await show(false, 1100);
  await show(true, 1500);
  expect([questions(eyes).at(-1), eyes.running, eyes.views]).toEqual([[FIRST, SECOND], 1, 1]);
  const before = log.length;
  await end(all);
  await vi.advanceTimersByTimeAsync(1);
  expect([eyes.running, eyes.views]).toEqual(kind === 'on' || kind === 'anew' ? [1, 1] : [0, 0]);
  await vi.advanceTimersByTimeAsync(kind === 'on' ? 0 : 3000);
  expect(log.slice(before).includes('triggered')).toBe(false);
  expect(log.slice(before).includes('unconfirmed')).toBe(kind === 'for' || kind === 'anew');
});
