/** First pass: every stage over every sample, unchanged, while the inputs of its products are watched; from that smoothing and scales of each matrix. */
import type { NativeStages } from '../../addon/addon.js';
import type { SafetensorsFile } from '../safetensors.js';
import { type Factors, largestOfColumns } from './folded.js';
import { BINS, type Range, rangeOf } from './magnitudes.js';
import { factorsOf, type SmoothingGroup, together } from './smoothing.js';
import { type Products, type Rows, runStage, type Sample, type Stage } from './stages.js';

export interface ObservedRange extends Range {
  largest: number; // of the input before smoothing
}

export interface RangeResult {
  factors: Factors;
  seen: Map<string, ObservedRange>;
}

/** Moves `rows` (one entry for each sample) over the stage, and adds what was seen to `result`. */
export async function observeStage(
  native: NativeStages,
  file: SafetensorsFile,
  stage: Stage,
  groups: SmoothingGroup[],
  samples: Sample[],
  rows: Rows[],
  result: RangeResult,
  { smooth, onSample }: { smooth: boolean; onSample: () => void },
): Promise<void> {
  const watched = groups.filter(({ matrices }) => stage.matrices.includes(matrices[0] as string));
  const watches = watched.map((group) => ({
    group,
    largest: new Float32Array(group.columns),
    magnitudes: new Uint32Array(group.columns * BINS),
  }));
  // Matrices of one group read the same rows: the first is watched for all.
  const products: Products = Object.fromEntries(watches.map(({ group, largest, magnitudes }) => [group.matrices[0], { largest, magnitudes }]));
  for (const [i, sample] of samples.entries()) {
    rows[i] = await runStage(native, stage, sample, rows[i] as Rows, products);
    onSample();
  }
  for (const { group, largest, magnitudes } of watches) {
    const weights = await Promise.all(group.matrices.map((matrix) => largestOfColumns(file, matrix)));
    const widest = (weights[0] as Float32Array).map((value, column) => Math.max(value, ...weights.map((other) => other[column] as number)));
    const factors = smooth ? factorsOf(together(largest, group), together(widest, group)) : new Float32Array(largest.length).fill(1);
    const range = rangeOf(magnitudes, largest, factors);
    for (const matrix of group.matrices) {
      result.factors.set(matrix, factors);
      result.seen.set(matrix, { ...range, largest: largest.reduce((most, value) => Math.max(most, value), 0) });
    }
  }
}
