/** Bounds and a step as a schema gives them → the numbers that can be written. */
import { type Bound, type Decimal, decimal, highest, lowest } from '../decimal.js';
import { optionError } from '../errors.js';
import { type AnswerShape, MAX_DECIMALS, numberProblem } from './shape.js';

/** Of numbers without a step. */
const DEFAULT_DECIMALS = 2;

export interface NumberRules {
  whole: boolean;
  step?: Decimal | undefined;
  lows: readonly Bound[];
  highs: readonly Bound[];
}

/** Throws ERR_OPTION; `bounds` is how the schema at hand writes them. */
export function numberShape(path: string, { whole, step, lows, highs }: NumberRules, bounds: string): AnswerShape {
  if (lows.length === 0 || highs.length === 0) throw optionError(path, `a number with both bounds: ${bounds}`, 'a number without');
  const decimals = whole ? 0 : (step?.decimals ?? DEFAULT_DECIMALS);
  if (decimals > MAX_DECIMALS || (step !== undefined && (step.decimals > decimals || step.digits <= 0n))) {
    throw optionError(path, `a multiple with at most ${whole ? 'no' : MAX_DECIMALS} decimals`, `${step?.digits} / 10^${step?.decimals}`);
  }
  const low = Array.from({ length: decimals + 1 }, (_, j) => lowest(lows, j));
  const high = Array.from({ length: decimals + 1 }, (_, j) => highest(highs, j));
  const [least, most] = [low[decimals] as bigint, high[decimals] as bigint];
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (least > most) throw optionError(path, 'bounds that a number can lie between', `nothing between them at ${decimals} decimals`);
  if (least < -limit || most > limit) throw optionError(path, `bounds within ±(2^53 - 1) / 10^${decimals}`, 'wider ones');
  const units = step === undefined ? 1n : step.digits * 10n ** BigInt(decimals - step.decimals);
  const shape = { kind: 'number' as const, decimals, step: units, low, high };
  const problem = numberProblem(shape);
  if (problem !== undefined) throw optionError(path, problem.expected, problem.received);
  return shape;
}

/** Throws ERR_OPTION for NaN, infinities and what is no number. */
export function exact(path: string, value: unknown, bounds: string): Decimal {
  const parsed = typeof value === 'number' ? decimal(value) : undefined;
  if (parsed === undefined) throw optionError(path, `a number with both bounds: ${bounds}`, `the bound ${String(value)}`);
  return parsed;
}
