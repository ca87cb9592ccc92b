/** The FP32 forward pass of a calibrated package with its inputs quantized as the recipe says (or wide): what its graphs are compared with. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeStages } from '../../src/addon/addon.js';
import { loadAddon } from '../../src/addon/load.js';
import { type Products, relativeError, type Stage, stagesOf } from '../../src/package/calibrate/stages.js';
import { CALIBRATION_FILE, calibrationSchema } from '../../src/package/calibration.js';
import type { BlockSizes, Manifest } from '../../src/package/manifest.js';

/** Everything of one run over a whole sequence: rows of hidden states entering each layer, and behind the last. */
export interface ReferenceRun {
  features: Float32Array;
  hidden: Float32Array[]; // [layers + 1], each [rows, hidden]
  keys: Float32Array[]; // [layers], rotated
  values: Float32Array[];
  logits: Float32Array; // of the last row
}

export class QuantizedReference {
  readonly #native: NativeStages;
  readonly #stages: Stage[];
  readonly #products: Products;

  constructor(
    folder: string,
    readonly manifest: Manifest,
    wide: boolean,
  ) {
    this.#native = loadAddon().stages(folder, '', 0);
    this.#stages = stagesOf(manifest.architecture);
    const { matrices } = calibrationSchema.parse(JSON.parse(readFileSync(join(folder, CALIBRATION_FILE), 'utf8')));
    const quantized = Object.entries(matrices).filter(([, { precision }]) => precision === 'w8a8' && !wide);
    this.#products = Object.fromEntries(quantized.map(([matrix, { inputScale }]) => [matrix, { scale: inputScale }]));
  }

  async encode(pixels: Uint8Array): Promise<Float32Array> {
    let rows: Float32Array | Uint8Array = pixels;
    for (const stage of this.#stages.filter(({ name }) => name.startsWith('vision') || name === 'projector')) rows = await this.#run(stage, rows);
    return rows as Float32Array;
  }

  async run(pixels: Uint8Array, prefix: Int32Array, ids: Int32Array): Promise<ReferenceRun> {
    const features = await this.encode(pixels);
    const embed = (text: Int32Array) => [...this.#native.embed(text)];
    const run: ReferenceRun = {
      features,
      hidden: [Float32Array.from([...embed(prefix), ...features, ...embed(ids)])],
      keys: [],
      values: [],
      logits: new Float32Array(),
    };
    for (const stage of this.#stages.filter(({ name }) => name.startsWith('language'))) {
      const result = await this.#native.run(stage.name, [run.hidden.at(-1) as Float32Array], this.#own(stage));
      run.hidden.push(result.rows[0] as Float32Array);
      run.keys.push(result.pasts[0]?.keys as Float32Array);
      run.values.push(result.pasts[0]?.values as Float32Array);
    }
    const { hidden } = this.manifest.architecture.language;
    run.logits = await this.#run(this.#stages.at(-1) as Stage, (run.hidden.at(-1) as Float32Array).slice(-hidden));
    return run;
  }

  #own({ matrices }: Stage): Products {
    return Object.fromEntries(Object.entries(this.#products).filter(([matrix]) => matrices.includes(matrix)));
  }

  async #run(stage: Stage, rows: Float32Array | Uint8Array): Promise<Float32Array> {
    return (await this.#native.run(stage.name, [rows], this.#own(stage))).rows[0] as Float32Array;
  }
}

/**
 * Weighted products of a block, as boundAfter counts them. A gated MLP counts for two more: both factors of what it multiplies are off, and their
 * product has long tails, so that its step is up to twice as large a part of its rms, which is the noise of two.
 */
export function productsOfBlock({ gated }: Pick<BlockSizes, 'gated'>): number {
  return gated ? 6 : 4;
}

/**
 * Largest relative RMS difference between a graph and the reference behind `products` weighted products. A product's FP16 input and output are each
 * off by at most 2^-11 and so is what stands between two products: four roundings. In INT8 such a difference also moves values across the middle
 * between two steps: one in 2 · 2^-11 · |x| / step values moves by a whole step, which is √(2 · 2^-11 · step / rms) of the rms; a tensor's step is
 * below 6 / 127 of its rms after calibration. Products add up like independent noise; a factor of two covers that they are not.
 */
export function boundAfter(products: number, wide: boolean): number {
  const rounding = 4 * 2 ** -11;
  const moved = wide ? 0 : Math.sqrt((2 * 2 ** -11 * 6) / 127);
  return 2 * Math.sqrt(products) * (rounding + moved);
}

export { relativeError };
