import { describe, expect, it } from 'vitest';
import { Agreement } from '../../src/watch/agreement.js';
import type { Value } from '../../src/watch/spec.js';

const rule = { n: 1, of: 1, minConfidence: 0, keepConfidence: 0 };
/** The agreed value after each answer. */
const course = (agreement: Agreement, answers: [Value, number | null][]) =>
  answers.map(([value, confidence]) => agreement.observe(value, confidence).value);

describe('agreement', () => {
  it('of one of one follows every answer', () => {
    const agreement = new Agreement(rule);
    expect(agreement.value).toBeNull();
    expect(agreement.observe(true, 0.9)).toEqual({ value: true, previous: null, changed: true, supported: true });
    expect(agreement.observe(true, 0.9)).toEqual({ value: true, previous: true, changed: false, supported: true });
    expect(agreement.observe(false, 0.9)).toEqual({ value: false, previous: true, changed: true, supported: true });
  });

  it('of two of three needs two, in a row or not, and one stray answer changes nothing', () => {
    const agreement = new Agreement({ ...rule, n: 2, of: 3 });
    const answers: [Value, number][] = [
      [true, 1],
      [true, 1],
      [false, 1],
      [true, 1],
      [true, 1],
      [false, 1],
      [true, 1],
      [false, 1],
    ];
    expect(course(agreement, answers)).toEqual([null, true, true, true, true, true, true, false]);
  });

  it('counts a new value only when it is sure enough, and keeps the present one with less', () => {
    const agreement = new Agreement({ ...rule, minConfidence: 0.8, keepConfidence: 0.5 });
    expect(agreement.observe('red', 0.7)).toMatchObject({ value: null, supported: false });
    expect(agreement.observe('red', 0.8)).toMatchObject({ value: 'red', changed: true, supported: true });
    expect(agreement.observe('red', 0.5)).toMatchObject({ value: 'red', supported: true });
    expect(agreement.observe('red', 0.4)).toMatchObject({ value: 'red', supported: false });
    expect(agreement.observe('blue', 0.79)).toMatchObject({ value: 'red', changed: false, supported: false });
    expect(agreement.observe('blue', 0.81)).toMatchObject({ value: 'blue', previous: 'red', changed: true });
  });

  it('lets answers that are not sure push votes out of the window', () => {
    const agreement = new Agreement({ n: 2, of: 2, minConfidence: 0.5, keepConfidence: 0.5 });
    const answers: [Value, number][] = [
      [1, 1],
      [1, 0.1],
      [1, 1],
      [1, 1],
    ];
    expect(course(agreement, answers)).toEqual([null, null, null, 1]);
  });

  it('counts free text, which has no confidence, always and by its letters', () => {
    const agreement = new Agreement({ n: 2, of: 2, minConfidence: 0.99, keepConfidence: 0.99 });
    const answers: [Value, null][] = [
      ['A cup.', null],
      ['a cup.', null],
      ['a cup.', null],
    ];
    expect(course(agreement, answers)).toEqual([null, null, 'a cup.']);
  });

  it('counts equal answers in a row, sure or not', () => {
    const agreement = new Agreement({ ...rule, minConfidence: 0.5 });
    const counts = (
      [
        [0.5, 1],
        [0.5, 0],
        [0.25, 1],
        [0.25, 1],
        [0.5, 1],
      ] as const
    ).map(([value, confidence]) => {
      agreement.observe(value, confidence);
      return agreement.stableCount;
    });
    expect(counts).toEqual([1, 2, 1, 2, 1]);
  });

  it('keeps its value under a new rule, and nothing after a reset', () => {
    const agreement = new Agreement({ ...rule, n: 1, of: 3 });
    course(agreement, [
      [true, 1],
      [true, 1],
      [true, 1],
    ]);
    agreement.change({ ...rule, n: 2, of: 2 });
    expect(course(agreement, [[false, 1]])).toEqual([true]);
    expect(course(agreement, [[false, 1]])).toEqual([false]);
    agreement.reset();
    expect([agreement.value, agreement.stableCount]).toEqual([null, 0]);
    expect(course(agreement, [[false, 1]])).toEqual([null]);
  });
});
