/**
 * The recipe: how each matrix is stored and multiplied. `w8a8`: INT8 weights and inputs; `w8a16`: INT8 weights, wide inputs; `f16`: both wide.
 * Everything that is no matrix (biases, norms, position embedding, smoothing) is F32.
 */
import { nearestKey, optionError } from '../errors.js';
import { type Precision, precisionSchema } from './manifest.js';
import type { TensorSpec } from './safetensors.js';
import type { CanonicalTensor } from './tensors.js';

export type Recipe = Record<string, Precision>;

// Reads raw pixels, is 0.02 % of the weights, and every later layer lives on it.
const KEPT_WIDE = 'vision.patch_embedding';

/** Every matrix of the model with its precision; `changes` overrides the usual one. Throws ERR_OPTION for a matrix the model does not have. */
export function completeRecipe(tensors: { matrix: string | undefined }[], changes: Recipe = {}, usual: Precision = 'w8a8'): Recipe {
  const matrices = tensors.flatMap(({ matrix }) => (matrix === undefined ? [] : [matrix]));
  for (const [matrix, precision] of Object.entries(changes)) {
    if (!matrices.includes(matrix)) throw optionError('recipe', 'a matrix of the model', matrix, nearestKey(matrix, matrices));
    if (!precisionSchema.options.includes(precision)) throw optionError(`recipe.${matrix}`, precisionSchema.options.join(' or '), precision);
    if (matrix === KEPT_WIDE && precision !== 'f16') throw optionError(`recipe.${matrix}`, 'f16', precision);
  }
  return Object.fromEntries(matrices.map((matrix) => [matrix, changes[matrix] ?? (matrix === KEPT_WIDE ? 'f16' : usual)]));
}

/** What is written for a canonical tensor: itself, and the scales of an INT8 matrix. */
export function storedSpecs<T extends Pick<CanonicalTensor, 'name' | 'matrix' | 'shape' | 'rows'>>(tensor: T, recipe: Recipe): TensorSpec[] {
  const { name, matrix, shape, rows } = tensor;
  if (matrix === undefined) return [{ name, dtype: 'F32', shape }];
  if (recipe[matrix] === 'f16') return [{ name, dtype: 'F16', shape }];
  return [
    { name, dtype: 'I8', shape },
    { name: `${matrix}.scale`, dtype: 'F32', shape: [rows] },
  ];
}
