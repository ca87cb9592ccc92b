/**
 * The part of JSON Schema whose values can be guaranteed. Every keyword is either obeyed, or tells readers something that no value can break
 * (`title`, `description` and the like), or is refused by name.
 */
import type { Bound } from '../decimal.js';
import { nearestKey, optionError } from '../errors.js';
import { exact, numberShape } from './number-shape.js';
import { between, checkDepth, choiceShape, item, objectShape } from './schema.js';
import { type AnswerShape, MAX_ITEMS, MAX_TEXT, type Scalar } from './shape.js';

/** Says nothing about values. */
interface JsonSchemaNotes {
  $schema?: string;
  $id?: string;
  $comment?: string;
  title?: string;
  description?: string;
  examples?: readonly unknown[];
}

type JsonScalar = string | number | boolean | null;
type OrNull<T extends string> = T | readonly [T, 'null'] | readonly ['null', T];

/** A JSON Schema that decoding can guarantee; `null` beside another type only inside of objects. Throws ERR_OPTION for any other keyword. */
export type JsonSchema = JsonSchemaNotes &
  (
    | { type: OrNull<'boolean'> }
    | { type?: OrNull<'string' | 'number' | 'integer' | 'boolean'> | 'null'; enum: readonly JsonScalar[] }
    | { type?: 'string' | 'number' | 'integer' | 'boolean' | 'null'; const: JsonScalar }
    | {
        type: OrNull<'integer' | 'number'>;
        minimum?: number;
        maximum?: number;
        exclusiveMinimum?: number;
        exclusiveMaximum?: number;
        multipleOf?: number;
      }
    | { type: OrNull<'string'>; minLength?: number; maxLength: number }
    | { type: OrNull<'array'>; items: JsonSchema; minItems?: number; maxItems: number }
    | { type: OrNull<'object'>; properties: { readonly [name: string]: JsonSchema }; required?: readonly string[]; additionalProperties?: false }
    | { anyOf: readonly JsonSchema[] }
  );

const NOTES = ['$schema', '$id', '$comment', 'title', 'description', 'examples'];
const BOUNDS = 'minimum and maximum';

