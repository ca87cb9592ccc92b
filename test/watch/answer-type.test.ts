import { describe, expect, expectTypeOf, it } from 'vitest';
import type { Camera } from '../../src/camera/camera.js';
import { shapeOf } from '../../src/engine/schema.js';
import type { Mipha, View } from '../../src/index.js';
import { answerType } from '../../src/watch/answer-type.js';
import type { Watched } from '../../src/watch/loop.js';
import type { Eyes, Sight } from '../../src/watch/outcome.js';
import { type AnswerSpec, answerSpecSchema } from '../../src/watch/spec.js';

const specs: Record<string, { spec: AnswerSpec; shape: object; fits: unknown[]; not: unknown[] }> = {
  boolean: { spec: { type: 'boolean' }, shape: { kind: 'boolean' }, fits: [true, false], not: ['yes', 1] },
  choice: { spec: { type: 'choice', choices: ['red', 'Blue'] }, shape: { kind: 'choice', values: ['red', 'Blue'] }, fits: ['red'], not: ['blue'] },
  'whole number': { spec: { type: 'number', min: -2, max: 9, decimals: 0 }, shape: { kind: 'number', decimals: 0 }, fits: [-2, 9], not: [1.5, 10] },
  number: {
    spec: { type: 'number', min: 0, max: 1, decimals: 2 },
    shape: { kind: 'number', decimals: 2, step: 1n },
    fits: [0.07, 1],
    not: [0.005, 1.1],
  },
  'small number': {
    spec: { type: 'number', min: 0, max: 2, decimals: 6 },
    shape: { kind: 'number', decimals: 6, step: 1n },
    fits: [0.000001],
    not: [3],
  },
  text: { spec: { type: 'text', max_chars: 5 }, shape: { kind: 'text', min: 1, max: 5 }, fits: ['a', 'a cup'], not: ['', 'a bottle'] },
};

it.each([
  [' none', 'person'],
  ['none', 'person '],
  ['\n', 'person'],
])('choices such as %j and %j are refused: readers and programs lose blanks at their ends', (...choices) => {
  expect(answerSpecSchema.safeParse({ type: 'choice', choices }).success).toBe(false);
});

describe('answer types', () => {
  it.each(Object.entries(specs))('%s is what the engine can guarantee', (_, { spec, shape, fits, not }) => {
    const type = answerType(spec);
    expect(shapeOf(type)).toMatchObject(shape);
    for (const value of fits) expect(type.safeParse(value).success).toBe(true);
    for (const value of not) expect(type.safeParse(value).success).toBe(false);
  });

  it('are the same object for the same spec, and not kept for ever', () => {
    const spec = (max: number): AnswerSpec => ({ type: 'number', min: 0, max, decimals: 0 });
    const first = answerType(spec(1));
    expect(answerType(spec(1))).toBe(first);
    for (let max = 2; max < 200; max++) answerType(spec(max));
    expect(answerType(spec(1))).not.toBe(first);
  });

  it('whose numbers cannot exist are refused', () => {
    const parse = (fields: object) => answerSpecSchema.safeParse({ type: 'number', ...fields });
    expect(parse({ min: 0.2, max: 0.8 }).error?.issues[0]).toMatchObject({ path: ['max'], message: expect.stringContaining('decimals') });
    expect(parse({ min: 0.2, max: 0.8, decimals: 1 }).success).toBe(true);
    expect(parse({ min: 0.1, max: 0.1, decimals: 1 }).success).toBe(true);
    expect(parse({ min: 2, max: 1 }).success).toBe(false);
    expect(parse({ min: 0, max: 1e12, decimals: 6 }).success).toBe(false);
  });
});

describe('the interfaces of the watch room', () => {
  it('are what a Mipha, a View and a Camera have', () => {
    expectTypeOf<Mipha>().toExtend<Eyes>();
    expectTypeOf<View>().toExtend<Sight>();
    expectTypeOf<Camera>().toExtend<Watched>();
  });
});
