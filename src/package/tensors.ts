/**
 * The tensors of a package in their order, and where each comes from in a checkpoint: names, the layout of q, k and v, only the layers that run, and
 * what is folded so that no backend need know it. Nothing is read until rows are asked for.
 */
import { MiphaError } from '../errors.js';
import { type Block, decoderBlocks, type Matrix, projectorMatrices, towerBlocks } from './block.js';
import type { Checkpoint, SourceTensor } from './checkpoint.js';
import { computed, scaledRows, wholeOf, zeros } from './derived.js';
import type { CheckpointConfig } from './families/family.js';
import { toFloat32 } from './floats.js';
import { formatError } from './format.js';
import type { AttentionNames, BlockNames } from './layout.js';
import { gridOf } from './manifest.js';
import { resampled } from './resampled.js';
import { readBlocks } from './row-blocks.js';

/** Looks a checkpoint tensor up; LoRA puts a layer of its own in front of the checkpoint's. */
export type Sources = (name: string) => SourceTensor | undefined;

/** Consecutive rows of one checkpoint tensor. */
export interface Run {
  source: SourceTensor;
  firstRow: number;
  rows: number;
}

/** A package tensor before quantization. A vector has one value per row. */
export interface CanonicalTensor {
  name: string; // e.g. "language.layers.3.qkv.weight"
  /** Name of the matrix in the recipe, e.g. "language.layers.3.qkv"; undefined for biases, norms and embeddings of positions, always F32. */
  matrix: string | undefined;
  shape: number[];
  rows: number;
  columns: number;
  runs: Run[];
}

/** Every tensor of the package. Throws ERR_MODEL_FORMAT for the first that is missing, has another shape, or is no float tensor. */
export function canonicalTensors(config: CheckpointConfig, sources: Sources): CanonicalTensor[] {
  const { architecture, layout } = config;
  const { language } = architecture;
  const list = new TensorList(sources);
  addPatches(list, config);
  for (const [i, block] of towerBlocks(architecture).entries()) list.block(block, layout.tower.block(i), layout.tower.block(0));

  const projector = projectorMatrices(architecture);
  if (projector.length === 0 && layout.embeddingScale !== undefined)
    throw formatError('mm_projector_type', 'a linear layer, as this decoder scales what enters it', 'identity');
  for (const [i, matrix] of projector.entries()) {
    list.linear(matrix, layout.projector(i), i + 1 === projector.length ? { scale: layout.embeddingScale } : {});
  }
  if (layout.pooling !== undefined) {
    list.small('projector.pooling.weight', [language.hidden, 9], [[`${layout.pooling}.weight`, [language.hidden, 1, 3, 3]]], ([kernel]) => kernel);
    list.add('projector.pooling.bias', [language.hidden], `${layout.pooling}.bias`);
  }

  const embedding = `${layout.language.embedding}.weight`;
  const table = [language.vocab, language.hidden];
  list.add('language.embedding.weight', table, embedding, { matrix: 'language.embedding', scale: layout.embeddingScale });
  const gainOffset = layout.gainsMinusOne === true ? 1 : 0;
  for (const [i, block] of decoderBlocks(architecture).entries()) list.block(block, layout.language.block(i), layout.language.block(0), gainOffset);
  list.norm('language.final_norm', layout.language.finalNorm, language, gainOffset);
  list.add('language.head.weight', table, `${layout.language.head}.weight`, { matrix: 'language.head' });
  const headBias = `${layout.language.head}.bias`;
  if (list.shapeOf(headBias) !== undefined) list.add('language.head.bias', [language.vocab], headBias);
  else list.none('language.head.bias', language.vocab);
  return list.tensors;
}

