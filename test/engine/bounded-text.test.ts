import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { after, kept, walk } from '../../src/engine/automaton.js';
import { type Constraint, constraintOf } from '../../src/engine/constraint.js';
import { shapeOf } from '../../src/engine/schema.js';
import { accepts } from '../support/automata.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

const of = (schema: z.ZodType) => constraintOf(shapeOf(schema));
const quoted = (text: string) => `{"a": ${JSON.stringify(text)}}`;

/** What the engine makes of an answer: undefined where the automaton does not lead or may not end. */
function understood({ automaton, read }: Constraint, text: string | Uint8Array): { value: unknown; cut: boolean } | undefined {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const state = walk(automaton, 0, bytes);
  if (state < 0 || automaton.accepting[state] !== 1) return undefined;
  const { bytes: inside, cut } = kept(automaton, bytes);
  return { value: read(Buffer.from(inside).toString()), cut };
}

describe('lengths', () => {
  it('count characters as zod does: code points', () => {
    const schema = z.string().min(2).max(3);
    const [plain, json] = [of(schema), of(z.object({ a: schema }))];
    for (const text of ['😀', '😀😀', 'a😀', '😀😀😀', '世界', 'e\u0301', 'a']) {
      const fits = schema.safeParse(text).success;
      expect(accepts(plain.automaton, text), text).toBe(fits);
      expect(accepts(json.automaton, quoted(text)), text).toBe(fits);
    }
    expect(understood(of(z.string().length(2)), '😀😀')).toEqual({ value: '😀😀', cut: false });
    expect(accepts(of(z.string().length(2)).automaton, '😀')).toBe(false);
  });

  it('at the limit an answer may end, or is cut there', () => {
    const plain = of(z.string().max(5));
    expect(understood(plain, ' a cup')).toEqual({ value: 'a cup', cut: false });
    expect(understood(plain, ' a cups')).toEqual({ value: 'a cup', cut: true });
    expect(understood(plain, ' a cup of tea')).toEqual({ value: 'a cup', cut: true });
    expect(understood(plain, 'four words')).toEqual({ value: 'four', cut: true }); // no white space at the end
    expect(understood(plain, '🤖🤖🤖🤖🤖🤖')).toEqual({ value: '🤖🤖🤖🤖🤖', cut: true });
    expect(understood(plain, Buffer.from('abcde🤖').subarray(0, 6))).toEqual({ value: 'abcde', cut: true });
    expect(understood(plain, 'a cup\n')).toEqual({ value: 'a cup', cut: false });

    const json = of(z.object({ a: z.string().max(3), b: z.string().max(2) }));
    expect(understood(json, '{"a": "abc", "b": "xy"}')).toEqual({ value: { a: 'abc', b: 'xy' }, cut: false });
    expect(understood(json, '{"a": "abcdef", "b": "x"}')).toEqual({ value: { a: 'abc', b: 'x' }, cut: true });
    expect(understood(json, '{"a": "ab\\"\\"", "b": ""}')).toBeUndefined(); // a quote that would have to be cut ends the string instead
    expect(understood(json, '{"a": "ab\\"", "b": "xyz"}')).toEqual({ value: { a: 'ab"', b: 'xy' }, cut: true });
    expect(understood(json, '{"a": "\\n\\\\\\/x", "b": ""}')).toEqual({ value: { a: '\n\\/', b: '' }, cut: true });
  });

  it('a cut text is decided, one at its limit is not', () => {
    const { automaton } = of(z.string().max(2));
    const state = (text: string) => walk(automaton, 0, Buffer.from(text));
    expect([automaton.decided[state('ab')], automaton.accepting[state('ab')], automaton.cut[state('ab')]]).toEqual([0, 1, 0]);
    expect([automaton.decided[state('abc')], automaton.accepting[state('abc')], automaton.cut[state('abc')]]).toEqual([1, 1, 1]);
  });

  it('white space at the end is never counted towards the least length', () => {
    for (const [min, max] of [
      [2, 2],
      [2, 3],
      [3, 3],
      [2, 5],
      [4, 5],
      [0, 12],
      [1, 9],
      [5, 12],
      [11, 12],
    ] as const) {
      const schema = z.string().min(min).max(max);
      const constraint = of(schema);
      const json = of(z.object({ a: schema }));
      const random = new Random(min * 100 + max);
      for (let round = 0; round < 400; round++) {
        const text = random.text(['a', 'b', ' ', '\n', '\u00a0', '\u3000', '🤖'], 0, max + 3);
        const answer = understood(constraint, text);
        if (answer !== undefined && !schema.safeParse(answer.value).success) expect({ min, max, text }).toBe(answer);
        const length = [...text.trim()].length;
        const whole = text.trim() === text && length >= min && length <= max && !/\s\s/.test(text); // runs of white space only where they fit
        if (whole && (answer?.value !== text || answer.cut)) expect({ min, max, text }).toBe(answer);
        const inside = understood(json, quoted(text))?.value as { a: string } | undefined;
        if ([...text].length >= min !== (inside !== undefined) || (inside && inside.a !== [...text].slice(0, max).join(''))) {
          expect({ min, max, text }).toBe(inside);
        }
      }
    }
  });
});

