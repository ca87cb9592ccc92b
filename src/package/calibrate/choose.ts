/** From the error of each matrix alone to a recipe within the budget: the most harmful ones are kept wide, and the whole is measured again. */
import { optionError } from '../../errors.js';
import type { Precision } from '../manifest.js';

/** Relative RMS error of the logits with these matrices quantized as said and all others as they were. */
export type Measure = (recipe: ReadonlyMap<string, Precision>) => Promise<number>;

export interface Chosen {
  recipe: Map<string, Precision>;
  error: number;
  alone: Map<string, number>; // error of each matrix alone in w8a8; empty when none had to be kept wide
  why: Map<string, string>;
}

export interface ChooseOptions {
  budget: number;
  /** True where the original holds the matrix in a float type, so that keeping it as it was gains something over INT8 weights. */
  isFloat: (matrix: string) => boolean;
  /** Of one matrix alone in w8a8. */
  alone: (matrix: string) => Promise<number>;
}

/** Throws ERR_OPTION when even the widest recipe has a larger error than the budget. */
export async function chooseRecipe(matrices: string[], measure: Measure, { budget, isFloat, alone }: ChooseOptions): Promise<Chosen> {
  const recipe = new Map<string, Precision>(matrices.map((matrix) => [matrix, 'w8a8']));
  const chosen: Chosen = { recipe, error: await measure(recipe), alone: new Map(), why: new Map() };
  if (chosen.error <= budget) return chosen;

  for (const matrix of matrices) chosen.alone.set(matrix, await alone(matrix));
  const worst = [...chosen.alone].sort(([, a], [, b]) => b - a);
  while (chosen.error > budget) {
    const wider = widen(worst, chosen, budget, isFloat);
    if (wider === 0) throw optionError('budget', `at least ${chosen.error.toPrecision(3)}, the error with every matrix wide`, budget);
    chosen.error = await measure(recipe);
  }
  return chosen;
}

/**
 * Errors of single matrices add up like independent noise, Σ e², up to a factor that the last measurement tells. Moves as many as that estimate
 * asks for, at least one: first inputs (w8a16), then, where all inputs are wide and the original has better, weights (f16). Returns how many.
 */
function widen(worst: [string, number][], { recipe, error, why }: Chosen, budget: number, isFloat: (matrix: string) => boolean): number {
  const narrow = worst.filter(([matrix]) => recipe.get(matrix) === 'w8a8');
  if (narrow.length === 0) return widenWeights(worst, recipe, why, isFloat);
  const squares = (entries: [string, number][]) => entries.reduce((sum, [, e]) => sum + e * e, 0);
  const factor = error ** 2 / Math.max(squares(narrow), Number.MIN_VALUE);
  let moved = 0;
  while (moved < narrow.length && (moved === 0 || factor * squares(narrow.slice(moved)) > budget ** 2)) {
    const [matrix, alone] = narrow[moved] as [string, number];
    recipe.set(matrix, 'w8a16');
    why.set(matrix, `alone it moves the logits by ${(100 * alone).toPrecision(2)} %`);
    moved++;
  }
  return moved;
}

function widenWeights(
  worst: [string, number][],
  recipe: Map<string, Precision>,
  why: Map<string, string>,
  isFloat: (matrix: string) => boolean,
): number {
  const candidates = worst.filter(([matrix]) => recipe.get(matrix) === 'w8a16' && isFloat(matrix));
  const next = candidates.slice(0, Math.ceil(candidates.length / 4)); // what weights alone do was not measured: a quarter at a time
  for (const [matrix, alone] of next) {
    recipe.set(matrix, 'f16');
    why.set(matrix, `alone it moves the logits by ${(100 * alone).toPrecision(2)} %, and 8-bit weights are not enough`);
  }
  return next.length;
}