/** What the first block of the tower reads: patches with their positions, behind learned rows. */
function addPatches(list: TensorList, { architecture, layout }: CheckpointConfig): void {
  const { vision } = architecture;
  const { patches, patchBias, positions, prefix, preNorm } = layout.tower;
  const { hidden, patchSize, prefixRows } = vision;
  const pixels = 3 * patchSize ** 2;
  const stored = [hidden, 3, patchSize, patchSize];
  list.add('vision.patch_embedding.weight', [hidden, pixels], `${patches}.weight`, { matrix: 'vision.patch_embedding', stored });
  if (patchBias) list.add('vision.patch_embedding.bias', [hidden], `${patches}.bias`);
  else list.none('vision.patch_embedding.bias', hidden);

  const grid = gridOf(vision);
  const placed = prefix.length > 0 ? 1 : 0; // rows of the table before those of the grid
  const table = list.shapeOf(positions);
  const side = Math.sqrt((table?.at(-2) ?? 0) - placed);
  const resample = layout.antialias !== undefined && Number.isInteger(side) && side !== grid;
  const rows = placed + (resample ? side : grid) ** 2;
  const tableShape = table?.length === 3 ? [1, rows, hidden] : [rows, hidden];
  if (placed === 0) list.add('vision.position_embedding', [grid * grid, hidden], positions);
  else {
    list.small('vision.position_embedding', [grid * grid, hidden], [[positions, tableShape]], ([all]) => {
      const ofGrid = all.subarray(placed * hidden);
      return resample ? resampled(ofGrid, side, grid, hidden, layout.antialias === true) : ofGrid;
    });
    const learned = prefix.map((name, i): [string, number[]] => {
      const dims = list.shapeOf(name)?.length ?? 0;
      return [name, [...Array(Math.max(0, dims - (i === 0 ? 1 : 2))).fill(1), ...(i === 0 ? [] : [prefixRows - 1]), hidden]];
    });
    list.small('vision.prefix', [prefixRows, hidden], [[positions, tableShape], ...learned], ([all, ...parts]) => {
      const joined = Float32Array.from(parts.flatMap((part) => [...part]));
      for (let i = 0; i < hidden; i++) joined[i] = (joined[i] as number) + (all[i] as number);
      return joined;
    });
  }
  if (preNorm !== undefined) list.norm('vision.pre_norm', preNorm, vision);
}

interface Folding {
  /** Factor of every row. */
  scale?: number | undefined;
  /** Name of a vector with a factor for each row. */
  rowScale?: string | undefined;
}

/** Rows of a matrix that a checkpoint has under a name of their own. */
interface Part extends Folding {
  name: string;
  rows: number;
  unbiased: boolean;
}

class TensorList {
  readonly tensors: CanonicalTensor[] = [];
  readonly #sources: Sources;

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  shapeOf(name: string): readonly number[] | undefined {
    return this.#sources(name)?.shape;
  }

  /** A tensor taken over whole; `stored` is its shape in the checkpoint where that differs. */
  add(name: string, shape: number[], from: string, { matrix, stored = shape, ...fold }: Folding & { matrix?: string; stored?: number[] } = {}): void {
    this.#push(name, matrix, shape, [whole(this.#folded(this.#require(from, stored), fold))]);
  }

  /** Of a checkpoint that has none: zeros. */
  none(name: string, rows: number): void {
    this.#push(name, undefined, [rows], [whole(zeros(name, rows))]);
  }

