import { describe, expect, it } from 'vitest';
import { parseAs } from '../../src/cli/as.js';

const accepts = (spec: string, value: unknown) => parseAs(spec).safeParse(value).success;

describe('--as', () => {
  it('reads every kind', () => {
    expect(accepts('boolean', true)).toBe(true);
    expect(accepts('boolean', 'true')).toBe(false);
    expect([-1, 0, 5, 9, 10, 2.5].map((value) => accepts('int:0..9', value))).toEqual([false, true, true, true, false, false]);
    expect([-0.5, -0.1, 0.5, 1.1].map((value) => accepts('number:-0.5..1', value))).toEqual([true, true, true, false]);
    expect(['red', 'light blue', 'green'].map((value) => accepts('choice:red, light blue', value))).toEqual([true, true, false]);
    expect([80, 81].map((length) => accepts('text:80', 'x'.repeat(length)))).toEqual([true, false]);
  });

  it.each([
    '',
    'bool',
    'boolean:yes',
    'int',
    'int:9..0',
    'int:0..1.5',
    'int:0-9',
    'number:a..b',
    'choice',
    'choice:',
    'choice:red,,blue',
    'choice:red,red',
    'text',
    'text:0',
    'text:1.5',
    'text:x',
  ])('refuses %j and says what there is', (spec) => {
    expect(() => parseAs(spec)).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining('choice:red,green,blue') }));
  });
});
