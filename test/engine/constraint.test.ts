import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Question } from '../../src/engine/answer.js';
import type { AnswerType } from '../../src/engine/answer-type.js';
import { completion } from '../../src/engine/automaton.js';
import { constraintOf } from '../../src/engine/constraint.js';
import { SHORT } from '../../src/engine/prompt.js';
import { shapeOf } from '../../src/engine/schema.js';
import { accepted, accepts, stateAfter } from '../support/automata.js';

const of = (schema: z.ZodType) => constraintOf(shapeOf(schema));
const groupAfter = (schema: z.ZodType, text: string) => {
  const { automaton } = of(schema);
  const state = stateAfter(automaton, text);
  return { group: automaton.group[state], decided: automaton.decided[state] === 1 };
};

describe('booleans', () => {
  const { automaton, read, suffix } = of(z.boolean());

  it('accept every spelling and nothing else', () => {
    const words = ['yes', 'Yes', 'true', 'True', 'no', 'No', 'false', 'False'];
    expect(accepted(automaton)).toEqual(words.flatMap((word) => [word, ` ${word}`, `${word}.`, ` ${word}.`]).sort());
    expect(suffix).toBe(SHORT);
  });

  it('read every spelling', () => {
    for (const text of accepted(automaton)) expect(read(text)).toBe(/yes|true/i.test(text));
  });

  it('spellings of one value share a group and decide at the first letter', () => {
    const yes = groupAfter(z.boolean(), 'Y');
    for (const text of [' y', 'T', ' tr', 'Yes', 'Yes.']) expect(groupAfter(z.boolean(), text)).toEqual(yes);
    expect(yes.decided).toBe(true);
    expect(groupAfter(z.boolean(), 'n').group).not.toBe(yes.group);
    expect(groupAfter(z.boolean(), ' ')).toEqual({ group: 0, decided: false });
  });

  it('a decided state is completed to a readable text', () => {
    for (const start of ['Y', ' f', 'T', 'No']) {
      const text = start + Buffer.from(completion(automaton, stateAfter(automaton, start))).toString();
      expect(accepts(automaton, text)).toBe(true);
      expect(read(text)).toBe(/^ ?[yt]/i.test(start));
    }
  });
});

describe('choices', () => {
  it('of several words keep the text as it was given', () => {
    const { automaton, read } = of(z.enum(['dark red', 'dark blue', 'Green']));
    expect(read(' Dark red.')).toBe('dark red');
    expect(read('green')).toBe('Green');
    expect(accepted(automaton)).toHaveLength(3 * 8);
    expect(accepts(automaton, 'DARK RED')).toBe(false);
  });

  it('a value that begins another is not decided until the other is out of reach', () => {
    const schema = z.enum(['left', 'left side', 'right']);
    expect(groupAfter(schema, 'left').decided).toBe(false);
    expect(groupAfter(schema, 'l')).toEqual(groupAfter(schema, 'left'));
    expect(groupAfter(schema, 'left ').decided).toBe(true);
    expect(groupAfter(schema, 'left.').decided).toBe(true);
    expect(groupAfter(schema, 'left.').group).not.toBe(groupAfter(schema, 'left ').group);
    expect(groupAfter(schema, 'r').decided).toBe(true);
  });

  it('literals of any kind, also a single one, which is decided before it begins', () => {
    expect(of(z.literal([1, true, null, 'x'])).read('Null')).toBeNull();
    expect(of(z.literal([1, true, null, 'x'])).read('1')).toBe(1);
    expect(groupAfter(z.literal('only'), '').decided).toBe(true);
    expect(Buffer.from(completion(of(z.literal('only')).automaton, 0)).toString()).toMatch(/^only$/i);
  });
});

