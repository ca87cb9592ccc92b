/**
 * JSON Schemas as people write them leave texts, lists and numbers without an end; what is generated has one. A bound that is filled in allows less than
 * the schema does, so whatever keeps to it is valid by the schema too.
 */
type Schema = Record<string, unknown>;

/** Filled in where the schema says nothing. */
export const DEFAULT_BOUNDS = { maxLength: 256, maxItems: 8, number: 1_000_000 };
const MOST_STEPS = 500;
const DEEPEST = 32;

export function withBounds(schema: Schema, depth = 0): Schema {
  if (depth > DEEPEST) return schema; // refused by whoever reads it
  const { default: _, ...rest } = schema; // says nothing about values
  const inner = (value: unknown) => (isSchema(value) ? withBounds(value, depth + 1) : value);
  const filled: Schema = { ...rest };
  if (isSchema(rest.properties)) filled.properties = Object.fromEntries(Object.entries(rest.properties).map(([name, value]) => [name, inner(value)]));
  if (rest.items !== undefined) filled.items = inner(rest.items);
  if (Array.isArray(rest.anyOf)) filled.anyOf = rest.anyOf.map(inner);
  if (rest.enum !== undefined || rest.const !== undefined) return filled;
  return { ...boundsOf(filled), ...filled, ...(isType(rest, 'object') && rest.additionalProperties === true ? { additionalProperties: false } : {}) };
}

function boundsOf(schema: Schema): Schema {
  const { minLength, minItems } = schema;
  if (isType(schema, 'string')) return { maxLength: Math.max(DEFAULT_BOUNDS.maxLength, atLeast(minLength)) };
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
