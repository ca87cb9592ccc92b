/**
 * The tensors of a package in their order, and where each comes from in a checkpoint: names, fused or split q/k/v, only the layers that run.
 * Nothing is read until rows are asked for.
 */
import { MiphaError } from '../errors.js';
import { type Block, decoderBlocks, type Matrix, projectorMatrices, towerBlocks } from './block.js';
import type { Checkpoint, SourceTensor } from './checkpoint.js';
import type { CheckpointConfig } from './config.js';
import { allocate, BYTES_OF, type FloatType, toFloat32 } from './floats.js';
import { formatError } from './format.js';
import { type BlockNames, towerBlock } from './layout.js';

/** Looks a checkpoint tensor up; LoRA puts a layer of its own in front of the checkpoint's. */
export type Sources = (name: string) => SourceTensor | undefined;

/** Consecutive rows of one checkpoint tensor. */
interface Run {
  source: SourceTensor;
  firstRow: number;
  rows: number;
}

/** A package tensor before quantization. A vector has one value per row. */
export interface CanonicalTensor {
  name: string; // e.g. "language.layers.3.qkv.weight"
  /** Name of the matrix in the recipe, e.g. "language.layers.3.qkv"; undefined for biases, norms and the position embedding, always F32. */
  matrix: string | undefined;
  shape: number[];
  rows: number;
  columns: number;
  runs: Run[];
}

export interface RowBlock {
  firstRow: number;
  rows: number;
  dtype: FloatType;
  bytes: Uint8Array<ArrayBuffer>; // [rows, columns]
}

/** Every tensor of the package. Throws ERR_MODEL_FORMAT for the first that is missing, has another shape, or is no float tensor. */
export function canonicalTensors({ architecture, layout, tied }: CheckpointConfig, sources: Sources): CanonicalTensor[] {
  const { vision, language } = architecture;
  const list = new TensorList(sources);
  const grid = Math.floor(vision.imageSize / vision.patchSize);

  const patches = `${layout.tower}.embeddings.patch_embedding`;
  list.add('vision.patch_embedding.weight', [vision.hidden, 3 * vision.patchSize ** 2], `${patches}.weight`, {
    matrix: 'vision.patch_embedding',
    stored: [vision.hidden, 3, vision.patchSize, vision.patchSize],
  });
  list.add('vision.patch_embedding.bias', [vision.hidden], `${patches}.bias`);
  list.add('vision.position_embedding', [grid * grid, vision.hidden], `${layout.tower}.embeddings.position_embedding.weight`);
  for (const [i, block] of towerBlocks(architecture).entries()) list.block(block, towerBlock(layout, i));

  for (const [i, matrix] of projectorMatrices(architecture).entries()) list.linear(matrix, layout.projector(i));

  const embedding = `${layout.embedding}.weight`;
  list.add('language.embedding.weight', [language.vocab, language.hidden], embedding, { matrix: 'language.embedding' });
  for (const [i, block] of decoderBlocks(architecture).entries()) list.block(block, layout.decoder(i));
  list.norm('language.final_norm', layout.finalNorm, language.hidden);
  const head = tied ? embedding : `${layout.head}.weight`;
  list.add('language.head.weight', [language.vocab, language.hidden], head, { matrix: 'language.head' });
  list.add('language.head.bias', [language.vocab], `${layout.head}.bias`);
  return list.tensors;
}

class TensorList {
  readonly tensors: CanonicalTensor[] = [];
  readonly #sources: Sources;

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  /** A tensor taken over whole; `stored` is its shape in the checkpoint where that differs. */
  add(name: string, shape: number[], from: string, { matrix, stored = shape }: { matrix?: string; stored?: number[] } = {}): void {
    const source = this.#require(from, stored);
    this.#push(name, matrix, shape, [{ source, firstRow: 0, rows: shape[0] as number }]);
  }

  norm(name: string, from: string, hidden: number): void {
    this.add(`${name}.weight`, [hidden], `${from}.weight`);
    this.add(`${name}.bias`, [hidden], `${from}.bias`);
  }

  linear({ name, rows, columns }: Matrix, from: string): void {
    this.add(`${name}.weight`, [rows, columns], `${from}.weight`, { matrix: name });
    this.add(`${name}.bias`, [rows], `${from}.bias`);
  }

  block(block: Block, from: BlockNames): void {
    this.norm(block.norm1, from.norm1, block.hidden);
    this.#qkv(block, from.attention);
    this.linear(block.out, from.out);
    if (block.norm2 !== undefined) this.norm(block.norm2, from.norm2 as string, block.hidden);
    this.linear(block.up, from.up);
    this.linear(block.down, from.down);
  }

  /** All q rows, all k rows, all v rows, from three tensors or from one whose rows are (head, {q, k, v}, head size). */
  #qkv({ qkv, out, heads, headSize }: Block, from: string): void {
    const fused = this.#sources(`${from}.query_key_value.weight`) !== undefined;
    const rows = out.columns;
    for (const [part, columns] of [
      ['weight', [qkv.columns]],
      ['bias', []],
    ] as const) {
      const runs = fused
        ? deinterleave(this.#require(`${from}.query_key_value.${part}`, [qkv.rows, ...columns]), heads, headSize)
        : ['q', 'k', 'v'].map((p) => ({ source: this.#require(`${from}.${p}_proj.${part}`, [rows, ...columns]), firstRow: 0, rows }));
      this.#push(`${qkv.name}.${part}`, part === 'weight' ? qkv.name : undefined, [qkv.rows, ...columns], runs);
    }
  }

  #push(name: string, matrix: string | undefined, shape: number[], runs: Run[]): void {
    const rows = shape[0] as number;
    this.tensors.push({ name, matrix, shape, rows, columns: shape.slice(1).reduce((product, size) => product * size, 1), runs });
  }

  #require(name: string, shape: number[]): SourceTensor {
    const source = this.#sources(name);
    if (source === undefined) throw formatError(`Tensor ${name}`, `shape [${shape}]`, 'no such tensor');
    if (source.shape.join() !== shape.join()) throw formatError(`Tensor ${name}`, `shape [${shape}]`, `[${source.shape}]`);
    return source;
  }
}

function deinterleave(source: SourceTensor, heads: number, headSize: number): Run[] {
  const run = (which: number, head: number) => ({ source, firstRow: (head * 3 + which) * headSize, rows: headSize });
  return [0, 1, 2].flatMap((which) => Array.from({ length: heads }, (_, head) => run(which, head)));
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

/** Every tensor whole, as f32 under its package name, in package order: what the reference forward pass runs on. */
export async function* readReferenceTensors(
  checkpoint: Checkpoint,
): AsyncGenerator<{ name: string; shape: number[]; data: Float32Array<ArrayBuffer> }> {
  for (const tensor of canonicalTensors(checkpoint, checkpoint.tensor)) {
    const data = new Float32Array(tensor.rows * tensor.columns);
    for await (const block of readBlocks(tensor, 32 * 1024 * 1024)) data.set(toFloat32(block.bytes, block.dtype), block.firstRow * tensor.columns);
    yield { name: tensor.name, shape: tensor.shape, data };
  }
}

/** "vision.layers.0.qkv.weight" and column, row → a message for a NaN that quantization found. */
export function notFinite(name: string, row: number, column: number, value: unknown): MiphaError {
  return new MiphaError('ERR_MODEL_FORMAT', `Tensor ${name}: expected finite values, received ${value} at row ${row}, column ${column}`, {
    details: { tensor: name, row, column },
  });
}
