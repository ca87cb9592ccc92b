/**
 * SmoothQuant (arXiv 2211.10438) with powers of two: a column of the input is made smaller and the column of the weights that reads it larger by the
 * same factor, so that not one bit of the FP32 function changes, and outliers of single columns no longer take all the steps of INT8.
 */
import { type Block, decoderBlocks, headMatrix, type Matrix, projectorMatrices, towerBlocks } from '../block.js';
import type { Architecture } from '../manifest.js';

/** Matrices that read one input, and where the factor of that input goes. */
export interface SmoothingGroup {
  matrices: string[];
  columns: number;
  /**
   * `norm`: into its gain, and its bias if it has one. `rows`: into rows of that matrix, `rowOf` says which one makes a column; columns made of one
   * row have one factor. `input`: nowhere; the input is multiplied.
   */
  into: { norm: string } | { rows: string; rowOf: (column: number) => number } | 'input';
}

const LARGEST_EXPONENT = 12;

export function smoothingGroups(architecture: Architecture): SmoothingGroup[] {
  const ofInput = ({ name, columns }: Matrix): SmoothingGroup => ({ matrices: [name], columns, into: 'input' });
  const head = headMatrix(architecture);
  return [
    ...towerBlocks(architecture).flatMap(ofBlock),
    ...projectorMatrices(architecture).map(ofInput),
    ...decoderBlocks(architecture).flatMap(ofBlock),
    { matrices: [head.name], columns: head.columns, into: { norm: 'language.final_norm' } },
  ];

  function ofBlock(block: Block): SmoothingGroup[] {
    const { norm1, qkv, out, norm2, up, down, gated, heads, kvHeads, headSize, kvWidth, intermediate } = block;
    const behindNorm = (norm: string, matrices: Matrix[]) => ({ matrices: matrices.map(({ name }) => name), columns: block.hidden, into: { norm } });
    const behindRows = ({ name, columns }: Matrix, rows: string, rowOf: (column: number) => number) => ({
      matrices: [name],
      columns,
      into: { rows, rowOf },
    });
    const sharing = (heads / kvHeads) * headSize; // columns of the heads that share one of v
    const valueRow = (column: number) => qkv.rows - kvWidth + Math.floor(column / sharing) * headSize + (column % headSize);
    return [
      behindNorm(norm1, norm2 === undefined ? [qkv, up] : [qkv]),
      behindRows(out, qkv.name, valueRow),
      ...(norm2 === undefined ? [] : [behindNorm(norm2, [up])]),
      gated ? behindRows(down, up.name, (column) => intermediate + column) : ofInput(down), // what is gated passes no activation
    ];
  }
}

/** The largest of each column and of those that have one factor with it. */
export function together(largest: Float32Array, { into }: SmoothingGroup): Float32Array {
  if (into === 'input' || !('rows' in into)) return largest;
  const ofRow = new Map<number, number>();
  for (const [column, value] of largest.entries()) ofRow.set(into.rowOf(column), Math.max(ofRow.get(into.rowOf(column)) ?? 0, value));
  return largest.map((_, column) => ofRow.get(into.rowOf(column)) as number);
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
