import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { walk } from '../../src/engine/automaton.js';
import { type Constraint, constraintOf } from '../../src/engine/constraint.js';
import { shapeOf } from '../../src/engine/schema.js';
import type { Scalar } from '../../src/engine/shape.js';
import { accepted, accepts, stateAfter } from '../support/automata.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

const of = (values: readonly Scalar[]) => constraintOf(shapeOf(z.literal(values as [Scalar, ...Scalar[]])));
const inObject = (values: readonly Scalar[]) => constraintOf(shapeOf(z.object({ a: z.literal(values as [Scalar, ...Scalar[]]) })));

describe('choices that differ by what could be a variant', () => {
  it.each([
    [['white', 'White']],
    [['no', 'No.']],
    [['no', 'no.', 'nobody']],
    [['mW', 'MW']],
    [['a', 'A', 'a.', 'A.']],
    [['ß', 'SS', 'ss', 'Ss']],
    [['ŉ', 'ʼN', 'ʼn']],
    [['ﬁ', 'FI', 'fi']],
    [['i', 'I', 'İ', 'ı']],
    [['ſ', 's', 'S']],
    [['ǆ', 'ǅ', 'Ǆ']],
    [[1, 10, '1.', '1.0', 1.5]],
    [[true, false, 'True', 'yes']],
    [[null, 'Null', 'none', 0]],
    [[-1, '- 1', '1', 1e21]],
    [['', 'a']],
    [['dark red', 'dark  red']],
  ] as [Scalar[]][])('%j: each is read as itself', (values) => {
    const { automaton, read } = of(values);
    for (const value of values) {
      for (const space of ['', ' ']) {
        expect(accepts(automaton, space + String(value))).toBe(true);
        expect(read(space + String(value))).toBe(value);
      }
    }
    checkMarks(of(values), values);
    const json = inObject(values);
    for (const value of values) {
      const text = JSON.stringify({ a: value }).replace(':', ': ');
      expect(accepts(json.automaton, text)).toBe(true);
      expect(json.read(text)).toEqual({ a: value });
    }
    expect(accepted(json.automaton)).toHaveLength(2 * values.length);
  });

  it('a variant of two values belongs to neither, a variant of one to that one', () => {
    const { automaton, read } = of(['no', 'no.']);
    expect(accepts(automaton, 'No.')).toBe(false);
    expect([read('No'), read(' No'), read('no.')]).toEqual(['no', 'no', 'no.']);
    expect(stateAfter(of(['wet', 'Wet', 'dry']).automaton, 'WET')).toBe(-1);
    expect([of(['white', 'White']).read('White.'), of(['white', 'White']).read('white.')]).toEqual([undefined, undefined]);
    expect(of(['white', 'White', 'dry']).read('Dry.')).toBe('dry');
  });

  it.each([
    [[1, '1'], '1 and "1"'],
    [['-1', -1], '"-1" and -1'],
    [[true, 'true'], 'true and "true"'],
    [['null', null], '"null" and null'],
    [['left', 'right', ' left'], '"left" and " left"'],
    [['left', 'left '], '"left" and "left "'],
    [['', ' '], '"" and " "'],
    [['a\u00a0', 'a'], '"a\u00a0" and "a"'],
    [['é', 'e\u0301'], '"é" and "e\u0301"'],
    [['K', '\u212a'], '"K" and "\u212a"'],
  ] as [Scalar[], string][])('%j are refused, and both are named', (values, both) => {
    const error = (() => {
      try {
        of(values);
        return undefined;
      } catch (thrown) {
        return thrown as { code: string; message: string; details: { received: string } };
      }
    })();
    expect(error?.code).toBe('ERR_OPTION');
    expect(error?.message).toMatch(/^Option as: expected values that are all written differently/);
    expect(error?.details.received).toBe(both);
  });

  it('half a surrogate pair is refused, alone and in an object', () => {
    for (const refused of [() => of(['a', '\ud800']), () => inObject(['a', 'b\udc00']), () => shapeOf(z.object({ '\ud800': z.boolean() }))]) {
      expect(refused).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining('surrogate') }));
    }
  });

  it('any values are read as themselves, or two of them are named', () => {
    const random = new Random(11);
    const letters = ['a', 'A', 'b', 'B', '.', ' ', '1', '0', 'ß', 'S', 's', 'i', 'I', 'İ', 'ı', '\u0301', '🤖'];
    let refused = 0;
    const rounds = counts(300, 8000);
    for (let round = 0; round < rounds; round++) {
      const some = Array.from({ length: 1 + random.below(5) }, (): Scalar => {
        const kind = random.below(8);
        return kind === 0 ? random.below(12) : kind === 1 ? random.pick([true, false, null, -1]) : random.text(letters, 0, 4);
      });
      const values = [...new Set(some)];
      const alike = values.length > new Set(values.map((value) => String(value).trim().normalize('NFC'))).size;
      if (alike) {
        expect(() => of(values), JSON.stringify(values)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
        refused++;
      } else checkMarks(of(values), values);
    }
    expect(refused).toBeLessThan(rounds / 2);
  }, 300_000);
});

