import { describe, expect, it } from 'vitest';
import { Agreement, longestWindow, rulesOf } from '../../src/watch/agreement.js';
import type { Value } from '../../src/watch/spec.js';
import { spec } from './stage.js';

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

describe('rules of its own for false', () => {
  const course = (more: Parameters<typeof spec>[0], answers: [boolean, number][]) => {
    const agreement = new Agreement(...rulesOf(spec(more)));
    return answers.map(([value, confidence]) => {
      const { value: agreed, supported } = agreement.observe(value, confidence);
      return `${agreed}${supported ? '' : '?'}`;
    });
  };
  const yes: [boolean, number] = [true, 1];
  const no: [boolean, number] = [false, 1];

  it('true at once, false after three of four: what was answered before the value changed counts no more', () => {
    const answers = [no, no, no, yes, no, no, yes, no, no, yes, no, no, no];
    const agreed = course({ off: { agreement: { n: 3, of: 4 } } }, answers);
    expect(agreed.map((value) => value[0]).join('')).toBe('nnfttttfftttf');
  });

  it('confidences: each value has its own to become so and to stay so', () => {
    const rules = { min_confidence: 0.8, keep_confidence: 0.6, off: { min_confidence: 0.5, keep_confidence: 0.3 } };
    const answers: [boolean, number][] = [
      [false, 0.4],
      [false, 0.5],
      [true, 0.7],
      [false, 0.3],
      [false, 0.2],
      [true, 0.8],
      [true, 0.6],
      [true, 0.5],
      [false, 0.4],
      [false, 0.5],
    ];
    expect(course(rules, answers)).toEqual(['null?', 'false', 'false?', 'false', 'false?', 'true', 'true', 'true?', 'true?', 'false']);
  });

  it('what is not said for false is as for true', () => {
    const base = { agreement: { n: 2, of: 3 }, min_confidence: 0.8, keep_confidence: 0.6 };
    const on = { n: 2, of: 3, minConfidence: 0.8, keepConfidence: 0.6 };
    const off = (given: object) => rulesOf(spec({ ...base, off: given }))[1];
    expect(rulesOf(spec(base))).toEqual([on, on]);
    expect(off({})).toEqual(on);
    expect(off({ agreement: { n: 1, of: 1 } })).toEqual({ ...on, n: 1, of: 1 });
    expect(off({ min_confidence: 0.9 })).toEqual({ ...on, minConfidence: 0.9, keepConfidence: 0.9 });
    expect(off({ keep_confidence: 0.1 })).toEqual({ ...on, keepConfidence: 0.1 });
    expect(
      [{}, { off: { agreement: { n: 1, of: 5 } } }, { off: { agreement: { n: 1, of: 2 } } }].map((more) => longestWindow(spec({ ...base, ...more }))),
    ).toEqual([3, 5, 3]);
  });
});
