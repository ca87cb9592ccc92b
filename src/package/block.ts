/**
 * A transformer block as a package has it: its sizes and switches, and what its tensors are called. Tower and decoder are made of it, and so whatever
 * goes over the matrices of a model goes over this. native/model/block.h is the same table for the backends.
 */
import type { Architecture, BlockSizes } from './manifest.js';

/** y = x · Wᵀ + b: `name`.weight [rows, columns] and `name`.bias [rows]. */
export interface Matrix {
  name: string; // as in the recipe, "language.layers.3.qkv"
  rows: number;
  columns: number;
}

export interface Block extends BlockSizes {
  name: string; // "language.layers.3"
  rotaryDims: number; // leading dims of each head that are rotated
  norm1: string;
  /** Rows: all q, all k, all v. */
  qkv: Matrix;
  kvWidth: number; // rows of k, and of v
  out: Matrix; // columns: rows of q
  /** What goes into the MLP is norm2 of the residual stream; undefined: it is norm1, as attention's input. */
  norm2: string | undefined;
  up: Matrix; // gated: rows of the gate, then as many of what it gates
  down: Matrix;
}

/** Bottom to top. */
export function towerBlocks({ vision }: Architecture): Block[] {
  return Array.from({ length: vision.layers }, (_, layer) => block(`vision.layers.${layer}`, vision, 0));
}

/** Bottom to top. */
export function decoderBlocks({ language }: Architecture): Block[] {
  return Array.from({ length: language.layers }, (_, layer) => block(`language.layers.${layer}`, language, language.rotaryDims));
}

/** In the order of the forward pass. */
export function matricesOf({ qkv, out, up, down }: Block): Matrix[] {
  return [qkv, out, up, down];
}

/** The linear layers between tower and decoder. */
export function projectorMatrices({ vision, projector, language }: Architecture): Matrix[] {
  return Array.from({ length: projector.layers }, (_, i) => ({
    name: `projector.${i}`,
    rows: language.hidden,
    columns: i === 0 ? vision.hidden : language.hidden,
  }));
}

export function headMatrix({ language }: Architecture): Matrix {
  return { name: 'language.head', rows: language.vocab, columns: language.hidden };
}

function block(name: string, sizes: BlockSizes, rotaryDims: number): Block {
  const { hidden, intermediate, heads, kvHeads, headSize, norm, epsilon, activation, gated, residual } = sizes;
  const kvWidth = kvHeads * headSize;
  return {
    ...{ hidden, intermediate, heads, kvHeads, headSize, norm, epsilon, activation, gated, residual },
    ...{ name, rotaryDims, kvWidth },
    norm1: `${name}.norm1`,
    qkv: { name: `${name}.qkv`, rows: heads * headSize + 2 * kvWidth, columns: hidden },
    out: { name: `${name}.out`, rows: hidden, columns: heads * headSize },
    norm2: residual === 'parallel' ? undefined : `${name}.norm2`,
    up: { name: `${name}.up`, rows: gated ? 2 * intermediate : intermediate, columns: hidden },
    down: { name: `${name}.down`, rows: hidden, columns: intermediate },
  };
}
