/** Outliers as in real Phi-2, planted by a rescale that keeps the function: some channels of an input × k, the columns that read them ÷ k. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Factors, foldedTensors } from '../../src/package/calibrate/folded.js';
import { smoothingGroups } from '../../src/package/calibrate/smoothing.js';
import { GOLDEN_FILE, WEIGHTS_FILE } from '../../src/package/manifest.js';
import { writeManifest } from '../../src/package/output.js';
import { openSafetensors } from '../../src/package/safetensors.js';
import { readManifest } from '../../src/package/verify.js';
import { writeWeights } from '../../src/package/weights-writer.js';

/** Copies a package whose matrices are all F16, with every `each`th channel of every input `factor` times (a power of two) as large. */
export async function plantOutliers(folder: string, out: string, factor: number, each: number): Promise<void> {
  const manifest = await readManifest(folder);
  cpSync(folder, out, { recursive: true });
  const groups = smoothingGroups(manifest.architecture);
  const factors: Factors = new Map();
  for (const [g, { matrices, columns }] of groups.entries()) {
    const planted = Float32Array.from({ length: columns }, (_, column) => ((column + 7 * g) % each === 0 ? factor : 1));
    for (const matrix of matrices) factors.set(matrix, planted);
  }
  const file = await openSafetensors(join(folder, WEIGHTS_FILE));
  try {
    rmSync(join(out, WEIGHTS_FILE));
    const tensors = foldedTensors(file, manifest, groups, factors);
    manifest.files[WEIGHTS_FILE] = await writeWeights(join(out, WEIGHTS_FILE), tensors, manifest.recipe);
  } finally {
    await file.close();
  }
  delete manifest.files[GOLDEN_FILE];
  await writeManifest(out, manifest);
}
