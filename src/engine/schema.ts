/** What a zod schema asks for, reduced to the kinds of answer that can be guaranteed. */
import type { z } from 'zod';
import { type MiphaError, optionError } from '../errors.js';
import { type Bound, type Decimal, decimal, highest, lowest } from './decimal.js';

export type AnswerShape =
  | { kind: 'boolean' }
  | { kind: 'choice'; values: readonly (string | number | boolean | null)[] }
  /** Multiples of `step` / 10^decimals between the bounds; `low[j]`, `high[j]` in units of 10^-j. */
  | { kind: 'number'; decimals: number; step: bigint; low: bigint[]; high: bigint[] }
  | { kind: 'text'; min: number; max: number }
  | { kind: 'object'; fields: readonly (readonly [string, AnswerShape])[] };

export const SUPPORTED =
  'z.boolean(), z.enum(), z.literal(), z.int() or z.number() with .min() and .max(), z.string().max(n), or z.object() of these, without refinements';

const MAX_TEXT = 1000;
const MAX_DECIMALS = 6;
const DEFAULT_DECIMALS = 2;

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
  shape?: Record<string, z.ZodType>;
  coerce?: boolean;
}

/** Throws ERR_OPTION that names the part of the schema and what is supported. `path` is where the schema stands, e.g. "as.colour". */
export function shapeOf(schema: unknown, path = 'as'): AnswerShape {
  const internals = (schema as { _zod?: { def: Definition; values?: Set<unknown> } } | null | undefined)?._zod;
  if (internals === undefined) throw optionError(path, `a zod 4 schema: ${SUPPORTED}`, schema);
  const { def } = internals;
  const checks = [...(def.check === undefined ? [] : [def]), ...(def.checks ?? []).map((check) => check._zod.def)];
  switch (def.type) {
    case 'boolean':
      refuseChecks(path, checks);
      return { kind: 'boolean' };
    case 'enum':
    case 'literal': {
      refuseChecks(path, checks);
      const values = [...(internals.values ?? [])];
      const fits = (value: unknown) => typeof value === 'string' || typeof value === 'boolean' || value === null || Number.isFinite(value);
      if (values.length === 0 || !values.every(fits)) throw unsupported(path, 'strings, numbers, booleans or null as values', String(values[0]));
      return { kind: 'choice', values: values as (string | number | boolean | null)[] };
    }
    case 'number':
      return numberShape(path, checks);
    case 'string':
      return textShape(path, checks);
    case 'object': {
      refuseChecks(path, checks);
      const fields = Object.entries(def.shape ?? {}).map(([name, field]) => [name, shapeOf(field, `${path}.${name}`)] as const);
      if (fields.length === 0) throw unsupported(path, 'an object with at least one field', 'z.object({})');
      return { kind: 'object', fields };
    }
    default:
      throw unsupported(path, SUPPORTED, `z.${def.type}()`);
  }
}

function unsupported(path: string, expected: string, received: string): MiphaError {
  return optionError(path, expected, received);
}

function refuseChecks(path: string, checks: readonly Check[]): void {
  const first = checks[0];
  if (first !== undefined) throw unsupported(path, SUPPORTED, `a check of kind ${first.check}`);
}

function numberShape(path: string, checks: readonly Check[]): AnswerShape {
  let whole = false;
  let step: Decimal | undefined;
  const lows: Bound[] = [];
  const highs: Bound[] = [];
  const exact = (value: unknown) => {
    const parsed = decimal(Number(value));
    if (parsed === undefined) throw unsupported(path, 'a number with both bounds: .min(a).max(b)', `the bound ${value}`);
    return parsed;
  };
  for (const { check, format, value, inclusive = false } of checks) {
    if (check === 'number_format' && format?.includes('int')) whole = true;
    else if (check === 'multiple_of' && step === undefined) step = exact(value);
    else if (check === 'greater_than') lows.push({ value: exact(value), inclusive });
    else if (check === 'less_than') highs.push({ value: exact(value), inclusive });
    else throw unsupported(path, SUPPORTED, `a check of kind ${format ?? check}`);
  }
  if (lows.length === 0 || highs.length === 0) throw unsupported(path, 'a number with both bounds: .min(a).max(b)', 'a number without');
  const decimals = whole ? 0 : (step?.decimals ?? DEFAULT_DECIMALS);
  if (decimals > MAX_DECIMALS || (step !== undefined && (step.decimals > decimals || step.digits <= 0n))) {
    throw unsupported(path, `a multiple with at most ${whole ? 'no' : MAX_DECIMALS} decimals`, `${step?.digits} / 10^${step?.decimals}`);
  }
  const low = Array.from({ length: decimals + 1 }, (_, j) => lowest(lows, j));
  const high = Array.from({ length: decimals + 1 }, (_, j) => highest(highs, j));
  const [least, most] = [low[decimals] as bigint, high[decimals] as bigint];
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (least > most) throw unsupported(path, 'bounds that a number can lie between', `nothing between them at ${decimals} decimals`);
  if (least < -limit || most > limit) throw unsupported(path, `bounds within ±(2^53 - 1) / 10^${decimals}`, 'wider ones');
  const units = step === undefined ? 1n : step.digits * 10n ** BigInt(decimals - step.decimals);
  return { kind: 'number', decimals, step: units, low, high };
}

function textShape(path: string, checks: readonly Check[]): AnswerShape {
  let min = 0;
  let max = Number.POSITIVE_INFINITY;
  for (const check of checks) {
    if (check.check === 'max_length') max = Math.min(max, Number(check.maximum));
    else if (check.check === 'min_length') min = Math.max(min, Number(check.minimum));
    else if (check.check === 'length_equals') [min, max] = [Number(check.length), Number(check.length)];
    else throw unsupported(path, SUPPORTED, `a check of kind ${check.format ?? check.check}`);
  }
  if (!(max >= 1 && max <= MAX_TEXT && min <= max)) {
    throw unsupported(
      path,
      `a string with .max(n), n from 1 to ${MAX_TEXT}`,
      max === Number.POSITIVE_INFINITY ? 'a string without' : `${min}..${max}`,
    );
  }
  return { kind: 'text', min, max };
}