/** The text without the one space that may stand before it, in every way that it can be taken for another. */
function couldMean(text: string, value: string): boolean {
  const [bare, own] = [text.replace(/^ /, ''), value.trim()];
  return [bare, ...(bare.endsWith('.') && !/[.!?]$/.test(own) && own !== '' ? [bare.slice(0, -1)] : [])].some((form) => {
    if (form === own) return true;
    const [a, b] = [[...form], [...own]];
    const [first, other] = [a.shift() ?? '', b.shift() ?? ''];
    const cased =
      (first.toUpperCase() === other && other.toLowerCase() === first) || (first.toLowerCase() === other && other.toUpperCase() === first);
    return cased && a.join('') === b.join('');
  });
}

/** Walks everything: what is accepted means one value only, and each state tells truly which values it leaves open. */
function checkMarks({ automaton, read }: Constraint, values: readonly Scalar[]): void {
  const texts = accepted(automaton);
  const owns = (text: string, value: Scalar) =>
    [text, text.replace(/^ /, '')].some((form) => form === String(value) || form === String(value).trim());
  for (const text of texts) {
    const owners = values.filter((value) => owns(text, value));
    const claimants = owners.length > 0 ? owners : values.filter((value) => couldMean(text, String(value)));
    if (claimants.length !== 1 || claimants[0] !== read(text)) expect({ values, text, read: read(text) }).toEqual({ values, text, claimants });
  }
  for (const value of values) {
    for (const text of [String(value), ` ${value}`])
      if (read(text) !== value || !accepts(automaton, text)) expect({ values, text, read: read(text) }).toBe(value);
  }
  for (const text of texts) {
    const state = walk(automaton, 0, Buffer.from(text));
    const own = values.length === 1 ? 0 : (automaton.ends[state] as number);
    const alone = texts.filter((other) => automaton.group[walk(automaton, 0, Buffer.from(other))] === own).map(read);
    if ((own === 0) !== (values.length === 1) || alone.some((value) => values.length > 1 && value !== read(text))) {
      expect({ values, text, own, alone }).toBe('the value that ends here');
    }
  }
  const open = new Map<number, Set<unknown>>();
  for (const text of texts) {
    const bytes = Buffer.from(text);
    for (let end = 0; end <= bytes.length; end++) {
      const state = walk(automaton, 0, bytes.subarray(0, end));
      open.set(state, (open.get(state) ?? new Set()).add(read(text)));
    }
  }
  const groups = new Map<number, string>();
  for (const [state, left] of open) {
    const names = [...left]
      .map((value) => JSON.stringify(value))
      .sort()
      .join();
    const group = automaton.group[state] as number;
    if (automaton.decided[state] !== Number(left.size === 1)) expect({ values, state, names }).toBe('decided when one value is left');
    if ((group === 0) !== (left.size === values.length)) expect({ values, state, names, group }).toBe('0 while all are open');
    if ((groups.get(group) ?? names) !== names) expect({ values, names, other: groups.get(group) }).toBe('one group for one set of values');
    groups.set(group, names);
  }
  if (new Set(groups.values()).size !== groups.size) expect({ values, groups }).toBe('one set of values for one group');
}
