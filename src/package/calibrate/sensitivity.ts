/**
 * Second pass: what quantizing one matrix, or a whole recipe, does to the logits. Runs go over the original package, and a quantized matrix is taken
 * out of the candidate, whose weights are smoothed: its input is multiplied by the factors that the candidate's norms have taken up.
 */
import type { NativeStages, ProductOptions } from '../../addon/addon.js';
import type { Precision } from '../manifest.js';
import type { Factors } from './folded.js';
import type { Seen } from './ranges.js';
import { type Products, type Rows, relativeError, runStage, type Sample, type Stage } from './stages.js';

export interface Quantized {
  factors: Factors;
  seen: ReadonlyMap<string, Seen>;
}

/** Options of every product when the matrices of `recipe` are as it says and all others as in the original. */
export function productsOf(recipe: ReadonlyMap<string, Precision>, { factors, seen }: Quantized): Products {
  const products: Products = {};
  for (const [matrix, precision] of recipe) {
    if (precision === 'f16') continue;
    const factor = factors.get(matrix) as Float32Array;
    const scale = precision === 'w8a8' ? { scale: (seen.get(matrix) as Seen).inputScale } : {};
    products[matrix] = { factor, candidate: true, ...scale };
  }
  // V of a candidate comes out smoothed: what reads it must not be smoothed again, and an original must have it undone.
  for (const matrix of Object.keys(products).filter((name) => name.endsWith('.qkv'))) {
    const reader = matrix.replace(/qkv$/, matrix.startsWith('vision') ? 'out' : 'dense');
    const { factor, ...rest }: ProductOptions = products[reader] ?? {};
    products[reader] = factor === undefined ? { factor: (factors.get(reader) as Float32Array).map((value) => 1 / value) } : rest;
  }
  return products;
}

/** What enters each stage for a few samples, and the logits of the original. */
export interface Baseline {
  samples: Sample[];
  entering: Rows[][]; // [stage][sample]
  logits: Float32Array[];
}

export async function baselineOf(native: NativeStages, stages: Stage[], samples: Sample[], onStage: () => void): Promise<Baseline> {
  const entering: Rows[][] = [];
  let rows: Rows[] = samples.map(({ pixels }) => pixels);
  for (const stage of stages) {
    entering.push(rows);
    const next: Rows[] = [];
    for (const [i, sample] of samples.entries()) next.push(await runStage(native, stage, sample, rows[i] as Rows, {}));
    rows = next;
    onStage();
  }
  return { samples, entering, logits: rows as Float32Array[] };
}

/** Relative RMS error of the logits, all samples together. Only the stages from the first quantized one on are run. */
export async function logitsError(
  native: NativeStages,
  stages: Stage[],
  baseline: Baseline,
  products: Products,
  check: () => void = () => {},
): Promise<number> {
  const first = stages.findIndex(({ matrices }) => matrices.some((matrix) => matrix in products));
  if (first < 0) return 0;
  let squares = 0;
  for (const [i, sample] of baseline.samples.entries()) {
    let rows = baseline.entering[first]?.[i] as Rows;
    for (const stage of stages.slice(first)) {
      const own = Object.fromEntries(Object.entries(products).filter(([matrix]) => stage.matrices.includes(matrix)));
      rows = await runStage(native, stage, sample, rows, own);
      check();
    }
    squares += relativeError(rows as Float32Array, baseline.logits[i] as Float32Array) ** 2;
  }
  return Math.sqrt(squares / baseline.samples.length);
}
