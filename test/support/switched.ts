/** Small packages with random weights that between them have every switch of a transformer block, a tower and a projector. */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Block, decoderBlocks, headMatrix, type Matrix, matricesOf, projectorMatrices, towerBlocks } from '../../src/package/block.js';
import { type CalibrateOptions, calibrate } from '../../src/package/calibrate/calibrate.js';
import type { Sample } from '../../src/package/calibrate/stages.js';
import type { Calibration } from '../../src/package/calibration.js';
import { type Architecture, gridOf, type Manifest, TOKENIZER_FOLDER, WEIGHTS_FILE } from '../../src/package/manifest.js';
import { writeManifest } from '../../src/package/output.js';
import { completeRecipe } from '../../src/package/recipe.js';
import type { CanonicalTensor } from '../../src/package/tensors.js';
import { readManifest } from '../../src/package/verify.js';
import { writeWeights } from '../../src/package/weights-writer.js';
import { NANO } from './nano.js';
import { Random } from './random.js';

type Vision = Architecture['vision'];
type Language = Architecture['language'];

const BLOCK = { norm: 'layer', epsilon: 1e-5, activation: 'gelu_tanh', gated: false, residual: 'sequential' } as const;
const TOWER: Vision = {
  ...BLOCK,
  ...{ hidden: 96, intermediate: 136, heads: 2, kvHeads: 2, headSize: 48, imageSize: 42, patchSize: 14, layers: 2 },
  ...{ prefixRows: 0, skippedRows: 0, preNorm: false },
};
const DECODER = { ...BLOCK, hidden: 112, intermediate: 168, layers: 2, ropeTheta: 10_000, context: 160 };

interface Switched {
  vision: Partial<Vision>;
  projector: Architecture['projector'];
  language: Partial<Language> & Pick<Language, 'heads' | 'kvHeads' | 'headSize' | 'rotaryDims'>;
}

const SWITCHES: Record<string, Switched> = {
  // A class token that the projector does not see; rows that share keys, whose heads are together wider than the residual stream.
  'clip, gemma': {
    vision: { activation: 'quick_gelu', prefixRows: 1, skippedRows: 1, preNorm: true },
    projector: { layers: 2, pooled: false },
    language: { norm: 'rms', gated: true, heads: 3, kvHeads: 1, headSize: 40, rotaryDims: 40 },
  },
  // A class token and registers; heads in pairs.
  'dinov2, llama': {
    vision: { activation: 'gelu_erf', prefixRows: 5, skippedRows: 5 },
    projector: { layers: 3, pooled: false },
    language: { norm: 'rms', activation: 'silu', gated: true, heads: 4, kvHeads: 2, headSize: 24, rotaryDims: 24 },
  },
  // A feature less than patches; two norms in parallel.
  'one row skipped, neox': {
    vision: { residual: 'parallel', skippedRows: 1 },
    projector: { layers: 1, pooled: false },
    language: { activation: 'gelu_erf', residual: 'parallel_two_norms', heads: 2, kvHeads: 2, headSize: 56, rotaryDims: 20 },
  },
  // 4 × 4 patches, pooled, of a tower with the blocks of a decoder; no positions, LayerNorm before a gated MLP.
  'pooled llama, gated neox': {
    vision: {
      ...{ norm: 'rms', activation: 'silu', gated: true, heads: 4, kvHeads: 2, headSize: 24 },
      ...{ imageSize: 56, prefixRows: 1, skippedRows: 1, preNorm: true },
    },
    projector: { layers: 2, pooled: true },
    language: { activation: 'quick_gelu', gated: true, residual: 'parallel_two_norms', heads: 2, kvHeads: 1, headSize: 56, rotaryDims: 0 },
  },
};
export const SWITCHED = Object.keys(SWITCHES);

/** Writes a package of F16 matrices into the new folder `out`. */
export async function writeSwitched(out: string, name: string): Promise<Manifest> {
  const nano = await readManifest(NANO);
  const { vision, projector, language } = SWITCHES[name] as Switched;
  const { vocab, tokens } = nano.architecture.language;
  const architecture: Architecture = { vision: { ...TOWER, ...vision }, projector, language: { ...DECODER, vocab, tokens, ...language } };
  const tensors = new Tensors(architecture).list;
  const recipe = completeRecipe(tensors, {}, 'f16');
  mkdirSync(out, { recursive: true });
  const weights = await writeWeights(join(out, WEIGHTS_FILE), tensors, recipe);
  cpSync(join(NANO, TOKENIZER_FOLDER), join(out, TOKENIZER_FOLDER), { recursive: true });
  const tokenizer = Object.entries(nano.files).filter(([path]) => path.startsWith(`${TOKENIZER_FOLDER}/`));
  const { lora: _, ...plain } = nano;
  const files = { [WEIGHTS_FILE]: weights, ...Object.fromEntries(tokenizer) };
  const manifest: Manifest = { ...plain, name, source: { name: 'random weights', files: {} }, architecture, recipe, files };
  await writeManifest(out, manifest);
  return manifest;
}

