/** Tensors that are not in a checkpoint as they are needed: computed from those that are, as F32. */
import type { SourceTensor } from './checkpoint.js';
import { allocate, BYTES_OF, toFloat32 } from './floats.js';

/** A vector of a checkpoint that has none. */
export function zeros(name: string, rows: number): SourceTensor {
  return { name, dtype: 'F32', shape: [rows], read: async (_first, _rows, into) => void into.fill(0) };
}

/** All values of a small tensor. */
export async function wholeOf({ shape, dtype, read }: SourceTensor): Promise<Float32Array<ArrayBuffer>> {
  const bytes = allocate(shape.reduce((product, size) => product * size, BYTES_OF[dtype]));
  await read(0, shape[0] as number, bytes);
  return toFloat32(bytes, dtype);
}

/** Small enough to be made whole; made once, when it is first read. */
export function computed(name: string, shape: number[], make: () => Promise<Float32Array<ArrayBuffer>>): SourceTensor {
  const columns = shape.slice(1).reduce((product, size) => product * size, 1);
  let values: Promise<Float32Array<ArrayBuffer>> | undefined;
  return {
    ...{ name, dtype: 'F32', shape },
    async read(firstRow, rows, into) {
      values ??= make();
      store(into, (await values).subarray(firstRow * columns, (firstRow + rows) * columns));
    },
  };
}

/** Each row times its factor; `vector`, read once, is handed to `factor`. */
export function scaledRows(
  source: SourceTensor,
  factor: (row: number, vector: Float32Array | undefined) => number,
  vector?: SourceTensor,
): SourceTensor {
  const columns = source.shape.slice(1).reduce((product, size) => product * size, 1);
  let loaded: Promise<Float32Array> | undefined;
  return {
    ...{ name: source.name, dtype: 'F32', shape: source.shape },
    async read(firstRow, rows, into) {
      if (vector !== undefined) loaded ??= wholeOf(vector);
      const factors = await loaded;
      const bytes = allocate(rows * columns * BYTES_OF[source.dtype]);
      await source.read(firstRow, rows, bytes);
      const values = toFloat32(bytes, source.dtype);
      for (let row = 0, at = 0; row < rows; row++) {
        const by = factor(firstRow + row, factors);
        for (const end = at + columns; at < end; at++) values[at] = (values[at] as number) * by;
      }
      store(into, values);
    },
  };
}

function store(into: Uint8Array, values: Float32Array): void {
  into.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}
