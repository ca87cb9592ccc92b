import { describe, expect, expectTypeOf, it } from 'vitest';
import type { Camera } from '../../src/camera/camera.js';
import { type Decimal, decimal } from '../../src/decimal.js';
import { constraintOf } from '../../src/engine/constraint.js';
import { shapeOf } from '../../src/engine/schema.js';
import { written } from '../../src/engine/shape.js';
import type { Mipha, View } from '../../src/index.js';
import { answerType } from '../../src/watch/answer-type.js';
import type { Eyes, Sight } from '../../src/watch/outcome.js';
import type { Watched } from '../../src/watch/posts.js';
import { type AnswerSpec, answerSpecSchema, questionSchema } from '../../src/watch/spec.js';
import { accepts } from '../support/automata.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

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

describe('what the schema accepts can run', () => {
  const refusal = (spec: unknown) => answerSpecSchema.safeParse(spec).error?.issues[0];

  it.each([
    ['64 choices of 80 letters', [...'abcdefghijklmnopqrstuvwxyz ']],
    ['64 choices of 80 letters of four bytes that have two cases', [...'𐐀𐐁𐐂𐐨𐐩𐐪']],
    ['64 choices of 80 emoji', [...'😀🤖🍎🦊']],
  ])('%s', (_, letters) => {
    const random = new Random(5);
    const choices = Array.from({ length: 64 }, () => `x${random.text(letters, 78, 78)}y`);
    const parsed = answerSpecSchema.parse({ type: 'choice', choices });
    const { automaton, read } = constraintOf(shapeOf(answerType(parsed)));
    for (const choice of choices) {
      expect(accepts(automaton, ` ${choice}`)).toBe(true);
      expect(read(` ${choice}`)).toBe(choice);
    }
  });

  it('and the refusal names what cannot', () => {
    const choice = (...choices: string[]) => refusal({ type: 'choice', choices });
    expect(choice('a', 'b', '\ud800')).toMatchObject({ path: ['choices', 2], message: expect.stringContaining('surrogate') });
    expect(choice('a', ' ')).toMatchObject({ path: ['choices', 1], message: 'a choice in words' });
    expect(choice('left', 'right', 'left ')).toMatchObject({ path: ['choices', 2], message: 'choices without blanks at their ends' });
    expect(choice('a', 'b', 'a')).toMatchObject({ path: ['choices', 2], message: expect.stringContaining('"a" and "a"') });
    expect(choice('é', 'e\u0301')).toMatchObject({ path: ['choices', 1], message: expect.stringContaining('written differently') });
    expect(choice('white', 'White', 'no', 'No.')).toBeUndefined();
    const number = (min: number, max: number, decimals = 0) => refusal({ type: 'number', min, max, decimals });
    for (const [min, max, decimals] of [
      [0.1 + 0.2, 0.1 + 0.2, 2],
      [0.2, 0.8, 0],
      [1e300, 1e300, 0],
      [-1e300, 1e300, 0],
      [0, 1e12, 6],
      [1e-7, 2e-7, 6],
      [5e-324, 5e-324, 6],
    ] as const) {
      expect(number(min, max, decimals)).toMatchObject({ path: ['max'], message: expect.stringContaining('decimals') });
    }
    for (const [min, max, decimals] of [
      [-0, 0, 0],
      [7, 7, 0],
      [0.1, 0.1, 1],
      [-999_999_999_999_999, 999_999_999_999_999, 0],
      [0, 999_999_999.999999, 6],
    ] as const) {
      expect(number(min, max, decimals)).toBeUndefined();
    }
    const question = questionSchema.safeParse('Is it \udc00?');
    expect(question.error?.issues[0]?.message).toContain('surrogate');
  });

  it('for any spec: it has a constraint that gives back what it can say, or an issue with a path', () => {
    const random = new Random(9);
    const letters = [...'aAbB. 1ßİı', 'e', 'é', '\u0301', '🤖', '\ud800', '\u0000', '\n', '\u3000'];
    const bounds = [
      0,
      -0,
      0.1,
      0.3,
      0.1 + 0.2,
      1,
      -1,
      2.5,
      7,
      1e-6,
      1e-7,
      123_456.789,
      1e9,
      999_999_999.999999,
      1e12,
      1e14,
      1e15,
      9e15,
      1e21,
      1e300,
      5e-324,
    ];
    let accepted = 0;
    for (let round = 0; round < counts(400, 8000); round++) {
      const any = random.pick([
        () => ({ type: 'choice', choices: Array.from({ length: random.below(6) }, () => random.text(letters, 0, 5)) }),
        () => ({
          type: 'number',
          min: random.pick([1, -1]) * random.pick(bounds),
          max: random.pick([1, -1]) * random.pick(bounds),
          decimals: random.below(8),
        }),
        () => ({ type: 'text', max_chars: random.below(40) }),
      ])();
      const parsed = answerSpecSchema.safeParse(any);
      if (!parsed.success) {
        const place = parsed.error.issues[0]?.path ?? [];
        if (place.length === 0 || !Object.hasOwn(any, String(place[0]))) expect({ any, place }).toBe('a path');
        continue;
      }
      accepted++;
      const spec = parsed.data;
      const type = answerType(spec);
      const { automaton, read } = constraintOf(shapeOf(type));
      const said =
        spec.type === 'choice'
          ? spec.choices
          : spec.type === 'number'
            ? numbersOf(spec, random)
            : spec.type === 'text'
              ? ['x'.repeat(spec.max_chars)]
              : [];
      for (const text of said) {
        const value = spec.type === 'number' ? Number(text) : text;
        const result = accepts(automaton, ` ${text}`) ? type.safeParse(read(` ${text}`)) : undefined;
        if (result?.data !== value) expect({ spec, text, result }).toBe(value);
      }
    }
    expect(accepted).toBeGreaterThan(100);
  }, 300_000);
});

/** Both ends and some numbers between, as text. */
function numbersOf({ min, max, decimals }: { min: number; max: number; decimals: number }, random: Random): string[] {
  const units = (bound: number) => ((decimal(bound) as Decimal).digits * 10n ** 330n) / 10n ** BigInt((decimal(bound) as Decimal).decimals);
  const step = 10n ** BigInt(330 - decimals);
  const least = units(min) / step + (units(min) > 0n && units(min) % step !== 0n ? 1n : 0n);
  const most = units(max) / step - (units(max) < 0n && units(max) % step !== 0n ? 1n : 0n);
  const all = [least, most, ...Array.from({ length: 5 }, () => least + ((most - least) * BigInt(random.below(1e6))) / 1_000_000n)];
  return all.map((value) => written(value, decimals));
}

describe('the interfaces of the watch room', () => {
  it('are what a Mipha, a View and a Camera have', () => {
    expectTypeOf<Mipha>().toExtend<Eyes>();
    expectTypeOf<View>().toExtend<Sight>();
    expectTypeOf<Camera>().toExtend<Watched>();
  });
});
