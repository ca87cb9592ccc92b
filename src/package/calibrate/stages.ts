/** The stages of a model in order, and runs of them over samples, one sample at a time so that progress and abortion are never far. */
import type { NativeStages, ProductOptions } from '../../addon/addon.js';
import { type Block, decoderBlocks, headMatrix, type Matrix, matricesOf, projectorMatrices, towerBlocks } from '../block.js';
import type { Architecture } from '../manifest.js';

/** One picture with one question, ready to run. */
export interface Sample {
  pixels: Uint8Array; // uint8 [size, size, 3]
  prefix: Int32Array; // ids before the picture
  ids: Int32Array; // ids after it
}

export interface Stage {
  name: string;
  matrices: string[];
  width: number; // of the rows that go in
}

export function stagesOf(architecture: Architecture): Stage[] {
  const { vision } = architecture;
  const stage = (name: string, matrices: Matrix[], width: number): Stage => ({ name, matrices: matrices.map((matrix) => matrix.name), width });
  const ofBlock = (block: Block) => stage(block.name, matricesOf(block), block.hidden);
  const head = headMatrix(architecture);
  return [
    stage('vision.patches', [], 3 * vision.patchSize ** 2),
    ...towerBlocks(architecture).map(ofBlock),
    stage('projector', projectorMatrices(architecture), vision.hidden),
    ...decoderBlocks(architecture).map(ofBlock),
    stage('head', [head], head.columns),
  ];
}

export type Products = Record<string, ProductOptions>;

/** Hidden rows of one sample between two stages; pixels before the first. */
export type Rows = Float32Array | Uint8Array;

/** Runs one stage over one sample: what stands between the stages (a prompt around the features, the rows that are answered) is done here. */
export async function runStage(native: NativeStages, stage: Stage, sample: Sample, rows: Rows, products: Products): Promise<Float32Array> {
  // Of the head only the rows of the text after the picture: the others' logits are never looked at.
  const input = stage.name === 'head' ? (rows as Float32Array).slice(-sample.ids.length * stage.width) : rows;
  const result = await native.run(stage.name, [input], products);
  const output = result.rows[0] as Float32Array;
  return stage.name === 'projector' ? joined([native.embed(sample.prefix), output, native.embed(sample.ids)]) : output;
}

function joined(parts: Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** ‖a − b‖ / ‖b‖ */
export function relativeError(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let whole = 0;
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] as number) - (b[i] as number)) ** 2;
    whole += (b[i] as number) ** 2;
  }
  return whole === 0 ? Math.sqrt(difference) : Math.sqrt(difference / whole);
}
