/** What a zod schema asks for, reduced to the kinds of answer that can be guaranteed. */
import type { Bound, Decimal } from '../decimal.js';
import { optionError } from '../errors.js';
import { isWellFormed } from '../spelling.js';
import { exact, numberShape } from './number-shape.js';
import { type AnswerShape, type Field, type ItemShape, MAX_ITEMS, MAX_TEXT, type Scalar } from './shape.js';

export const SUPPORTED =
  'z.boolean(), z.enum(), z.literal() or a union of those two, z.int() or z.number() with .min() and .max(), z.string().max(n), z.array() of these ' +
  'and of objects with .max(n), or z.object() of these, optional and nullable ones too; without refinements';

const MAX_DEPTH = 32;
const BOUNDS = '.min(a).max(b)';

interface Check {
  check: string;
  value?: unknown;
  inclusive?: boolean;
  format?: string;
  maximum?: number;
  minimum?: number;
  length?: number;
}

interface Definition extends Check {
  type: string;
  checks?: { _zod: { def: Check } }[];
  shape?: Record<string, unknown>;
  element?: unknown;
  innerType?: unknown;
  options?: readonly unknown[];
}

interface Internals {
  def: Definition;
  values?: Set<unknown>;
}

export function isZod(schema: unknown): boolean {
  return (schema as { _zod?: unknown } | null | undefined)?._zod !== undefined;
}

/** Throws ERR_OPTION that names the part of the schema and what is supported. `path` is where the schema stands, e.g. "as.colour". */
export function shapeOf(schema: unknown, path = 'as', depth = 0): AnswerShape {
  checkDepth(path, depth);
  const { def, values } = internals(schema, path);
  const checks = checksOf(def);
  switch (def.type) {
    case 'boolean':
      refuseChecks(path, checks);
      return { kind: 'boolean' };
    case 'enum':
    case 'literal':
      refuseChecks(path, checks);
      return choiceShape(path, [...(values ?? [])]);
    case 'union':
      refuseChecks(path, checks);
      return choiceShape(
        path,
        (def.options ?? []).flatMap((option) => literalValues(option, path)),
      );
    case 'number':
      return numberOf(path, checks);
    case 'string':
      return textOf(path, checks);
    case 'array': {
      const of = shapeOf(def.element, `${path}[]`, depth + 1);
      return { kind: 'array', of: item(of, `${path}[]`), ...lengths(path, checks, MAX_ITEMS, 'z.array() with .max(n)') };
    }
    case 'object': {
      refuseChecks(path, checks);
      return objectShape(
        path,
        Object.entries(def.shape ?? {}).map(([name, field]) => fieldOf(name, field, `${path}.${name}`, depth + 1)),
      );
    }
    default:
      throw optionError(path, SUPPORTED, `z.${def.type}()`);
  }
}

/** Throws ERR_OPTION for a schema that holds itself, or nearly. */
export function checkDepth(path: string, depth: number): void {
  if (depth > MAX_DEPTH) throw optionError(path.slice(0, 60), `a schema of at most ${MAX_DEPTH} levels`, 'a deeper one');
}

/** Throws ERR_OPTION unless all can be written and told apart. */
export function choiceShape(path: string, values: readonly unknown[]): AnswerShape {
  const fits = (value: unknown) => typeof value === 'string' || typeof value === 'boolean' || value === null || Number.isFinite(value);
  const strange = values.find((value) => !fits(value));
  if (values.length === 0 || strange !== undefined) throw optionError(path, 'strings, numbers, booleans or null as values', String(strange));
  const broken = values.find((value) => typeof value === 'string' && !isWellFormed(value));
  if (broken !== undefined) throw optionError(path, 'values of whole characters', `half of a surrogate pair in ${JSON.stringify(broken)}`);
  return { kind: 'choice', values: [...new Set(values)] as Scalar[] };
}

/** Throws ERR_OPTION unless there is a field, and every name can be written. */
export function objectShape(path: string, fields: readonly Field[]): AnswerShape {
  if (fields.length === 0) throw optionError(path, 'an object with at least one field', 'one without');
  const broken = fields.find(({ name }) => !isWellFormed(name));
  if (broken !== undefined) throw optionError(path, 'names of whole characters', `half of a surrogate pair in ${JSON.stringify(broken.name)}`);
  return { kind: 'object', fields };
}

