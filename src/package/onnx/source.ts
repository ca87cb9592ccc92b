/** What a graph is written from: a calibrated package with its small tensors in memory and the places of its matrices in the file. */
import { join } from 'node:path';
import { MiphaError } from '../../errors.js';
import { CALIBRATION_FILE, type Calibration, calibrationSchema } from '../calibration.js';
import { readText } from '../checkpoint.js';
import { toFloat32 } from '../floats.js';
import { formatError, parseJson } from '../format.js';
import { MANIFEST_FILE, type Manifest, type Precision, parseManifest, WEIGHTS_FILE } from '../manifest.js';
import { openSafetensors, type SafetensorsFile } from '../safetensors.js';
import type { External } from './graph.js';

export interface GraphSource {
  folder: string;
  manifest: Manifest;
  manifestText: string;
  calibration: Calibration;
  calibrationText: string;
  /** An F32 tensor or the patch embedding, whole, as f32. Throws ERR_MODEL_FORMAT when there is none. */
  floats(name: string): Float32Array;
  has(name: string): boolean;
  /** Where a matrix lies in weights.safetensors. */
  place(name: string): External & { dtype: 'I8' | 'F16' };
  precision(matrix: string): Precision;
}

const KEPT_WIDE = 'vision.patch_embedding.weight'; // small enough to stand in the graph

/** Throws ERR_MODEL_MISSING when the package was not calibrated. */
export async function openGraphSource(folder: string): Promise<GraphSource> {
  const manifestText = await readText(join(folder, MANIFEST_FILE));
  const manifest = parseManifest(join(folder, MANIFEST_FILE), manifestText);
  if (!(CALIBRATION_FILE in manifest.files)) {
    throw new MiphaError('ERR_MODEL_MISSING', `${folder}: the package is not calibrated; mipha calibrate makes one that is`, {
      details: { path: join(folder, CALIBRATION_FILE) },
    });
  }
  const calibrationText = await readText(join(folder, CALIBRATION_FILE));
  const calibration = parseJson(join(folder, CALIBRATION_FILE), calibrationText, calibrationSchema);
  const file = await openSafetensors(join(folder, WEIGHTS_FILE));
  try {
    const small = await readSmall(file);
    return {
      folder,
      manifest,
      manifestText,
      calibration,
      calibrationText,
      has: (name) => file.tensors.has(name),
      floats(name) {
        const values = small.get(name);
        if (values === undefined) throw formatError(`${file.path}: ${name}`, 'an F32 tensor', file.tensors.get(name)?.dtype);
        return values;
      },
      place(name) {
        const entry = file.tensors.get(name);
        if (entry?.dtype !== 'I8' && entry?.dtype !== 'F16') throw formatError(`${file.path}: ${name}`, 'an I8 or F16 matrix', entry?.dtype);
        return { location: WEIGHTS_FILE, offset: entry.offset, length: entry.bytes, dtype: entry.dtype };
      },
      precision(matrix) {
        const precision = manifest.recipe[matrix];
        if (precision === undefined) throw formatError(`${folder}: recipe`, `an entry ${matrix}`, Object.keys(manifest.recipe).length);
        return precision;
      },
    };
  } finally {
    await file.close();
  }
}

async function readSmall(file: SafetensorsFile): Promise<Map<string, Float32Array>> {
  const small = new Map<string, Float32Array>();
  for (const [name, { dtype, offset, bytes }] of file.tensors) {
    if (dtype !== 'F32' && name !== KEPT_WIDE) continue;
    const data = new Uint8Array(bytes);
    await file.read(offset, data);
    small.set(name, toFloat32(data, dtype === 'F32' ? 'F32' : 'F16'));
  }
  return small;
}
