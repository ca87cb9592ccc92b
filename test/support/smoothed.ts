/** A package smoothed by factors that no calibration would choose: all different, all powers of two. */
import { join } from 'node:path';
import { type Factors, foldedTensors } from '../../src/package/calibrate/folded.js';
import { smoothingGroups } from '../../src/package/calibrate/smoothing.js';
import { WEIGHTS_FILE } from '../../src/package/manifest.js';
import { writeManifest } from '../../src/package/output.js';
import { openSafetensors } from '../../src/package/safetensors.js';
import { readManifest } from '../../src/package/verify.js';
import { writeWeights } from '../../src/package/weights-writer.js';

/** Writes weights and manifest into the empty folder `out`; matrices in F32, for dividing FP16's smallest numbers would lose bits. */
export async function writeSmoothed(folder: string, out: string): Promise<Factors> {
  const manifest = await readManifest(folder);
  const groups = smoothingGroups(manifest.architecture);
  const factors: Factors = new Map();
  for (const [g, { matrices, columns, into }] of groups.entries()) {
    const rowOf = typeof into === 'object' && 'rows' in into ? into.rowOf : (column: number) => column;
    const factor = Float32Array.from({ length: columns }, (_, column) => 2 ** (((rowOf(column) * 5 + g) % 7) - 3));
    for (const matrix of matrices) factors.set(matrix, factor);
  }
  const file = await openSafetensors(join(folder, WEIGHTS_FILE));
  try {
    const tensors = foldedTensors(file, manifest, groups, factors).map((tensor) => ({ ...tensor, matrix: undefined }));
    const weights = await writeWeights(join(out, WEIGHTS_FILE), tensors, manifest.recipe);
    await writeManifest(out, { ...manifest, files: { [WEIGHTS_FILE]: weights } });
  } finally {
    await file.close();
  }
  return factors;
}
