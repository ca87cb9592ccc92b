import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NativeEngine } from '../../src/addon/addon.js';
import { addon, endless, load, loadOptions, picture, question } from './raw-engine.js';

let engine: NativeEngine;
beforeAll(async () => {
  engine = await load();
});
afterAll(() => engine.dispose());

it('tells the stages of a load', async () => {
  const stages: [string, number][] = [];
  const other = await addon.load(loadOptions(), (stage, fraction) => stages.push([stage, fraction])).done;
  await other.dispose();
  expect(stages.at(-1)).toEqual(['prefix', 1]);
  expect(stages.length).toBeGreaterThan(2);
  for (const [, fraction] of stages) expect(fraction >= 0 && fraction <= 1).toBe(true);
});

it('tells every token before the answer, in order', async () => {
  const told: number[] = [];
  let toldAtTheEnd = -1;
  const job = engine.ask(endless({ maxTokens: 40, seed: 5, onToken: (id) => told.push(id) }));
  const outcome = await job.done.then((value) => {
    toldAtTheEnd = told.length;
    return value;
  });
  expect(outcome.finish).toBe('length');
  expect(told).toEqual([...outcome.ids]);
  expect(toldAtTheEnd).toBe(40);
  expect(outcome.margins.length).toBe(40);
});

it('answers a batch as it answers alone, and several engines agree', async () => {
  const view = await engine.look(picture(), {}).done;
  expect(view).toMatchObject({ cancelled: false, tokens: 3 + 64 });
  const ids = (i: number) => Int32Array.of(20 + i, 30 + i, 40);
  const alone: number[][] = [];
  for (let i = 0; i < 10; i++) alone.push([...(await engine.ask(question({ view: view.view, ids: ids(i), maxTokens: 12 })).done).ids]);
  const other = await load();
  const otherView = await other.look(picture(), {}).done;
  for (const [where, at] of [
    [engine, view.view],
    [other, otherView.view],
  ] as const) {
    const together = await Promise.all(alone.map((_, i) => where.ask(question({ view: at, ids: ids(i), maxTokens: 12 })).done));
    expect(together.map((outcome) => [...outcome.ids])).toEqual(alone);
    expect(together.every((outcome) => outcome.reusedTokens === 67 && outcome.promptTokens === 3)).toBe(true);
  }
  await other.dispose();
  engine.releaseView(view.view);
});

it('ends a job whose deadline has passed', async () => {
  expect((await engine.ask(endless({ deadlineMs: 0 })).done).finish).toBe('cancelled');
  expect((await engine.look(picture(), { deadlineMs: 0 }).done).cancelled).toBe(true);
  expect((await engine.ask(question({ deadlineMs: 3_600_000 })).done).finish).not.toBe('cancelled');
});

it('keeps what was said before a cancellation', async () => {
  const job = engine.ask(
    endless({
      onToken: () => {
        if (++count === 3) job.cancel();
      },
    }),
  );
  let count = 0;
  const outcome = await job.done;
  expect(outcome.finish).toBe('cancelled');
  expect(outcome.ids.length).toBeGreaterThanOrEqual(3);
  job.cancel();
});

it('keeps pixels alive until the look is done', async () => {
  const views: Promise<{ view: number }>[] = [];
  for (let i = 0; i < 6; i++) views.push(engine.look(picture(800, 600), {}).done);
  const pressure = Array.from({ length: 50 }, (_, i) => new Uint8Array(1_000_000).fill(i));
  expect(pressure.length).toBe(50);
  const answers = [];
  for (const { view } of await Promise.all(views)) {
    answers.push([...(await engine.ask(question({ view, ids: Int32Array.of(5), maxTokens: 5 })).done).ids]);
    engine.releaseView(view);
  }
  for (const answer of answers) expect(answer).toEqual(answers[0]);
});

it('follows a constraint and stops when it is decided', async () => {
  // One token of two bytes, beginning with A (ids 0, 26, 52, …), or with B; the group is the first letter.
  const next = new Int32Array(4 * 256).fill(-1);
  next[65] = 1;
  next[66] = 2;
  for (let byte = 0; byte < 256; byte++) {
    next[256 + byte] = 3;
    next[512 + byte] = 3;
  }
  const constraint = addon.constraint({
    states: 4,
    column: Uint8Array.from({ length: 256 }, (_, byte) => byte),
    next,
    accepting: Uint8Array.of(0, 0, 0, 1),
    group: Int32Array.of(0, 1, 2, 3),
    ends: new Int32Array(4),
    decided: Uint8Array.of(0, 0, 0, 1),
  });
  const outcome = await engine.ask(question({ constraint, maxTokens: 50 })).done;
  expect(outcome).toMatchObject({ finish: 'stop', state: 3 });
  expect(outcome.ids.length).toBe(1);
  expect((outcome.ids[0] as number) % 26).toBeLessThan(2);
  expect(outcome.probability).toBeCloseTo(1, 6); // both ways end in the same group
});
