/**
 * Models of the published sizes with random weights, made in seconds, so that speed and memory can be measured without a checkpoint.
 * They know nothing. Scales keep the variance of every layer near one, so activations stay finite at any depth.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiphaError, nearestKey, optionError } from '../errors.js';
import type { SourceTensor } from './checkpoint.js';
import { readConfig } from './families/index.js';
import { BYTES_OF, toFloat16 } from './floats.js';
import { FORMAT_VERSION, type Manifest, TOKENIZER_FOLDER, WEIGHTS_FILE } from './manifest.js';
import { atomically, writeManifest } from './output.js';
import { type Cut, type ModelSize, modelSizes, publishedConfig } from './published.js';
import { publishedTensors } from './published-tensors.js';
import { randomTokenizer } from './random-tokenizer.js';
import { completeRecipe, storedSpecs } from './recipe.js';
import { bytesOf, SafetensorsWriter, storageOrder, type TensorSpec } from './safetensors.js';
import { canonicalTensors } from './tensors.js';
import type { TokenizerFiles } from './tokenizer-files.js';

export interface RandomOptions {
  /** The same seed gives the same bytes. Default 1. */
  seed?: number | undefined;
  /** Folder with the tokenizer files to use; default: those of the shipped mipha-nano. */
  tokenizer?: string | undefined;
  /** A smaller model with the widths of the published one. */
  cut?: Cut | undefined;
  signal?: AbortSignal | undefined;
}

const BLOCK_VALUES = 4 * 1024 * 1024; // random values that all matrices share, each from an offset of its own
const INT8_DEVIATION = 73.3; // standard deviation of whole numbers drawn evenly from −127 … 127

/** Writes the package `out` (without a golden self-test), which must not exist. Throws ERR_OPTION, ERR_MODEL_MISSING. */
export async function writeRandomPackage(out: string, size: ModelSize, options: RandomOptions = {}): Promise<Manifest> {
  checkSize(size);
  return atomically(out, async (folder) => {
    const shapes = new Map(publishedTensors(size, options.cut).map((tensor) => [tensor.name, tensor.shape]));
    const config = readConfig({ path: 'config.json', text: publishedConfig(size, options.cut), shape: (name) => shapes.get(name) });
    const tokenizer = await randomTokenizer(options.tokenizer, config.prompt);
    const canonical = canonicalTensors(config, (name) => shapeOnly(name, shapes.get(name)));
    const recipe = completeRecipe(canonical);
    const weights = await writePackageWeights(
      join(folder, WEIGHTS_FILE),
      canonical.flatMap((tensor) => storedSpecs(tensor, recipe)),
      options,
    );
    const manifest: Manifest = {
      formatVersion: FORMAT_VERSION,
      name: `random-${size}`,
      source: { name: `random weights, seed ${options.seed ?? 1}`, files: {} },
      architecture: { ...config.architecture, language: { ...config.architecture.language, tokens: tokenizer.tokens } },
      preprocessing: config.preprocessing,
      prompt: config.prompt,
      recipe,
      files: { [WEIGHTS_FILE]: weights, ...(await copyTokenizer(tokenizer, folder, TOKENIZER_FOLDER)) },
    };
    await writeManifest(folder, manifest);
    return manifest;
  });
}

async function writePackageWeights(path: string, tensors: TensorSpec[], { seed = 1, signal }: RandomOptions) {
  const random = new Random(seed);
  const int8 = random.block((value) => Math.round(value * 127), Int8Array);
  const f32 = random.block((value) => value / 16, Float32Array);
  const f16 = toFloat16(f32);
  const specs = storageOrder(tensors);
  const weights = specs.filter(({ dtype }) => dtype === 'I8');
  const columnsOf = new Map(weights.map(({ name, shape }) => [name.replace(/weight$/, 'scale'), shape[1] ?? 1]));
  return writeAll(path, specs, signal, (spec) => {
    if (spec.dtype === 'I8') return [int8, random.offset()];
    if (spec.dtype === 'F16') return [f16, random.offset()];
    if (spec.name === 'language.embedding.scale') return [1 / INT8_DEVIATION]; // looked up, not summed over
    if (spec.name.endsWith('.scale')) return [1 / (Math.sqrt(columnsOf.get(spec.name) ?? 1) * INT8_DEVIATION)];
    if (/norm\d?\.weight$/.test(spec.name)) return [1];
    if (/norm\d?\.bias$/.test(spec.name)) return [0];
    return [f32, random.offset()];
  });
}

