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

  it.each([
    ['bool', 'boolean'],
    ['Boolean', 'boolean'],
    ['BOOL', 'boolean'],
    ['yes/no', 'boolean'],
    ['boolaen', 'boolean'],
    ['boolean:yes', 'boolean'],
    ['boolean:', 'boolean'],
    ['integer', 'int:0..9'],
    ['integer:1..5', 'int:1..5'],
    ['int', 'int:0..9'],
    ['int:0-9', 'int:0..9'],
    ['int:-3..x', 'int:0..9'],
    ['int 1..5', 'int:1..5'],
    ['int:9..0', 'int:0..9'],
    ['int:1.5..2', 'int:0..9'],
    ['float:0..1', 'number:0..1'],
    ['nubmer:0..1', 'number:0..1'],
    ['number(0, 2.5)', 'number:0..2.5'],
    ['enum', 'choice:red,green,blue'],
    ['enum:', 'choice:red,green,blue'],
    ['enum:open,closed', 'choice:open,closed'],
    ['enum:[open, closed]', 'choice:open,closed'],
    ['choices:open|closed', 'choice:open,closed'],
    ['choice:red,,blue', 'choice:red,blue'],
    ['choice:red,red', 'choice:red'],
    ['string', 'text:80'],
    ['string:20', 'text:20'],
    ['str', 'text:80'],
    ['text', 'text:80'],
    ['text:0', 'text:80'],
  ])('%j: asks whether %j was meant', (spec, nearest) => {
    expect(() => parseAs(spec)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(`\\(did you mean ${nearest.replaceAll('.', '\\.')}\\?\\)$`) }),
    );
    expect(parseAs(nearest)).toBeDefined();
  });

  it.each(['', 'json', 'constructor', 'red,green', '?'])('has nothing to suggest for %j', (spec) => {
    expect(() => parseAs(spec)).toThrow(expect.objectContaining({ message: expect.not.stringContaining('did you mean') }));
  });
});
