/** Canonical tensors → weights.safetensors, streaming: blocks are read, quantized on worker threads and written at the same time, in file order. */
import { loadAddon } from '../addon/load.js';
import { MiphaError } from '../errors.js';
import { firstNotFinite, toFloat16, toFloat32 } from './floats.js';
import type { FileRecord } from './manifest.js';
import { type Recipe, storedSpecs } from './recipe.js';
import { type RowBlock, readBlocks } from './row-blocks.js';
import { bytesOf, SafetensorsWriter, storageOrder, type TensorSpec } from './safetensors.js';
import { type CanonicalTensor, notFinite } from './tensors.js';

const BLOCK_BYTES = 8 * 1024 * 1024; // of a checkpoint's values; a handful of blocks is all that is ever in memory
const IN_FLIGHT = 3; // two being quantized while one is written and the next is read

export interface WriteOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((fraction: number) => void) | undefined;
  /** Scales of INT8 rows are exact in FP16, as the graphs for TensorRT need them. */
  halfScales?: boolean | undefined;
}

/** Throws ERR_MODEL_FORMAT for a NaN or infinity, naming tensor, row and column; `signal.reason` when aborted. */
export async function writeWeights(path: string, tensors: CanonicalTensor[], recipe: Recipe, options: WriteOptions = {}): Promise<FileRecord> {
  const specs = storageOrder(tensors.flatMap((tensor) => storedSpecs(tensor, recipe)));
  const total = specs.reduce((sum, spec) => sum + bytesOf(spec), 0);
  const writer = await SafetensorsWriter.create(path, specs);
  const pending: (Promise<Uint8Array> | Uint8Array)[] = [];
  let written = 0;
  const writeOldest = async () => {
    const piece = await (pending.shift() as Promise<Uint8Array> | Uint8Array);
    options.signal?.throwIfAborted();
    await writer.write(piece);
    written += piece.byteLength;
    options.onProgress?.(written / total);
  };
  try {
    for await (const piece of storedPieces(specs, tensors, options.halfScales === true)) {
      if (piece instanceof Promise) piece.catch(() => undefined); // seen when its turn comes
      pending.push(piece);
      if (pending.length > IN_FLIGHT) await writeOldest();
    }
    while (pending.length > 0) await writeOldest();
    return await writer.finish({ durable: true });
  } catch (error) {
    await Promise.allSettled(pending);
    await writer.abandon();
    throw error;
  }
}

/** The bytes of the file after its header, in order. Scales are filled by the blocks of their weight, which stand before them. */
async function* storedPieces(specs: TensorSpec[], tensors: CanonicalTensor[], halfScales: boolean): AsyncGenerator<Promise<Uint8Array> | Uint8Array> {
  const canonical = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const scales = new Map<string, Float32Array>();
  for (const { name, dtype } of specs) {
    const tensor = canonical.get(name);
    if (tensor === undefined) {
      const scale = scales.get(name);
      if (scale === undefined) throw new MiphaError('ERR_INTERNAL', `${name} is stored before its weight`);
      yield new Uint8Array(scale.buffer);
      continue;
    }
    const scale = dtype === 'I8' ? new Float32Array(tensor.rows) : undefined;
    if (scale !== undefined) scales.set(`${tensor.matrix}.scale`, scale);
    for await (const block of readBlocks(tensor, BLOCK_BYTES))
      yield scale === undefined ? widened(tensor, block, dtype) : quantized(tensor, block, scale, halfScales);
  }
}

async function quantized(tensor: CanonicalTensor, block: RowBlock, scale: Float32Array, halfScales: boolean): Promise<Uint8Array> {
  const { firstRow, rows, dtype, bytes } = block;
  const weight = new Int8Array(rows * tensor.columns);
  try {
    await loadAddon().quantize(bytes, dtype, rows, tensor.columns, weight, scale.subarray(firstRow, firstRow + rows), halfScales);
  } catch (error) {
    const { details } = error as { details?: { row?: number; column?: number } };
    if (details?.row === undefined || details.column === undefined) throw error;
    const value = toFloat32(bytes, dtype)[details.row * tensor.columns + details.column];
    throw notFinite(tensor.name, firstRow + details.row, details.column, value);
  }
  return new Uint8Array(weight.buffer);
}

/** F16 or F32 bytes of a block; too large a value for F16 is refused like an infinity. */
function widened(tensor: CanonicalTensor, block: RowBlock, dtype: string): Uint8Array {
  const values = toFloat32(block.bytes, block.dtype);
  const halves = dtype === 'F16' ? toFloat16(values) : undefined;
  const stored = halves === undefined ? values : toFloat32(new Uint8Array(halves.buffer), 'F16');
  const index = firstNotFinite(stored);
  if (index >= 0) throw notFinite(tensor.name, block.firstRow + Math.floor(index / tensor.columns), index % tensor.columns, values[index]);
  return new Uint8Array((halves ?? values).buffer, (halves ?? values).byteOffset, (halves ?? values).byteLength);
}
