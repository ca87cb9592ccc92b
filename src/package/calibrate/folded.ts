/**
 * The tensors of a package with smoothing folded in, as sources that the weights writer can stream: norms and rows times the factor of the column
 * that they make, weights divided by the factor of the column that they read.
 */
import type { SourceTensor } from '../checkpoint.js';
import { allocate, toFloat32 } from '../floats.js';
import type { Manifest } from '../manifest.js';
import type { SafetensorsFile, TensorEntry } from '../safetensors.js';
import type { CanonicalTensor } from '../tensors.js';
import type { SmoothingGroup } from './smoothing.js';

/** Factors by the matrix that reads the input. */
export type Factors = Map<string, Float32Array<ArrayBuffer>>;

interface Fold {
  rows?: (row: number) => number; // factor of each row
  columns?: Float32Array; // divisor of each column
}

export function foldedTensors(file: SafetensorsFile, { recipe }: Manifest, groups: SmoothingGroup[], factors: Factors): CanonicalTensor[] {
  const ofRows = new Map<string, (row: number) => number>(); // by norm or matrix
  const explicit = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { matrices, into } of groups) {
    const factor = factors.get(matrices[0] as string);
    if (factor === undefined) continue;
    if (into === 'input') explicit.set(matrices[0] as string, factor);
    else if ('norm' in into) ofRows.set(into.norm, (row) => factor[row] as number);
    else ofRows.set(into.rows, rowFactors(factor, into.rowOf));
  }

  const tensors: CanonicalTensor[] = [];
  for (const [name, entry] of file.tensors) {
    const owner = name.slice(0, name.lastIndexOf('.'));
    if (name.endsWith('.scale') || name.endsWith('.smooth')) continue;
    const matrix = name.endsWith('.weight') && owner in recipe ? owner : undefined;
    const columns = matrix === undefined ? undefined : factors.get(matrix);
    const rows = ofRows.get(owner);
    const fold = { ...(rows === undefined ? {} : { rows }), ...(columns === undefined ? {} : { columns }) };
    tensors.push(canonical(name, matrix, entry.shape, packageSource(file, name, entry, fold)));
  }
  for (const [matrix, factor] of explicit)
    tensors.push(canonical(`${matrix}.smooth`, undefined, [factor.length], explicitSource(file, matrix, factor)));
  return tensors;
}

/** The factor of a row that makes columns, 1 for any other. */
function rowFactors(factor: Float32Array, rowOf: (column: number) => number): (row: number) => number {
  const ofRow = new Map([...factor].map((value, column) => [rowOf(column), value]));
  return (row) => ofRow.get(row) ?? 1;
}

function canonical(name: string, matrix: string | undefined, shape: number[], source: SourceTensor): CanonicalTensor {
  const rows = shape[0] as number;
  const columns = shape.slice(1).reduce((product, size) => product * size, 1);
  return { name, matrix, shape, rows, columns, runs: [{ source, firstRow: 0, rows }] };
}

/** A tensor of the package as f32, folded. */
function packageSource(file: SafetensorsFile, name: string, entry: TensorEntry, { rows, columns }: Fold): SourceTensor {
  const width = entry.shape.slice(1).reduce((product, size) => product * size, 1);
  return {
    name,
    dtype: 'F32',
    shape: entry.shape,
    async read(firstRow, count, into) {
      const values = await readRows(file, name, entry, width, firstRow, count);
      for (let row = 0, at = 0; row < count; row++) {
        const factor = rows === undefined ? 1 : rows(firstRow + row);
        for (let column = 0; column < width; column++, at++) {
          values[at] = ((values[at] as number) * factor) / (columns === undefined ? 1 : (columns[column] as number));
        }
      }
      into.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    },
  };
}

/** Rows [first, first + count) as f32, a copy. */
export async function readRows(
  file: SafetensorsFile,
  name: string,
  { dtype, offset, shape, bytes }: TensorEntry,
  width: number,
  first: number,
  count: number,
): Promise<Float32Array<ArrayBuffer>> {
  const rowBytes = bytes / (shape[0] as number);
  const raw = allocate(count * rowBytes);
  await file.read(offset + first * rowBytes, raw);
  if (dtype !== 'I8') return toFloat32(raw, dtype as 'F16' | 'F32');
  const scale = await readVector(file, name.replace(/weight$/, 'scale'), first, count);
  const quantized = new Int8Array(raw.buffer);
  const values = new Float32Array(quantized.length);
  for (let row = 0, at = 0; row < count; row++) {
    const factor = scale[row] as number;
    for (let column = 0; column < width; column++, at++) values[at] = (quantized[at] as number) * factor;
  }
  return values;
}

async function readVector(file: SafetensorsFile, name: string, first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
  const values = allocate(count * 4);
  await file.read((file.tensors.get(name)?.offset ?? 0) + first * 4, values);
  return toFloat32(values, 'F32');
}

/** What the input is multiplied by; a package that was calibrated before has such a vector already. */
function explicitSource(file: SafetensorsFile, matrix: string, factor: Float32Array): SourceTensor {
  const name = `${matrix}.smooth`;
  return {
    name,
    dtype: 'F32',
    shape: [factor.length],
    async read(firstRow, count, into) {
      const before = file.tensors.has(name) ? await readVector(file, name, firstRow, count) : new Float32Array(count).fill(1);
      const values = before.map((value, index) => value * (factor[firstRow + index] as number));
      into.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    },
  };
}

const BLOCK_BYTES = 8 * 1024 * 1024;

/** The largest |w| of each column. */
export async function largestOfColumns(file: SafetensorsFile, matrix: string): Promise<Float32Array<ArrayBuffer>> {
  const name = `${matrix}.weight`;
  const entry = file.tensors.get(name) as TensorEntry;
  const [rows, width] = entry.shape as [number, number];
  const largest = new Float32Array(width);
  const step = Math.max(1, Math.floor(BLOCK_BYTES / (4 * width)));
  for (let first = 0; first < rows; first += step) {
    const values = await readRows(file, name, entry, width, first, Math.min(step, rows - first));
    for (let at = 0, column = 0; at < values.length; at++) {
      const magnitude = Math.abs(values[at] as number);
      if (magnitude > (largest[column] as number)) largest[column] = magnitude;
      column = column + 1 === width ? 0 : column + 1;
    }
  }
  return largest;
}
