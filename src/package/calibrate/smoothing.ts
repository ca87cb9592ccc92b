/**
 * SmoothQuant (arXiv 2211.10438) with powers of two: a column of the input is made smaller and the column of the weights that reads it larger by the
 * same factor, so that not one bit of the FP32 function changes, and outliers of single columns no longer take all the steps of INT8.
 */
import type { Architecture } from '../manifest.js';

/** Matrices that read one input, and where the factor of that input goes. */
export interface SmoothingGroup {
  matrices: string[];
  columns: number;
  /** `norm`: into gain and bias of that LayerNorm. `values`: into the V rows of that fused matrix. `input`: nowhere; the input is multiplied. */
  into: { norm: string } | { values: string } | 'input';
}

const LARGEST_EXPONENT = 12;

export function smoothingGroups({ vision, projector, language }: Architecture): SmoothingGroup[] {
  const groups: SmoothingGroup[] = [];
  for (let layer = 0; layer < vision.layers; layer++) {
    const name = `vision.layers.${layer}`;
    groups.push({ matrices: [`${name}.qkv`], columns: vision.hidden, into: { norm: `${name}.norm1` } });
    groups.push({ matrices: [`${name}.out`], columns: vision.hidden, into: { values: `${name}.qkv` } });
    groups.push({ matrices: [`${name}.fc1`], columns: vision.hidden, into: { norm: `${name}.norm2` } });
    groups.push({ matrices: [`${name}.fc2`], columns: vision.intermediate, into: 'input' });
  }
  for (let i = 0; i < projector.layers; i++) {
    groups.push({ matrices: [`projector.${i}`], columns: i === 0 ? vision.hidden : language.hidden, into: 'input' });
  }
  for (let layer = 0; layer < language.layers; layer++) {
    const name = `language.layers.${layer}`;
    groups.push({ matrices: [`${name}.qkv`, `${name}.fc1`], columns: language.hidden, into: { norm: `${name}.norm` } });
    groups.push({ matrices: [`${name}.dense`], columns: language.hidden, into: { values: `${name}.qkv` } });
    groups.push({ matrices: [`${name}.fc2`], columns: language.intermediate, into: 'input' });
  }
  groups.push({ matrices: ['language.head'], columns: language.hidden, into: { norm: 'language.final_norm' } });
  return groups;
}

/**
 * The factor of each column of the input: the power of two nearest to √(largest weight / largest input), which leaves both equally large (α = 0.5).
 * 1 where a column of either is all zero.
 */
export function factorsOf(inputs: Float32Array, weights: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(inputs, (input, column) => {
    const weight = weights[column] as number;
    if (!(input > 0) || !(weight > 0)) return 1;
    const exponent = Math.round(Math.log2(weight / input) / 2);
    return 2 ** Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, exponent));
  });
}