describe('numbers', () => {
  it('small ranges of integers are choices', () => {
    const { automaton, read } = of(z.int().min(-2).max(12));
    const texts = Array.from({ length: 15 }, (_, i) => String(i - 2));
    expect(accepted(automaton)).toEqual(texts.flatMap((text) => [text, ` ${text}`]).sort());
    expect(read(' -2')).toBe(-2);
    expect(groupAfter(z.int().min(0).max(12), '1').decided).toBe(false);
    expect(groupAfter(z.int().min(0).max(12), '3').decided).toBe(true);
    expect(groupAfter(z.int().min(0).max(12), '12')).not.toEqual(groupAfter(z.int().min(0).max(12), '10'));
    expect(groupAfter(z.int().min(0).max(12), '7')).toEqual(groupAfter(z.int().min(0).max(12), ' 7'));
  });

  it('large ranges have exact bounds', () => {
    for (const [low, high] of [
      [0, 5000],
      [-1234, 987],
      [950, 10_050],
      [-7001, -199],
    ] as const) {
      const { automaton, read } = of(z.number().int().min(low).max(high));
      const inside = Array.from({ length: high - low + 1 }, (_, i) => String(low + i));
      expect(accepted(automaton)).toEqual(inside.flatMap((text) => [text, ` ${text}`]).sort());
      expect(read(` ${low}`)).toBe(low);
      expect(automaton.group[stateAfter(automaton, ' ')]).toBe(-1);
    }
  });

  it('decimals: every spelling within the bounds, and only those', () => {
    for (const [low, high] of [
      [-0.75, 1.5],
      [0.05, 12.34],
      [-11, 9.99],
    ] as const) {
      const { automaton } = of(z.number().min(low).max(high));
      const expected = new Set<string>();
      for (const decimals of [0, 1, 2]) {
        for (let units = -1200; units <= 1300; units++) {
          const value = Number((units / 10 ** decimals).toFixed(decimals));
          const text = value.toFixed(decimals);
          if (value >= low && value <= high && !/^-0(\.0*)?$/.test(text)) expected.add(text).add(` ${text}`);
        }
      }
      expect(accepted(automaton)).toEqual([...expected].sort());
    }
  });

  it('spellings of one decimal are one value', () => {
    expect(groupAfter(z.number().min(0).max(1), '1')).toEqual(groupAfter(z.number().min(0).max(1), '1.00'));
    expect(of(z.number().min(0).max(1)).read('0.50')).toBe(0.5);
  });

  it('of several bounds the tightest holds', () => {
    const { automaton } = of(z.int().min(-5).min(2).gt(1).max(9).lt(5).max(4));
    expect(accepted(automaton).filter((text) => !text.startsWith(' '))).toEqual(['2', '3', '4']);
    expect(of(z.number().min(-1e-7).max(1e-7)).read('0')).toBe(0);
  });

  it('exclusive bounds, decimals from the step, and steps that are no power of ten', () => {
    expect(accepted(of(z.number().gt(0).lt(0.4).multipleOf(0.1)).automaton).filter((text) => !text.startsWith(' '))).toEqual(['0.1', '0.2', '0.3']);
    expect(accepted(of(z.int().positive().lt(12).multipleOf(5)).automaton).filter((text) => !text.startsWith(' '))).toEqual(['10', '5']);
    expect(accepted(of(z.number().min(0).max(1).multipleOf(0.25)).automaton)).toContain('0.75');
    expect(accepted(of(z.number().min(0).max(1).multipleOf(0.25)).automaton)).not.toContain('0.7');
  });
});

describe('text', () => {
  it('is bounded, with or without a space before it', () => {
    const { automaton, read } = of(z.string().min(1).max(3));
    for (const text of ['a', ' abc', 'a b', '世界!', '🤖a', '🤖🤖🤖', 'é']) expect(accepts(automaton, text)).toBe(true);
    for (const text of ['', ' ', 'abcd', '  a', '🤖🤖ab', 'a\u0007', '\n']) expect(accepts(automaton, text)).toBe(false);
    expect(read(' a b')).toBe('a b');
    expect(groupAfter(z.string().max(3), 'a')).toEqual({ group: -1, decided: false });
  });
});

describe('objects', () => {
  const schema = z.object({ open: z.boolean(), count: z.int().min(0).max(12), cup: z.object({ colour: z.enum(['red', 'rose']) }) });

  it('are JSON with fixed keys and order', () => {
    const { automaton, read, suffix } = of(schema);
    const texts = accepted(automaton);
    expect(texts).toHaveLength(2 * 2 * 13 * 2);
    for (const text of texts) expect(schema.parse(read(text))).toEqual(JSON.parse(text));
    expect(texts).toContain('{"open": true, "count": 12, "cup": {"colour": "rose"}}');
    expect(suffix).toBe('Answer with JSON: {"open": true or false, "count": integer from 0 to 12, "cup": {"colour": "red" or "rose"}}');
  });

  it('group by the open values of the field at hand, and fixed text by itself', () => {
    expect(groupAfter(schema, '{"op')).toEqual({ group: 0, decided: false });
    const yes = groupAfter(schema, '{"open": t');
    expect(yes.group).toBeGreaterThan(0);
    expect(groupAfter(schema, '{"open": true')).toEqual(yes);
    expect(groupAfter(schema, '{"open": f').group).not.toBe(yes.group);
    expect(groupAfter(schema, '{"open": true, "co').group).toBe(0);
    expect(groupAfter(schema, '{"open": true, "count": 1').group).not.toBe(groupAfter(schema, '{"open": true, "count": 2').group);
  });

  it('are decided only when the last field is', () => {
    expect(groupAfter(schema, '{"open": true').decided).toBe(false);
    expect(groupAfter(schema, '{"open": true, "count": 3, "cup": {"colour": "r').decided).toBe(false);
    expect(groupAfter(schema, '{"open": true, "count": 3, "cup": {"colour": "re').decided).toBe(true);
    const { automaton } = of(schema);
    const start = '{"open": true, "count": 3, "cup": {"colour": "ro';
    expect(start + Buffer.from(completion(automaton, stateAfter(automaton, start))).toString()).toBe(`${start}se"}}`);
  });

  it('with nothing to choose are decided before they begin', () => {
    expect(groupAfter(z.object({ a: z.literal('x'), b: z.literal(1) }), '').decided).toBe(true);
    expect(groupAfter(z.object({ a: z.boolean(), b: z.literal(1) }), '{"a": t').decided).toBe(true);
  });

  it('hold text and numbers of any size', () => {
    const mixed = z.object({ note: z.string().max(2), 'a "b"': z.number().min(0).max(1000), tag: z.enum(['x"y', 'z\\']) });
    const { automaton, read } = of(mixed);
    for (const value of [
      { note: 'a"', 'a "b"': 999.99, tag: 'x"y' },
      { note: '', 'a "b"': 0, tag: 'z\\' },
      { note: '\n🤖'.slice(0, 1), 'a "b"': 12.5, tag: 'z\\' },
    ]) {
      const text = `{"note": ${JSON.stringify(value.note)}, "a \\"b\\"": ${value['a "b"']}, "tag": ${JSON.stringify(value.tag)}}`;
      expect(accepts(automaton, text)).toBe(true);
      expect(mixed.parse(read(text))).toEqual(value);
    }
    expect(accepts(automaton, '{"note": "ab", "b \\"b\\"": 1, "tag": "z\\\\"}')).toBe(false);
    expect(groupAfter(mixed, '{"note": "a').group).toBe(-1);
    expect(groupAfter(mixed, '{"note": "ab", "a \\"b\\"": 1, "tag": "x').decided).toBe(true);
  });
});

