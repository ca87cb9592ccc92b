import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { walk } from '../../src/engine/automaton.js';
import { constraintOf } from '../../src/engine/constraint.js';
import { shapeOf } from '../../src/engine/schema.js';
import { accepted } from '../support/automata.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

const of = (schema: z.ZodType) => constraintOf(shapeOf(schema));
const spelled = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(spelled).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, part]) => `${JSON.stringify(key)}: ${spelled(part)}`)
    .join(', ')}}`;
};

/** Everything that is accepted is what the schema accepts, once for each value and space before it. */
function values(schema: z.ZodType): unknown[] {
  const { automaton, read } = of(schema);
  const texts = accepted(automaton);
  const found = texts.filter((text) => !text.startsWith(' ')).map((text) => ({ text, value: read(text) }));
  expect(texts).toHaveLength(2 * found.length);
  for (const { text, value } of found) {
    expect(schema.parse(value)).toEqual(value);
    expect(text).toBe(spelled(value));
  }
  return found.map(({ value }) => value);
}

describe('objects', () => {
  it('may leave out what is optional, and only that', () => {
    const all = values(z.object({ a: z.boolean().optional(), b: z.literal(1), c: z.enum(['x', 'y']).optional() }));
    expect(all).toHaveLength(3 * 3);
    expect(all).toContainEqual({ b: 1 });
    expect(all).toContainEqual({ a: false, b: 1, c: 'y' });
    const free = values(z.object({ a: z.boolean().optional(), ab: z.boolean().optional(), c: z.boolean().optional() }));
    expect(free).toHaveLength(27);
    expect(free).toContainEqual({});
    expect(free).toContainEqual({ c: true });
    expect(of(z.object({ a: z.boolean().optional() })).suffix).toBe('Answer with JSON: {"a": true or false (may be left out)}');
  });

  it('may hold null where it is allowed', () => {
    expect(values(z.object({ a: z.boolean().nullable(), b: z.int().min(0).max(1).nullable() }))).toHaveLength(9);
    expect(values(z.object({ a: z.boolean().nullish() }))).toHaveLength(4);
    expect(values(z.object({ a: z.boolean().optional().nullable() }))).toHaveLength(4);
    expect(values(z.object({ a: z.literal(['x', null]).nullable() }))).toHaveLength(2);
    expect(values(z.object({ a: z.object({ b: z.boolean() }).nullable() }))).toHaveLength(3);
    const { read, suffix } = of(z.object({ a: z.string().max(5).nullable(), n: z.number().min(0).max(1e6).nullable() }));
    expect(read('{"a": null, "n": null}')).toEqual({ a: null, n: null });
    expect(read('{"a": "null", "n": 1.5}')).toEqual({ a: 'null', n: 1.5 });
    expect(suffix).toContain('string or null');
  });

  it('hold lists', () => {
    const all = values(z.object({ seen: z.array(z.enum(['cup', 'cat'])).max(2), n: z.array(z.int().min(9).max(10)).min(1).max(2) }));
    expect(all).toHaveLength((1 + 2 + 4) * (2 + 4));
    expect(all).toContainEqual({ seen: [], n: [10, 9] });
  });
});

describe('lists', () => {
  it('hold objects, with fields that may be left out and lists in them', () => {
    const item = z.object({ kind: z.enum(['cup', 'cat']), big: z.boolean().optional() });
    const all = values(z.array(item).max(2));
    expect(all).toHaveLength(1 + 6 + 36);
    expect(all).toContainEqual([{ kind: 'cat' }, { kind: 'cup', big: true }]);
    expect(
      values(
        z
          .array(z.object({ n: z.array(z.boolean()).max(1) }))
          .min(1)
          .max(2),
      ),
    ).toHaveLength(3 + 9);
    expect(of(z.array(item).max(2)).suffix).toBe('Answer with JSON: [0 to 2 times {"kind": "cup" or "cat", "big": true or false (may be left out)}]');
    const { read } = of(z.array(z.object({ name: z.string().max(5) })).max(2));
    expect(read('[{"name": "a"}, {"name": "b, ]"}]')).toEqual([{ name: 'a' }, { name: 'b, ]' }]);
  });

  it('have as many items as is allowed', () => {
    expect(values(z.array(z.boolean()).max(3))).toHaveLength(1 + 2 + 4 + 8);
    expect(values(z.array(z.boolean()).min(2).max(3))).toHaveLength(4 + 8);
    expect(values(z.array(z.literal([1, '1', null])).length(2))).toHaveLength(9);
    expect(
      values(
        z
          .array(z.enum(['a', 'a, b']))
          .nonempty()
          .max(2),
      ),
    ).toHaveLength(2 + 4);
    expect(of(z.array(z.boolean()).min(1).max(3)).suffix).toBe('Answer with JSON: [1 to 3 times true or false]');
    const { read } = of(z.array(z.string().max(3)).max(2));
    expect(read('["a", "b, \\""]')).toEqual(['a', 'b, "']);
  });

  it.each([
    ['no bound', z.array(z.boolean()), /Option as: expected z\.array\(\) with \.max\(n\), n from 1 to 64, received "one without"/],
    ['too many', z.array(z.boolean()).max(65), /n from 1 to 64/],
    ['none', z.array(z.boolean()).max(0), /n from 1 to 64/],
    ['lists of lists', z.array(z.array(z.boolean()).max(2)).max(2), /Option as\[\]: expected a scalar/],
    [
      'lists of lists in objects',
      z.array(z.object({ a: z.array(z.array(z.boolean()).max(2)).max(2) })).max(2),
      /Option as\[\]\.a\[\]: expected a scalar/,
    ],
    ['a list whose text has no bound', z.object({ a: z.array(z.string()).max(2) }), /Option as\.a\[\]: expected a string/],
    ['optional alone', z.boolean().optional(), /z\.optional\(\)/],
    ['nullable alone', z.boolean().nullable(), /z\.nullable\(\)/],
    ['optional items', z.array(z.boolean().optional()).max(2), /Option as\[\]: .*z\.optional\(\)/],
    ['a default', z.object({ a: z.boolean().default(true) }), /Option as\.a: .*z\.default\(\)/],
    [
      'a refined optional',
      z.object({
        a: z
          .boolean()
          .optional()
          .refine(() => true),
      }),
      /Option as\.a: .*a check of kind/,
    ],
    ['a union of more than values', z.union([z.literal(1), z.boolean()]), /z\.boolean\(\)/],
    ['too much', z.array(z.string().max(1000)).max(10), /automaton states/],
  ])('%s is refused', (_, schema, message) => {
    expect(() => constraintOf(shapeOf(schema))).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }));
  });

  it('a schema that holds itself is refused, not followed for ever', () => {
    const endless: z.ZodType = z.object({
      get inner() {
        return endless;
      },
    });
    expect(() => shapeOf(endless)).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining('levels') }));
  });
});

it('unions of values are one choice', () => {
  const { read } = of(z.union([z.literal('left'), z.enum(['right', 'ahead']), z.literal(3)]));
  expect([read(' Left.'), read('ahead'), read('3')]).toEqual(['left', 'ahead', 3]);
});

describe('groups', () => {
  it('differ for whatever can still be told apart at the next byte', () => {
    const random = new Random(3);
    const scalar = (): z.ZodType =>
      random.pick([() => z.boolean(), () => z.enum(['a', 'ab', 'b']), () => z.int().min(8).max(11), () => z.literal([1, 'x', null])])();
    const field = () =>
      random.pick([(type: z.ZodType) => type, (type: z.ZodType) => type.optional(), (type: z.ZodType) => type.nullable()])(scalar());
    for (let round = 0; round < counts(30, 500); round++) {
      const schema =
        random.below(3) === 0
          ? z
              .array(random.below(2) === 0 ? scalar() : (z.object({ k: field(), l: z.boolean().optional() }) as z.ZodType))
              .min(random.below(2))
              .max(2)
          : z.object(Object.fromEntries(['a', 'ab', 'c'].slice(0, 1 + random.below(3)).map((name) => [name, field()])));
      const { automaton } = of(schema);
      const texts = accepted(automaton).map((text) => Buffer.from(text));
      const open = new Map<number, Set<string>>();
      for (const text of texts) {
        for (let end = 0; end <= text.length; end++) {
          const state = walk(automaton, 0, text.subarray(0, end));
          open.set(state, (open.get(state) ?? new Set()).add(text.subarray(end).toString()));
        }
      }
      for (const [state, rests] of open) {
        // Bytes that lead to different things must lead to different groups; at the start a space leads to the same.
        const nexts = new Map<number, number>();
        for (const rest of rests) if (rest !== '') nexts.set(rest.charCodeAt(0), walk(automaton, state, Buffer.from(rest.slice(0, 1))));
        const groups = [...nexts.values()].map((next) => automaton.group[next]);
        if (new Set(groups).size < groups.length && state !== 0) {
          expect({ schema: of(schema).suffix, rests: [...rests].slice(0, 5), groups }).toBe('a group for each');
        }
        if (automaton.decided[state] === 1 && rests.size !== 1) expect({ rests: [...rests] }).toBe('not decided');
      }
    }
  });
});
