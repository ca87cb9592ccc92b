import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { constraintOf } from '../../src/engine/constraint.js';
import { jsonSchemaShape } from '../../src/engine/json-schema.js';
import { shapeOf } from '../../src/engine/schema.js';

describe('a JSON Schema', () => {
  it.each([
    ['boolean', z.boolean()],
    ['values', z.enum(['red', 'green'])],
    ['one value', z.literal('red')],
    ['values of several types', z.literal(['a', 1, true])],
    ['a whole number', z.int().min(-3).max(9)],
    ['an exclusive bound', z.int().gt(0).lt(5)],
    ['a number with a step', z.number().min(0).max(1).multipleOf(0.25)],
    ['text', z.string().min(2).max(40)],
    ['a list', z.array(z.int().min(0).max(9)).min(1).max(4)],
    ['an object', z.object({ a: z.boolean(), b: z.string().max(3).optional(), c: z.array(z.enum(['x', 'y'])).max(2) })],
    ['null inside', z.object({ a: z.boolean().nullable(), b: z.object({ c: z.int().min(0).max(1) }).nullish() })],
  ] as [string, z.ZodType][])('means what its zod schema means: %s', (_, schema) => {
    const { $schema, ...json } = z.toJSONSchema(schema) as { $schema: string };
    expect(jsonSchemaShape({ $schema, ...json })).toEqual(shapeOf(schema));
  });

  it('is read as a person would write it', () => {
    const schema = {
      title: 'Table',
      description: 'what is on it',
      type: 'object',
      properties: {
        empty: { type: 'boolean' },
        share: { type: 'number', minimum: 0, maximum: 1, multipleOf: 0.1 },
        colour: { type: ['string', 'null'], enum: ['red', null] },
        note: { type: ['string', 'null'], maxLength: 20 },
        kind: { const: 'table' },
      },
      required: ['empty', 'share', 'colour'],
      additionalProperties: false,
    };
    const { read, suffix } = constraintOf(jsonSchemaShape(schema));
    expect(read('{"empty": true, "share": 0.3, "colour": null, "note": null, "kind": "table"}')).toEqual({
      empty: true,
      share: 0.3,
      colour: null,
      note: null,
      kind: 'table',
    });
    expect(suffix).toMatch(/"note": string or null \(may be left out\)/);
    expect(constraintOf(jsonSchemaShape({ enum: ['yes', null] })).read('null')).toBeNull();
  });

  const refused: [string, unknown, string, RegExp][] = [
    ['a keyword nobody obeys', { type: 'string', maxLength: 5, pattern: 'a' }, 'as.pattern', /only the keywords type, minLength, maxLength/],
    ['a keyword of another type', { type: 'boolean', maxLength: 5 }, 'as.maxLength', /only the keywords type/],
    ['a slip of the fingers', { type: 'string', maxlength: 5 }, 'as.maxlength', /did you mean maxLength/],
    [
      'one inside',
      { type: 'object', properties: { a: { type: 'integer', minimum: 0, maximum: 5, format: 'int32' } } },
      'as.properties.a.format',
      /only/,
    ],
    ['a format', { type: 'string', maxLength: 9, format: 'date' }, 'as.format', /only/],
    ['a default', { type: 'boolean', default: true }, 'as.default', /only/],
    ['a reference', { $ref: '#/$defs/a' }, 'as.$ref', /only the keywords/],
    ['definitions', { type: 'boolean', $defs: {} }, 'as.$defs', /only/],
    ['oneOf', { oneOf: [{ type: 'boolean' }] }, 'as.oneOf', /only the keywords/],
    ['no type', {}, 'as.type', /one of boolean, integer, number, string, array, object, or enum or const/],
    ['a type that is none', { type: 'bool' }, 'as.type', /one of/],
    ['null alone', { type: 'null' }, 'as.type', /one of/],
    ['a name of every object', { type: 'constructor' }, 'as.type', /one of/],
    ['two types', { type: ['string', 'boolean'] }, 'as.type', /one of/],
    ['null beside a type at the top', { type: ['boolean', 'null'] }, 'as.type', /only in the properties/],
    ['no length', { type: 'string' }, 'as.maxLength', /maxLength n, n from 1 to 1000/],
    ['a length in words', { type: 'string', maxLength: '5' }, 'as.maxLength', /a whole number/],
    ['no bound', { type: 'integer', minimum: 0 }, 'as', /both bounds: minimum and maximum/],
    ['a bound in words', { type: 'integer', minimum: '0', maximum: 4 }, 'as.minimum', /both bounds/],
    ['open objects', { type: 'object', properties: { a: { type: 'boolean' } }, additionalProperties: true }, 'as.additionalProperties', /false/],
    ['a required stranger', { type: 'object', properties: { a: { type: 'boolean' } }, required: ['toString'] }, 'as.required', /names out of a/],
    ['no properties', { type: 'object' }, 'as.properties', /an object of schemas/],
    ['no property', { type: 'object', properties: {} }, 'as.properties', /at least one field/],
    ['no items', { type: 'array', maxItems: 2 }, 'as.items', /a JSON Schema as an object/],
    ['unlimited items', { type: 'array', items: { type: 'boolean' } }, 'as.maxItems', /maxItems n, n from 1 to 64/],
    [
      'lists of lists',
      { type: 'array', items: { type: 'array', items: { type: 'boolean' }, maxItems: 2 }, maxItems: 2 },
      'as.items',
      /a scalar or an object/,
    ],
    ['values twice', { enum: ['a', 'a'] }, 'as.enum', /all differ/],
    ['values of another type', { type: 'string', enum: ['a', 1] }, 'as.enum', /values of type string/],
    ['values that are objects', { enum: [{ a: 1 }] }, 'as.enum', /strings, numbers, booleans or null/],
    ['enum and const', { enum: ['a'], const: 'a' }, 'as.const', /not both/],
    ['no values', { enum: [] }, 'as.enum', /strings, numbers/],
  ];
  it.each(refused)('refuses %s by name', (_, schema, option, message) => {
    const expected = { code: 'ERR_OPTION', message: expect.stringMatching(message), details: expect.objectContaining({ option }) };
    expect(() => jsonSchemaShape(schema)).toThrow(expect.objectContaining(expected));
  });

  it('that holds itself is refused', () => {
    const endless: Record<string, unknown> = { type: 'object' };
    endless.properties = { inner: endless };
    expect(() => jsonSchemaShape(endless)).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining('levels') }));
  });
});