/** `folder`/calibrated of `folder`/random. */
export async function calibrateSwitched(
  folder: string,
  name: string,
  options: Partial<CalibrateOptions> = {},
): Promise<{ out: string; calibration: Calibration; samples: Sample[] }> {
  const manifest = await writeSwitched(join(folder, 'random'), name);
  const samples = switchedSamples(manifest, 3);
  const out = join(folder, 'calibrated');
  const calibration = await calibrate(join(folder, 'random'), out, samples, { budget: 1, source: { pictures: [], prompts: [] }, ...options });
  return { out, calibration, samples };
}

export function switchedSamples({ architecture: { vision, language } }: Manifest, count: number): Sample[] {
  const random = new Random(7);
  const ids = (length: number) => Int32Array.from({ length }, () => random.below(language.tokens));
  return Array.from({ length: count }, () => ({
    pixels: Uint8Array.from({ length: 3 * vision.imageSize ** 2 }, () => random.below(256)),
    prefix: ids(3),
    ids: ids(12),
  }));
}

/**
 * Scaled so that the variance of every layer stays near one. Every 24th value of a gain is an outlier for smoothing to find, small enough that steps of
 * INT8 stay within what boundAfter() counts with.
 */
class Tensors {
  readonly list: CanonicalTensor[] = [];
  readonly #random = new Random(1);

  constructor(architecture: Architecture) {
    const { vision, projector, language } = architecture;
    this.#matrix({ name: 'vision.patch_embedding', rows: vision.hidden, columns: 3 * vision.patchSize ** 2 });
    this.#floats('vision.position_embedding', [gridOf(vision) ** 2, vision.hidden], 0.5);
    if (vision.prefixRows > 0) this.#floats('vision.prefix', [vision.prefixRows, vision.hidden], 1);
    if (vision.preNorm) this.#norm('vision.pre_norm', vision);
    for (const block of towerBlocks(architecture)) this.#block(block);
    for (const matrix of projectorMatrices(architecture)) this.#matrix(matrix);
    if (projector.pooled) {
      this.#floats('projector.pooling.weight', [language.hidden, 9], 0.3);
      this.#floats('projector.pooling.bias', [language.hidden], 0.1);
    }
    this.#floats('language.embedding.weight', [language.vocab, language.hidden], 1, 0, 'language.embedding');
    for (const block of decoderBlocks(architecture)) this.#block(block);
    this.#norm('language.final_norm', language);
    this.#matrix(headMatrix(architecture));
  }

  #block(block: Block): void {
    this.#norm(block.norm1, block);
    if (block.norm2 !== undefined) this.#norm(block.norm2, block);
    for (const matrix of matricesOf(block)) this.#matrix(matrix);
  }

  #norm(name: string, { hidden, norm }: Pick<Block, 'hidden' | 'norm'>): void {
    this.#floats(`${name}.weight`, [hidden], 0.2, 1, undefined, (i) => (i % 24 === 5 ? 3 : 1));
    if (norm === 'layer') this.#floats(`${name}.bias`, [hidden], 0.1);
  }

  #matrix({ name, rows, columns }: Matrix): void {
    this.#floats(`${name}.weight`, [rows, columns], Math.sqrt(3 / columns), 0, name);
    this.#floats(`${name}.bias`, [rows], 0.1);
  }

  /** Even values at most `limit` from `centre`. */
  #floats(name: string, shape: number[], limit: number, centre = 0, matrix?: string, times = (_index: number) => 1): void {
    const [rows, columns] = [shape[0] as number, shape[1] ?? 1];
    const even = () => centre + limit * (this.#random.below(2 ** 20) / 2 ** 19 - 1);
    const values = Float32Array.from({ length: rows * columns }, (_, i) => times(i) * even());
    const read = async (first: number, count: number, into: Uint8Array) => {
      into.set(new Uint8Array(values.buffer, 4 * first * columns, 4 * count * columns));
    };
    this.list.push({ name, matrix, shape, rows, columns, runs: [{ source: { name, dtype: 'F32', shape, read }, firstRow: 0, rows }] });
  }
}