describe('schemas that cannot be guaranteed', () => {
  const refused: [string, unknown, RegExp][] = [
    ['no schema', 'boolean', /Option as: expected a zod 4 schema/],
    ['null', null, /Option as: expected a zod 4 schema/],
    ['no bounds', z.number(), /both bounds/],
    ['one bound', z.int().min(0), /both bounds|bounds within/],
    ['an infinite bound', z.number().min(0).max(Number.POSITIVE_INFINITY), /both bounds/],
    ['NaN as a step', z.number().min(0).max(1).multipleOf(Number.NaN), /both bounds/],
    ['a step finer than whole', z.int().min(0).max(1).multipleOf(0.5), /no decimals/],
    ['nothing between', z.int().gt(1).lt(2), /lie between/],
    ['no multiple between', z.int().min(1).max(4).multipleOf(5), /multiple between/],
    ['too fine', z.number().min(0).max(1).multipleOf(1e-9), /decimals/],
    ['too many odd multiples', z.int().min(0).max(1e6).multipleOf(7), /at most 1024 multiples/],
    ['unbounded text', z.string(), /a string with .max/],
    ['too much text', z.string().max(5000), /n from 1 to 1000/],
    ['an email', z.email().max(20), /without refinements/],
    ['a pattern', z.string().max(20).regex(/a/), /without refinements/],
    ['a refinement', z.boolean().refine(Boolean), /without refinements/],
    ['a transform', z.boolean().transform(Number), /without refinements/],
    ['a date inside', z.object({ a: z.date() }), /Option as\.a: expected .* received "z.date\(\)"/],
    ['an empty object', z.object({}), /at least one field/],
    ['a large object', z.object(Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`f${i}`, z.string().max(1000)]))), /automaton states/],
  ];
  it.each(refused)('%s', (_, schema, message) => {
    expect(() => constraintOf(shapeOf(schema))).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }));
  });
});

describe('constraints lately used', () => {
  const asked = (schema: z.ZodType) => new Question('ask', 'What is it?', { as: schema as AnswerType<unknown> }).constraint;

  it('are kept by what they allow, as many as a node has watches', () => {
    const first = asked(z.enum(['first', 'other']));
    expect(asked(z.enum(['first', 'other']))).toBe(first);
    for (let i = 0; i < 63; i++) asked(z.enum(['first', `other ${i}`]));
    expect(asked(z.enum(['first', 'other']))).toBe(first);
    for (let i = 0; i < 64; i++) asked(z.enum(['first', `another ${i}`]));
    expect(asked(z.enum(['first', 'other']))).not.toBe(first);
  });

  it('are not kept beyond 64 MiB', () => {
    const texts = (items: number) => asked(z.array(z.string().max(20)).max(items));
    const size = (of: typeof small) => of?.automaton.next.byteLength as number;
    const small = asked(z.boolean());
    const large = texts(60);
    let items = 59;
    for (let kept = size(large); kept < (64 << 20) - size(large); items--) kept += size(texts(items));
    expect(asked(z.boolean())).toBe(small);
    texts(items);
    texts(items - 1);
    expect(asked(z.boolean())).toBe(small);
    expect(texts(60)).not.toBe(large);
  });
});
