/**
 * A transformer block as a package has it: its sizes and switches, and what its tensors are called. Tower and decoder are made of it, and so whatever
 * goes over the matrices of a model goes over this. native/model/block.h is the same table for the backends.
 */
import type { Architecture } from './manifest.js';

/** y = x · Wᵀ + b: `name`.weight [rows, columns] and `name`.bias [rows]. */
export interface Matrix {
  name: string; // as in the recipe, "language.layers.3.qkv"
  rows: number;
  columns: number;
}

export interface Block {
  name: string; // "language.layers.3"
  hidden: number; // width of the residual stream
  heads: number;
  headSize: number;
  epsilon: number;
  rotaryDims: number; // leading dims of each head that are rotated
  norm1: string;
  qkv: Matrix; // rows: all q, all k, all v
  out: Matrix; // columns: what attention gives, as many as q, k and v have rows each
  /** With it x += attention(norm1 x), then x += mlp(norm2 x); without it x += attention(norm1 x) + mlp(norm1 x), the parallel residual of Phi. */
  norm2: string | undefined;
  up: Matrix;
  down: Matrix;
}

/** SigLIP's (arXiv 2303.15343), bottom to top. */
export function towerBlocks({ vision }: Architecture): Block[] {
  const names = { norm1: 'norm1', out: 'out', norm2: 'norm2' };
  return Array.from({ length: vision.layers }, (_, layer) => block(`vision.layers.${layer}`, { ...vision, rotaryDims: 0 }, names));
}

/** Those of Phi-1.5 and Phi-2, bottom to top. */
export function decoderBlocks({ language }: Architecture): Block[] {
  const names = { norm1: 'norm', out: 'dense', norm2: undefined };
  return Array.from({ length: language.layers }, (_, layer) => block(`language.layers.${layer}`, language, names));
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

interface Sizes {
  hidden: number;
  intermediate: number;
  heads: number;
  epsilon: number;
  rotaryDims: number;
}

function block(name: string, sizes: Sizes, names: { norm1: string; out: string; norm2: string | undefined }): Block {
  const { hidden, intermediate, heads, epsilon, rotaryDims } = sizes;
  const headSize = hidden / heads;
  const width = heads * headSize;
  return {
    ...{ name, hidden, heads, headSize, epsilon, rotaryDims },
    norm1: `${name}.${names.norm1}`,
    qkv: { name: `${name}.qkv`, rows: 3 * width, columns: hidden },
    out: { name: `${name}.${names.out}`, rows: hidden, columns: width },
    norm2: names.norm2 === undefined ? undefined : `${name}.${names.norm2}`,
    up: { name: `${name}.fc1`, rows: intermediate, columns: hidden },
    down: { name: `${name}.fc2`, rows: hidden, columns: intermediate },
  };
}