describe('characters', () => {
  const plain = of(z.string().max(3));
  const json = of(z.object({ a: z.string().max(3) }));

  it.each([
    ['a control character', 0x00, 0x01, 0x07, 0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x1b, 0x1f, 0x7f],
    ['a C1 control character', 0x80, 0x84, 0x85, 0x8d, 0x90, 0x9b, 0x9f],
    ['a line or paragraph separator', 0x2028, 0x2029],
    ['what turns the direction of text', 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069],
    ['a byte order mark or noncharacter', 0xfeff, 0xfffe, 0xffff, 0xfdd0, 0xfdef, 0x1fffe, 0x1ffff, 0x7fffe, 0x10ffff],
  ] as [string, ...number[]][])('%s is in no answer', (_, ...codes) => {
    for (const code of codes) {
      const char = String.fromCodePoint(code);
      expect(understood(plain, `a${char}b`), code.toString(16)).toBeUndefined();
      expect(understood(json, `{"a": "a${char}b"}`), code.toString(16)).toBeUndefined();
      expect(understood(plain, `abc${char}`)?.value ?? 'abc', code.toString(16)).toBe('abc'); // at most behind a cut
    }
    for (const letter of ['b', 'f', 'r', 't', 'u0007']) expect(understood(json, `{"a": "\\${letter}"}`)).toBeUndefined();
  });

  it('all others are, and come back as they were', () => {
    const control = /[\p{Cc}\u2028-\u202e\u2066-\u2069\ufeff]/u;
    const step = counts(97, 1);
    for (let code = 0x20; code <= 0x10ffff; code += code < 0x3100 ? 1 : step) {
      const char = String.fromCodePoint(code);
      const noncharacter = (code & 0xfffe) === 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
      const allowed = !control.test(char) && !noncharacter && !(code >= 0xd800 && code <= 0xdfff);
      const [text, inside] = [understood(plain, Buffer.from(`a${char}b`)), understood(json, Buffer.from(quoted(`a${char}b`)))];
      if (code >= 0xd800 && code <= 0xdfff) continue; // Buffer makes U+FFFD of it
      if ((text?.value === `a${char}b`) !== allowed || ((inside?.value as { a: string })?.a === `a${char}b`) !== allowed) {
        expect({ code: code.toString(16), text, inside }).toBe(allowed);
      }
    }
  }, 300_000);

  it('are valid UTF-8 only', () => {
    for (const bytes of [
      [0xff],
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xe0, 0x80, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xe4, 0xb8],
    ]) {
      expect(understood(plain, Uint8Array.from(bytes))).toBeUndefined();
    }
  });

  it('white space of any script stands neither first nor last', () => {
    for (const space of [' ', '\n', '\u00a0', '\u1680', '\u2003', '\u202f', '\u205f', '\u3000']) {
      expect(understood(plain, `${space === ' ' ? ' ' : ''}${space}a`), JSON.stringify(space)).toBeUndefined();
      expect(understood(plain, `a${space}`)).toEqual({ value: 'a', cut: false });
      expect(understood(plain, `a${space}b`)).toEqual({ value: `a${space}b`, cut: false });
    }
  });
});

describe('size', () => {
  it('the longest text is ready in a moment, and bounded in tokens', () => {
    const begun = process.cpuUsage();
    for (let round = 0; round < 5; round++) of(z.string().max(1000));
    const { user, system } = process.cpuUsage(begun);
    expect((user + system) / 5000).toBeLessThan(150); // milliseconds; 15 on an idle machine
    const { automaton } = of(z.string().max(1000));
    expect(automaton.longest).toBe(1 + 4000 + 1);
    expect(automaton.next.byteLength).toBeLessThan(6_000_000);
    expect(accepts(automaton, 'x'.repeat(1000))).toBe(true);
    expect(accepts(automaton, '🤖'.repeat(1000))).toBe(true);
    expect(accepts(automaton, 'x'.repeat(1001))).toBe(false);
  });

  it('nothing but the state of a cut leads to itself, so every answer ends', () => {
    for (const schema of [z.string().max(4), z.string().min(3).max(4), z.object({ a: z.string().max(2), b: z.boolean() })]) {
      const { automaton } = of(schema);
      const depth = new Int32Array(automaton.states);
      const visit = (state: number, path: Set<number>): void => {
        for (let byte = 0; byte < 256; byte++) {
          const next = after(automaton, state, byte);
          if (next < 0 || next === state) continue;
          expect(path.has(next)).toBe(false);
          if (depth[next] !== 0 || path.size > 60) continue;
          depth[next] = 1;
          visit(next, new Set([...path, next]));
        }
      };
      visit(0, new Set([0]));
    }
  });
});
