/**
 * JSON Schemas as people write them leave texts, lists and numbers without an end; what is generated has one. A bound that is filled in allows less than
 * the schema does, so whatever keeps to it is valid by the schema too.
 */
import { Problem } from './problem.js';

type Schema = Record<string, unknown>;

/** Filled in where the schema says nothing; many texts share the characters that all may have together. */
export const DEFAULT_BOUNDS = { maxLength: 256, maxItems: 8, number: 1_000_000 };
const CHARACTERS = 1024;
const SHORTEST = 16;
const MOST_STEPS = 500;
/** Larger ones would keep the node from everything else while they are read. */
const MOST = { schemas: 128, properties: 32, values: 512, depth: 16 };

/** Throws a Problem for a schema that is too large to be looked at. */
export function withBounds(schema: Schema): Schema {
  const size = { schemas: 0, values: 0 };
  const texts = measure(schema, size, '', 0);
  return filled(schema, Math.max(SHORTEST, Math.min(DEFAULT_BOUNDS.maxLength, Math.floor(CHARACTERS / Math.max(1, texts)))));
}

/** How many texts without an end a value may have. */
function measure(schema: Schema, size: { schemas: number; values: number }, path: string, depth: number): number {
  const { properties, items, anyOf, enum: values } = schema;
  size.schemas++;
  if (Array.isArray(values)) size.values += values.length;
  const fields = isSchema(properties) ? Object.entries(properties) : [];
  const options = Array.isArray(anyOf) ? anyOf : [];
  if (fields.length > MOST.properties) throw tooLarge(`${path}.properties`, `at most ${MOST.properties} properties`);
  if (size.values > MOST.values) throw tooLarge(`${path}.enum`, `at most ${MOST.values} values in all`);
  if (size.schemas > MOST.schemas || options.length > MOST.schemas) throw tooLarge(path, `at most ${MOST.schemas} schemas in all`);
  if (depth > MOST.depth) throw tooLarge(path, `at most ${MOST.depth} levels`);
  const inner = (value: unknown, name: string) => (isSchema(value) ? measure(value, size, `${path}.${name}`, depth + 1) : 0);
  const { maxLength, maxItems } = schema;
  const own = isType(schema, 'string') && maxLength === undefined && values === undefined && schema.const === undefined ? 1 : 0;
  const inFields = fields.reduce((sum, [name, value]) => sum + inner(value, `properties.${name}`), 0);
  const inOptions = options.reduce((sum: number, value, index) => sum + inner(value, `anyOf[${index}]`), 0);
  return own + inFields + inOptions + inner(items, 'items') * (typeof maxItems === 'number' ? Math.max(1, maxItems) : DEFAULT_BOUNDS.maxItems);
}

function filled(schema: Schema, maxLength: number): Schema {
  const { default: _, ...rest } = schema; // says nothing about values
  const inner = (value: unknown) => (isSchema(value) ? filled(value, maxLength) : value);
  const whole: Schema = { ...rest };
  if (isSchema(rest.properties)) whole.properties = Object.fromEntries(Object.entries(rest.properties).map(([name, value]) => [name, inner(value)]));
  if (rest.items !== undefined) whole.items = inner(rest.items);
  if (Array.isArray(rest.anyOf)) whole.anyOf = rest.anyOf.map(inner);
  if (rest.enum !== undefined || rest.const !== undefined) return whole;
  return {
    ...boundsOf(whole, maxLength),
    ...whole,
    ...(isType(rest, 'object') && rest.additionalProperties === true ? { additionalProperties: false } : {}),
  };
}

function boundsOf(schema: Schema, maxLength: number): Schema {
  const { minLength, minItems } = schema;
  if (isType(schema, 'string')) return { maxLength: Math.max(maxLength, atLeast(minLength)) };
  if (isType(schema, 'array')) return { maxItems: Math.max(DEFAULT_BOUNDS.maxItems, atLeast(minItems)) };
  if (!isType(schema, 'integer') && !isType(schema, 'number')) return {};
  return numberBounds(schema);
}

/** Around zero, or from the other bound where that leaves nothing. Of odd steps only so many can be told apart. */
function numberBounds({ minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf }: Schema): Schema {
  const low = minimum ?? exclusiveMinimum;
  const high = maximum ?? exclusiveMaximum;
  const isOdd = typeof multipleOf === 'number' && multipleOf > 0 && !Number.isInteger(Math.log10(multipleOf));
  const most = isOdd ? MOST_STEPS * multipleOf : DEFAULT_BOUNDS.number;
  const beyond = (from: number, by: number) => Number((from + by).toPrecision(12));
  return {
    ...(low === undefined ? { minimum: typeof high === 'number' && (isOdd || high < -most) ? beyond(high, -most) : -most } : {}),
    ...(high === undefined ? { maximum: typeof low === 'number' && (isOdd || low > most) ? beyond(low, most) : most } : {}),
  };
}

function isType({ type }: Schema, name: string): boolean {
  return type === name || (Array.isArray(type) && type.includes(name));
}

function atLeast(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tooLarge(path: string, expected: string): Problem {
  const param = `response_format.json_schema.schema${path}`.slice(0, 200);
  return new Problem(400, `${param}: expected ${expected}`, { code: 'invalid_json_schema', param, mipha: { code: 'ERR_OPTION', retryable: false } });
}
