/** The rows of a package tensor, wherever they come from, in blocks that can be quantized one by one. */
import { allocate, BYTES_OF, type FloatType } from './floats.js';
import type { CanonicalTensor, Run } from './tensors.js';

export interface RowBlock {
  firstRow: number;
  rows: number;
  dtype: FloatType;
  bytes: Uint8Array<ArrayBuffer>; // [rows, columns]
}

/** The rows of a tensor in blocks of about `maxBytes` of one type each, in order. */
export async function* readBlocks(tensor: CanonicalTensor, maxBytes: number): AsyncGenerator<RowBlock> {
  for (const { firstRow, pieces, dtype } of planBlocks(tensor, maxBytes)) {
    const rowBytes = tensor.columns * BYTES_OF[dtype];
    const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
    const bytes = allocate(rows * rowBytes);
    let offset = 0;
    for (const { source, firstRow: from, rows: count } of pieces) {
      await source.read(from, count, bytes.subarray(offset, offset + count * rowBytes));
      offset += count * rowBytes;
    }
    yield { firstRow, rows, dtype, bytes };
  }
}

/** Cuts and joins runs so that each block is full, but never mixes types. */
function* planBlocks(tensor: CanonicalTensor, maxBytes: number): Generator<{ firstRow: number; pieces: Run[]; dtype: FloatType }> {
  let pieces: Run[] = [];
  let firstRow = 0;
  let planned = 0;
  for (const run of tensor.runs) {
    let taken = 0;
    while (taken < run.rows) {
      const dtype = pieces[0]?.source.dtype ?? run.source.dtype;
      const room = Math.max(1, Math.floor(maxBytes / (tensor.columns * BYTES_OF[dtype]))) - planned;
      if (room <= 0 || dtype !== run.source.dtype) {
        yield { firstRow, pieces, dtype };
        [firstRow, pieces, planned] = [firstRow + planned, [], 0];
        continue;
      }
      const rows = Math.min(room, run.rows - taken);
      pieces.push({ source: run.source, firstRow: run.firstRow + taken, rows });
      taken += rows;
      planned += rows;
    }
  }
  const last = pieces[0];
  if (last !== undefined) yield { firstRow, pieces, dtype: last.source.dtype };
}
