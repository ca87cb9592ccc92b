/** What an answer may be, whatever it was written in: the kinds that decoding can guarantee. */

export type Scalar = string | number | boolean | null;

type ScalarShape =
  | { kind: 'boolean' }
  | { kind: 'choice'; values: readonly Scalar[] }
  /** Multiples of `step` / 10^decimals between the bounds; `low[j]`, `high[j]` in units of 10^-j. */
  | { kind: 'number'; decimals: number; step: bigint; low: readonly bigint[]; high: readonly bigint[] }
  /** min..max characters: code points. */
  | { kind: 'text'; min: number; max: number };

export interface Field {
  name: string;
  shape: AnswerShape;
  /** It may be left out. */
  optional: boolean;
}

/** What lists can hold. */
export type ItemShape = ScalarShape | { kind: 'object'; fields: readonly Field[] };

export type AnswerShape =
  | ScalarShape
  | { kind: 'object'; fields: readonly Field[] }
  /** min..max items. */
  | { kind: 'array'; of: ItemShape; min: number; max: number }
  /** Inside of objects only. */
  | { kind: 'nullable'; of: AnswerShape };

export const MAX_TEXT = 1000;
export const MAX_ITEMS = 64;
export const MAX_DECIMALS = 6;

/** Up to this many numbers are told apart as values; beyond it each spelling stands for itself. */
const MAX_LISTED = 1024;

type NumberShape = Extract<AnswerShape, { kind: 'number' }>;

/** Per value its decimal forms, shortest first ("0.5", "0.50"); undefined when there are too many values. Never for steps of more than one unit. */
export function listNumbers(shape: NumberShape): string[][] | undefined {
  const { decimals, step } = shape;
  const { first, many } = multiples(shape);
  if (many > BigInt(MAX_LISTED)) return undefined;
  return Array.from({ length: Number(many) }, (_, index) => {
    const value = first + BigInt(index) * step;
    const forms = Array.from({ length: decimals + 1 }, (_, j) => {
      const cut = 10n ** BigInt(decimals - j);
      return value % cut === 0n ? written(value / cut, j) : undefined;
    });
    return forms.filter((form) => form !== undefined);
  });
}

/** What keeps a number from being guaranteed: no multiple of the step between the bounds, or too many that are no powers of ten apart. */
export function numberProblem(shape: NumberShape): { expected: string; received: string } | undefined {
  const { many } = multiples(shape);
  if (many === 0n) return { expected: 'a multiple between the bounds', received: 'none' };
  if (many > BigInt(MAX_LISTED) && shape.step !== 1n)
    return { expected: `at most ${MAX_LISTED} multiples between the bounds`, received: String(many) };
  return undefined;
}

function multiples({ decimals, step, low, high }: NumberShape): { first: bigint; many: bigint } {
  const [least, most] = [low[decimals] as bigint, high[decimals] as bigint];
  const first = least + (((-least % step) + step) % step);
  return { first, many: most < first ? 0n : (most - first) / step + 1n };
}

/** units / 10^decimals with exactly that many decimals. */
export function written(units: bigint, decimals: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, '0');
  const cut = digits.length - decimals;
  return `${units < 0n ? '-' : ''}${digits.slice(0, cut)}${decimals > 0 ? `.${digits.slice(cut)}` : ''}`;
}
