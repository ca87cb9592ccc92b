/**
 * Second pass: what quantizing one matrix, or a whole recipe, does to the logits. Runs go over the original package, and a quantized matrix is taken
 * out of the candidate, whose weights are smoothed: its input is multiplied by the factors that the candidate's norms and rows have taken up.
 */
import type { NativeStages, ProductOptions } from '../../addon/addon.js';
import type { Precision } from '../manifest.js';
import type { Factors } from './folded.js';
import type { ObservedRange } from './ranges.js';
import type { SmoothingGroup } from './smoothing.js';
import { type Products, type Rows, relativeError, runStage, type Sample, type Stage } from './stages.js';

export interface Quantized {
  factors: Factors;
  seen: ReadonlyMap<string, ObservedRange>;
}

/** Options of every product when the matrices of `recipe` are as it says and all others as in the original. */
export function productsOf(recipe: ReadonlyMap<string, Precision>, { factors, seen }: Quantized, groups: SmoothingGroup[]): Products {
  const products: Products = {};
  for (const [matrix, precision] of recipe) {
    if (precision === 'f16') continue;
    const factor = factors.get(matrix) as Float32Array;
    const scale = precision === 'w8a8' ? { scale: (seen.get(matrix) as ObservedRange).inputScale } : {};
    products[matrix] = { factor, candidate: true, ...scale };
  }
  // Rows of a candidate come out smoothed: what reads them must not be smoothed again, and an original must have it undone.
  for (const { matrices, into } of groups) {
    if (into === 'input' || !('rows' in into) || products[into.rows] === undefined) continue;
    const reader = matrices[0] as string;
    const { factor, ...rest }: ProductOptions = products[reader] ?? {};
    products[reader] = factor === undefined ? { factor: (factors.get(reader) as Float32Array).map((value) => 1 / value) } : rest;
  }
  return products;
}

/** A few samples with the logits of the original. Holds what enters one stage, the last that was asked for: asked in order, every stage is run once. */
export class Baseline {
  #stage = 0;
  #rows: Rows[];

  private constructor(
    readonly native: NativeStages,
    readonly stages: Stage[],
    readonly samples: Sample[],
    readonly logits: Float32Array[],
  ) {
    this.#rows = samples.map(({ pixels }) => pixels);
  }

  static async of(native: NativeStages, stages: Stage[], samples: Sample[], onRun: () => void): Promise<Baseline> {
    const logits: Float32Array[] = [];
    for (const sample of samples) {
      let rows: Rows = sample.pixels;
      for (const stage of stages) {
        rows = await runStage(native, stage, sample, rows, {});
        onRun();
      }
      logits.push(rows as Float32Array);
    }
    return new Baseline(native, stages, samples, logits);
  }

  /** What enters `stage`, one entry for each sample. */
  async entering(stage: number, onRun: () => void): Promise<Rows[]> {
    if (stage < this.#stage) {
      this.#stage = 0;
      this.#rows = this.samples.map(({ pixels }) => pixels);
    }
    for (; this.#stage < stage; this.#stage++) {
      const rows: Rows[] = [];
      for (const [i, sample] of this.samples.entries()) {
        rows.push(await runStage(this.native, this.stages[this.#stage] as Stage, sample, this.#rows[i] as Rows, {}));
        onRun();
      }
      this.#rows = rows;
    }
    return this.#rows;
  }
}

/** Relative RMS error of the logits, all samples together. Only the stages from the first quantized one on are run. */
export async function logitsError(baseline: Baseline, products: Products, onRun: () => void = () => {}): Promise<number> {
  const { native, stages, samples, logits } = baseline;
  const first = stages.findIndex(({ matrices }) => matrices.some((matrix) => matrix in products));
  if (first < 0) return 0;
  const entering = await baseline.entering(first, onRun);
  let squares = 0;
  for (const [i, sample] of samples.entries()) {
    let rows = entering[i] as Rows;
    for (const stage of stages.slice(first)) {
      const own = Object.fromEntries(Object.entries(products).filter(([matrix]) => stage.matrices.includes(matrix)));
      rows = await runStage(native, stage, sample, rows, own);
      onRun();
    }
    squares += relativeError(rows as Float32Array, logits[i] as Float32Array) ** 2;
  }
  return Math.sqrt(squares / samples.length);
}