/** Writes a checkpoint as published: BF16, two shards and an index. `out` must not exist. */
export async function writeRandomCheckpoint(out: string, size: ModelSize, options: RandomOptions = {}): Promise<void> {
  checkSize(size);
  await atomically(out, async (folder) => {
    await writeFile(join(folder, 'config.json'), publishedConfig(size));
    const tensors = publishedTensors(size);
    const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
    const { prompt } = readConfig({ path: 'config.json', text: publishedConfig(size), shape: (name) => shapes.get(name) });
    await copyTokenizer(await randomTokenizer(options.tokenizer, prompt), folder, '');
    const specs: TensorSpec[] = tensors.map((tensor) => ({ ...tensor, dtype: 'BF16' }));
    const total = specs.reduce((sum, spec) => sum + bytesOf(spec), 0);
    let before = 0;
    const cut = specs.findIndex((spec) => {
      before += bytesOf(spec);
      return before > 0.78 * total; // as the published 3B is cut
    });
    const random = new Random(options.seed ?? 1);
    const weightMap: Record<string, string> = {};
    for (const [i, shard] of [specs.slice(0, cut), specs.slice(cut)].entries()) {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      await writeShard(join(folder, file), shard, random, options.signal);
      for (const { name } of shard) weightMap[name] = file;
    }
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    await writeFile(join(folder, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
  });
}

async function writeShard(path: string, specs: TensorSpec[], random: Random, signal: AbortSignal | undefined): Promise<void> {
  const blocks = new Map<number, Uint16Array<ArrayBuffer>>(); // by the deviation of their values
  const block = (columns: number) => {
    const found = blocks.get(columns) ?? random.block((value) => bfloat16(value * Math.sqrt(3 / columns)), Uint16Array);
    blocks.set(columns, found);
    return found;
  };
  await writeAll(path, specs, signal, ({ name, shape }) => {
    if (/norm\d?\.weight$/.test(name)) return [bfloat16(1)];
    if (/norm\d?\.bias$/.test(name)) return [0];
    const columns = name === 'model.embed_tokens.weight' ? 1 : shape.slice(1).reduce((product, length) => product * length, 1);
    return [block(shape.length === 1 ? 4096 : columns), random.offset()];
  });
}

type Values = Int8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** `fill` says for each tensor: one constant, or a block of values and where in it to start. */
async function writeAll(path: string, specs: TensorSpec[], signal: AbortSignal | undefined, fill: (spec: TensorSpec) => [number] | [Values, number]) {
  const writer = await SafetensorsWriter.create(path, specs);
  try {
    for (const spec of specs) {
      const [values, offset] = fill(spec);
      const bytes = bytesOf(spec);
      if (typeof values === 'number') await writer.write(constant(spec, values));
      else await writeFrom(writer, new Uint8Array(values.buffer), (offset ?? 0) * BYTES_OF[spec.dtype], bytes);
      signal?.throwIfAborted();
    }
    return await writer.finish({ durable: false });
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** `bytes` bytes of the block from `offset` on, round and round. */
async function writeFrom(writer: SafetensorsWriter, block: Uint8Array, offset: number, bytes: number): Promise<void> {
  let position = offset;
  for (let left = bytes; left > 0; ) {
    const piece = block.subarray(position, Math.min(block.byteLength, position + left));
    await writer.write(piece);
    left -= piece.byteLength;
    position = 0;
  }
}

function constant(spec: TensorSpec, value: number): Uint8Array {
  const count = bytesOf(spec) / BYTES_OF[spec.dtype];
  const values = spec.dtype === 'F32' ? new Float32Array(count) : new Uint16Array(count);
  return new Uint8Array(values.fill(value).buffer);
}

/** Even values from −1 to 1, repeatable. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b9) ^ 0x5bd1e995) >>> 0 || 1;
  }

  /** Marsaglia's xorshift, 32 bits. */
  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  block<T extends Values>(value: (even: number) => number, Type: new (length: number) => T): T {
    const values = new Type(BLOCK_VALUES);
    for (let i = 0; i < values.length; i++) values[i] = value(this.#next() / 0x80000000 - 1);
    return values;
  }

  /** A place in a block, on a cache line. */
  offset(): number {
    return (this.#next() % BLOCK_VALUES) & ~63;
  }
}

const one = new Float32Array(1);
const oneBits = new Uint32Array(one.buffer);

/** Cut off, not rounded: good enough for noise, exact for 1. */
function bfloat16(value: number): number {
  one[0] = value;
  return (oneBits[0] as number) >>> 16;
}

/** Random packages are made from sizes alone; nothing is ever read. */
function shapeOnly(name: string, shape: number[] | undefined): SourceTensor | undefined {
  return shape === undefined
    ? undefined
    : { name, dtype: 'BF16', shape, read: () => Promise.reject(new MiphaError('ERR_INTERNAL', `${name} has no values`)) };
}

async function copyTokenizer(tokenizer: TokenizerFiles, folder: string, under: string): Promise<Manifest['files']> {
  await mkdir(join(folder, under), { recursive: true });
  for (const { name, bytes } of tokenizer.files) await writeFile(join(folder, under, name), bytes);
  return Object.fromEntries(tokenizer.files.map(({ name, record }) => [under === '' ? name : `${under}/${name}`, record]));
}

function checkSize(size: string): void {
  if (!(modelSizes as readonly string[]).includes(size))
    throw optionError('size', `one of ${modelSizes.join(', ')}`, size, nearestKey(size, modelSizes));
}