/** What each type understands, besides `type`. */
const KEYWORDS = new Map<unknown, readonly string[]>([
  ['boolean', []],
  ['integer', ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']],
  ['number', ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']],
  ['string', ['minLength', 'maxLength']],
  ['array', ['items', 'minItems', 'maxItems']],
  ['object', ['properties', 'required', 'additionalProperties']],
]);

type Plain = Record<string, unknown>;

export function isPlainObject(value: unknown): value is Plain {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Throws ERR_OPTION that names the keyword and where it stands, e.g. "as.properties.colour.pattern". */
export function jsonSchemaShape(schema: unknown, path = 'as', depth = 0): AnswerShape {
  checkDepth(path, depth);
  if (!isPlainObject(schema)) throw optionError(path, 'a JSON Schema as an object', schema);
  const given = (keyword: string) => Object.hasOwn(schema, keyword) && schema[keyword] !== undefined;
  if (given('anyOf')) return anyOf(schema, path, depth);
  const { types, nullable } = typesOf(schema, path);
  if (given('enum') || given('const')) return valuesOf(schema, nullable ? [...types, 'null'] : types, path);
  const [type] = types;
  const keywords = KEYWORDS.get(type);
  if (types.length !== 1 || type === undefined || keywords === undefined) {
    allow(schema, path, ['type', 'enum', 'const', 'anyOf', ...[...KEYWORDS.values()].flat()]);
    throw optionError(`${path}.type`, `one of ${[...KEYWORDS.keys()].join(', ')}, or enum or const`, schema.type);
  }
  allow(schema, path, ['type', ...keywords]);
  if (nullable && depth === 0) throw optionError(`${path}.type`, 'null beside another type only in the properties of an object', schema.type);
  const shape = typed(type, schema, path, depth);
  return nullable ? { kind: 'nullable', of: shape } : shape;
}

function typed(type: string, schema: Plain, path: string, depth: number): AnswerShape {
  switch (type) {
    case 'boolean':
      return { kind: 'boolean' };
    case 'string':
      return { kind: 'text', ...size(schema, path, 'minLength', 'maxLength', MAX_TEXT) };
    case 'array': {
      const of = item(jsonSchemaShape(schema.items, `${path}.items`, depth + 1), `${path}.items`);
      return { kind: 'array', of, ...size(schema, path, 'minItems', 'maxItems', MAX_ITEMS) };
    }
    case 'object':
      return object(schema, path, depth);
    default:
      return number(schema, path, type === 'integer');
  }
}

/** Throws ERR_OPTION for a keyword that nothing would obey. */
function allow(schema: Plain, path: string, keywords: readonly string[]): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (value === undefined || NOTES.includes(keyword) || keywords.includes(keyword)) continue;
    throw optionError(`${path}.${keyword}`, `only the keywords ${[...keywords, ...NOTES].join(', ')}`, keyword, nearestKey(keyword, keywords));
  }
}

function typesOf({ type }: Plain, path: string): { types: string[]; nullable: boolean } {
  const all = type === undefined ? [] : Array.isArray(type) ? [...type] : [type];
  if (!all.every((name) => typeof name === 'string')) throw optionError(`${path}.type`, 'the name of a type', type);
  const nullable = all.length > 1 && all.includes('null');
  return { types: nullable ? all.filter((name) => name !== 'null') : all, nullable };
}

function valuesOf(schema: Plain, types: readonly string[], path: string): AnswerShape {
  allow(schema, path, ['type', 'enum', 'const']);
  if (schema.enum !== undefined && schema.const !== undefined) throw optionError(`${path}.const`, 'enum or const, not both', schema.const);
  const values = schema.enum ?? [schema.const];
  const keyword = schema.enum === undefined ? 'const' : 'enum';
  if (!Array.isArray(values)) throw optionError(`${path}.enum`, 'a list of values', values);
  if (new Set(values).size < values.length) throw optionError(`${path}.enum`, 'values that all differ', values);
  const is = (value: unknown, type: string) =>
    type === 'null' ? value === null : type === 'integer' ? Number.isInteger(value) : value !== null && typeof value === type;
  const wrong = types.length === 0 ? undefined : values.find((value) => !types.some((type) => is(value, type)));
  if (wrong !== undefined) throw optionError(`${path}.${keyword}`, `values of type ${types.join(' or ')}`, wrong);
  return choiceShape(`${path}.${keyword}`, values);
}

/** Values, or something and null. */
function anyOf(schema: Plain, path: string, depth: number): AnswerShape {
  allow(schema, path, ['anyOf']);
  const options: unknown = schema.anyOf;
  if (!Array.isArray(options) || options.length === 0) throw optionError(`${path}.anyOf`, 'a list of schemas', options);
  const isNull = (option: unknown) => isPlainObject(option) && option.type === 'null' && Object.keys(option).length === 1;
  const rest = options.filter((option) => !isNull(option));
  if (rest.length === 1 && options.length === 2) {
    if (depth === 0) throw optionError(`${path}.anyOf`, 'null beside another schema only in the properties of an object', options);
    return { kind: 'nullable', of: jsonSchemaShape(rest[0], `${path}.anyOf`, depth + 1) };
  }
  const shapes = options.map((option, index) => jsonSchemaShape(option, `${path}.anyOf[${index}]`, depth + 1));
  const values = shapes.flatMap((shape): readonly (Scalar | undefined)[] => (shape.kind === 'choice' ? shape.values : [undefined]));
  if (values.includes(undefined)) throw optionError(`${path}.anyOf`, 'schemas with enum or const, or one schema and null', options);
  return choiceShape(`${path}.anyOf`, values);
}

function number(schema: Plain, path: string, whole: boolean): AnswerShape {
  const lows: Bound[] = [];
  const highs: Bound[] = [];
  for (const [keyword, bounds, inclusive] of [
    ['minimum', lows, true],
    ['exclusiveMinimum', lows, false],
    ['maximum', highs, true],
    ['exclusiveMaximum', highs, false],
  ] as const) {
    if (schema[keyword] !== undefined) bounds.push({ value: exact(`${path}.${keyword}`, schema[keyword], BOUNDS), inclusive });
  }
  const step = schema.multipleOf === undefined ? undefined : exact(`${path}.multipleOf`, schema.multipleOf, BOUNDS);
  return numberShape(path, { whole, step, lows, highs }, BOUNDS);
}

function size(schema: Plain, path: string, least: string, most: string, limit: number): { min: number; max: number } {
  for (const keyword of [least, most]) {
    const value = schema[keyword];
    if (value !== undefined && typeof value !== 'number') throw optionError(`${path}.${keyword}`, 'a whole number', value);
  }
  const max = (schema[most] as number | undefined) ?? Number.POSITIVE_INFINITY;
  return between(`${path}.${most}`, (schema[least] as number | undefined) ?? 0, max, limit, `${most} n`);
}

function object({ properties, required = [], additionalProperties = false }: Plain, path: string, depth: number): AnswerShape {
  if (!isPlainObject(properties)) throw optionError(`${path}.properties`, 'an object of schemas', properties);
  if (additionalProperties !== false) throw optionError(`${path}.additionalProperties`, 'false', additionalProperties);
  if (!Array.isArray(required)) throw optionError(`${path}.required`, 'a list of names', required);
  const stranger: unknown = required.find((name) => typeof name !== 'string' || !Object.hasOwn(properties, name));
  if (stranger !== undefined) throw optionError(`${path}.required`, `names out of ${Object.keys(properties).join(', ')}`, stranger);
  const fields = Object.entries(properties).map(([name, property]) => ({
    name,
    shape: jsonSchemaShape(property, `${path}.properties.${name}`, depth + 1),
    optional: !required.includes(name),
  }));
  return objectShape(`${path}.properties`, fields);
}