  /** Made of small tensors, in memory. */
  small<const From extends readonly [string, number[]][]>(
    name: string,
    shape: number[],
    from: From,
    make: (values: { [I in keyof From]: Float32Array<ArrayBuffer> } & Float32Array<ArrayBuffer>[]) => Float32Array<ArrayBuffer>,
  ): void {
    const sources = from.map(([tensor, stored]) => this.#require(tensor, stored));
    const source = computed(name, shape, async () => make((await Promise.all(sources.map(wholeOf))) as never));
    this.#push(name, undefined, shape, [whole(source)]);
  }

  norm(name: string, from: string, { hidden, norm }: Pick<Block, 'hidden' | 'norm'>, gainOffset = 0): void {
    if (gainOffset === 0) this.add(`${name}.weight`, [hidden], `${from}.weight`);
    else this.small(`${name}.weight`, [hidden], [[`${from}.weight`, [hidden]]], ([gain]) => gain.map((value) => value + gainOffset));
    if (norm === 'layer') this.add(`${name}.bias`, [hidden], `${from}.bias`);
  }

  linear({ name, rows, columns }: Matrix, from: string, fold: Folding = {}): void {
    this.add(`${name}.weight`, [rows, columns], `${from}.weight`, { matrix: name, ...fold });
    this.add(`${name}.bias`, [rows], `${from}.bias`, fold);
  }

  /** `first`: names of the lowest block, which tell what biases there are where they are optional. */
  block(block: Block, from: BlockNames, first: BlockNames, gainOffset = 0): void {
    const { qkv, out, norm2, up, down, intermediate } = block;
    const unbiased = (name: string) => from.optionalBiases === true && this.#sources(`${name}.bias`) === undefined;
    const part = (name: string, lowest: string, rows: number, rowScale?: string): Part => ({ name, rows, rowScale, unbiased: unbiased(lowest) });

    this.norm(block.norm1, from.norm1, block, gainOffset);
    if (from.attention.rows === 'interleaved') this.#interleaved(block, from.attention.name);
    else {
      const [names, lowest] = [namesOf(from.attention), namesOf(first.attention)];
      const widths = names.length === 1 ? [qkv.rows] : [out.columns, block.kvWidth, block.kvWidth];
      this.#joined(
        qkv,
        names.map((name, i) => part(name, lowest[i] as string, widths[i] as number)),
      );
    }
    this.#joined(out, [part(from.out, first.out, out.rows, from.outScale)]);
    if (norm2 !== undefined) this.norm(norm2, from.norm2 as string, block, gainOffset);
    const gate = block.gated ? [part(from.gate as string, first.gate as string, intermediate)] : [];
    this.#joined(up, [...gate, part(from.up, first.up, intermediate)]);
    this.#joined(down, [part(from.down, first.down, down.rows, from.downScale)]);
  }

  #interleaved({ qkv, heads, headSize }: Block, from: string): void {
    const runs = (part: string, shape: number[]) => deinterleave(this.#require(`${from}.${part}`, shape), heads, headSize);
    this.#push(`${qkv.name}.weight`, qkv.name, [qkv.rows, qkv.columns], runs('weight', [qkv.rows, qkv.columns]));
    this.#push(`${qkv.name}.bias`, undefined, [qkv.rows], runs('bias', [qkv.rows]));
  }

  /** One matrix of the rows of several. */
  #joined({ name, rows, columns }: Matrix, parts: readonly Part[]): void {
    const weight = (part: Part) => whole(this.#folded(this.#require(`${part.name}.weight`, [part.rows, columns]), part));
    const bias = (part: Part) =>
      whole(part.unbiased ? this.#absent(`${part.name}.bias`, part.rows) : this.#folded(this.#require(`${part.name}.bias`, [part.rows]), part));
    this.#push(`${name}.weight`, name, [rows, columns], parts.map(weight));
    this.#push(`${name}.bias`, undefined, [rows], parts.map(bias));
  }

  #absent(name: string, rows: number): SourceTensor {
    const found = this.#sources(name);
    if (found !== undefined) throw formatError(`Tensor ${name}`, 'none, as in the lowest layer', `[${found.shape}]`);
    return zeros(name, rows);
  }

  #folded(source: SourceTensor, { scale, rowScale }: Folding): SourceTensor {
    if (scale !== undefined) return scaledRows(source, () => scale);
    if (rowScale === undefined) return source;
    const factors = this.#require(rowScale, [source.shape[0] as number]);
    return scaledRows(source, (row, values) => values?.[row] as number, factors);
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

function whole(source: SourceTensor): Run {
  return { source, firstRow: 0, rows: source.shape[0] as number };
}

function namesOf(attention: AttentionNames): readonly string[] {
  return attention.rows === 'split' ? attention.names : [attention.name];
}

function deinterleave(source: SourceTensor, heads: number, headSize: number): Run[] {
  const run = (which: number, head: number) => ({ source, firstRow: (head * 3 + which) * headSize, rows: headSize });
  return [0, 1, 2].flatMap((which) => Array.from({ length: heads }, (_, head) => run(which, head)));
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