/** Throws ERR_OPTION unless lists can hold it. */
export function item(shape: AnswerShape, path: string): ItemShape {
  if (shape.kind === 'array' || shape.kind === 'nullable') throw optionError(path, 'a scalar or an object as the items of a list', shape.kind);
  return shape;
}

function internals(schema: unknown, path: string): Internals {
  if (!isZod(schema)) throw optionError(path, `a zod 4 schema: ${SUPPORTED}`, schema);
  return (schema as { _zod: Internals })._zod;
}

function checksOf(def: Definition): Check[] {
  return [...(def.check === undefined ? [] : [def]), ...(def.checks ?? []).map((check) => check._zod.def)];
}

function refuseChecks(path: string, checks: readonly Check[]): void {
  const first = checks[0];
  if (first !== undefined) throw optionError(path, SUPPORTED, `a check of kind ${first.check}`);
}

function literalValues(schema: unknown, path: string): unknown[] {
  const { def, values } = internals(schema, path);
  if (def.type !== 'literal' && def.type !== 'enum')
    throw optionError(path, `unions of z.literal() and z.enum() only; else ${SUPPORTED}`, `z.${def.type}()`);
  refuseChecks(path, checksOf(def));
  return [...(values ?? [])];
}

/** Optional and nullable are taken off, in whatever order they stand. */
function fieldOf(name: string, schema: unknown, path: string, depth: number): Field {
  let [optional, nullable] = [false, false];
  let inner = schema;
  for (;;) {
    const { def } = internals(inner, path);
    if (def.type !== 'optional' && def.type !== 'nullable') break;
    refuseChecks(path, checksOf(def));
    if (def.type === 'optional') optional = true;
    else nullable = true;
    inner = def.innerType;
  }
  const shape = shapeOf(inner, path, depth);
  return { name, optional, shape: nullable ? { kind: 'nullable', of: shape } : shape };
}

function numberOf(path: string, checks: readonly Check[]): AnswerShape {
  let whole = false;
  let step: Decimal | undefined;
  const lows: Bound[] = [];
  const highs: Bound[] = [];
  for (const { check, format, value, inclusive = false } of checks) {
    if (check === 'number_format' && format?.includes('int')) whole = true;
    else if (check === 'multiple_of' && step === undefined) step = exact(path, value, BOUNDS);
    else if (check === 'greater_than') lows.push({ value: exact(path, value, BOUNDS), inclusive });
    else if (check === 'less_than') highs.push({ value: exact(path, value, BOUNDS), inclusive });
    else throw optionError(path, SUPPORTED, `a check of kind ${format ?? check}`);
  }
  return numberShape(path, { whole, step, lows, highs }, BOUNDS);
}

function textOf(path: string, checks: readonly Check[]): AnswerShape {
  return { kind: 'text', ...lengths(path, checks, MAX_TEXT, 'a string with .max(n)') };
}

function lengths(path: string, checks: readonly Check[], limit: number, what: string): { min: number; max: number } {
  let min = 0;
  let max = Number.POSITIVE_INFINITY;
  for (const check of checks) {
    const length = Number(check.length);
    if (check.check === 'max_length') max = Math.min(max, Math.floor(Number(check.maximum)));
    else if (check.check === 'min_length') min = Math.max(min, Math.ceil(Number(check.minimum)));
    else if (check.check === 'length_equals') [min, max] = [Math.max(min, length), Math.min(max, length)];
    else throw optionError(path, SUPPORTED, `a check of kind ${check.format ?? check.check}`);
  }
  return between(path, min, max, limit, what);
}

/** Throws ERR_OPTION unless whole numbers with 1 <= max <= limit and min <= max. */
export function between(path: string, min: number, max: number, limit: number, what: string): { min: number; max: number } {
  if (Number.isInteger(max) && max >= 1 && max <= limit && Number.isInteger(min) && min >= 0 && min <= max) return { min, max };
  throw optionError(path, `${what}, n from 1 to ${limit}`, max === Number.POSITIVE_INFINITY ? 'one without' : `${min}..${max}`);
}
