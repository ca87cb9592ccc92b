/**
 * What a build and the engines will need, from sizes alone. Deliberately on the high side: a board that runs out of memory while it builds kills more
 * than the build.
 */
import { decoderBlocks, headMatrix, type Matrix, matricesOf, projectorMatrices, towerBlocks } from '../block.js';
import { type Architecture, type BlockSizes, imageTokens, type Manifest, towerRows } from '../manifest.js';
import type { Segment } from '../onnx/write.js';
import { segmentsOf } from '../onnx/write.js';
import type { PlanOptions } from './key.js';

export interface SegmentEstimate {
  name: string;
  weightBytes: number;
  planBytes: number;
  scratchBytes: number; // activations while it runs
  buildBytes: number; // peak of the process while it is built
}

export interface Estimate {
  segments: SegmentEstimate[];
  buildBytes: number; // the largest of the segments: they are built one after the other
  run: { weights: number; cache: number; activations: number; staging: number; process: number; total: number };
}

// Node, the addon, CUDA's context and TensorRT's own libraries, as their sizes on disk suggest; not measured on a board.
const PROCESS_BYTES = 600e6;
// TensorRT 10.3 reads each weight into memory of the parser and copies it into the network; the builder holds a third copy where kernels are tried,
// and the serialized plan is a fourth.
const WEIGHT_COPIES = 4;
// FP32 scores, what the softmax makes of them, and FP16 probabilities with their two parts.
const SCORE_COPIES = 3;

export function estimateOf({ architecture, recipe }: Pick<Manifest, 'architecture' | 'recipe'>, options: PlanOptions): Estimate {
  const segments = segmentsOf(architecture.language.layers, options.segments).map((segment) => {
    const weightBytes = weightBytesOf(segment, architecture, recipe);
    const scratchBytes = segment.kind === 'vision' ? visionScratch(architecture) : languageScratch(architecture, options);
    return {
      name: segment.name,
      weightBytes,
      planBytes: Math.ceil(1.02 * weightBytes), // and its kernels
      scratchBytes,
      buildBytes: PROCESS_BYTES + WEIGHT_COPIES * weightBytes + options.workspaceBytes + scratchBytes,
    };
  });
  const { language, vision } = architecture;
  const weights = segments.reduce((sum, segment) => sum + segment.planBytes, 0);
  const cache = decoderBlocks(architecture).reduce((sum, { kvWidth }) => sum + 2 * options.cacheRows * kvWidth * 2, 0); // keys and values in FP16
  const activations = Math.max(...segments.map(({ scratchBytes }) => scratchBytes)); // engines run one after the other and share it
  const mask = options.maxRows * (options.cacheRows + options.maxRows);
  const staging =
    4 * (2 * options.maxRows * language.hidden + mask + 8 * language.vocab + imageTokens(architecture) * language.hidden + 3 * vision.imageSize ** 2);
  const run = { weights, cache, activations, staging, process: PROCESS_BYTES };
  return {
    segments,
    buildBytes: Math.max(...segments.map(({ buildBytes }) => buildBytes)),
    run: { ...run, total: Object.values(run).reduce((sum, bytes) => sum + bytes, 0) },
  };
}

function weightBytesOf(segment: Segment, architecture: Architecture, recipe: Manifest['recipe']): number {
  const { vision, language } = architecture;
  const bytes = (matrices: Matrix[]) => matrices.reduce((sum, { name, rows, columns }) => sum + rows * columns * (recipe[name] === 'f16' ? 2 : 1), 0);
  if (segment.kind === 'vision') {
    const embedding = 4 * vision.hidden * (3 * vision.patchSize ** 2 + towerRows(vision)); // FP32, inside the graph
    return embedding + bytes(towerBlocks(architecture).flatMap(matricesOf)) + bytes(projectorMatrices(architecture));
  }
  const head = segment.end === language.layers ? [headMatrix(architecture)] : [];
  return bytes([...decoderBlocks(architecture).slice(segment.first, segment.end).flatMap(matricesOf), ...head]);
}

/** FP16 scores of all heads unless TensorRT fuses them, the wide rows of the MLP, FP32 residual streams. */
function visionScratch({ vision }: Architecture): number {
  const rows = towerRows(vision);
  return SCORE_COPIES * 2 * vision.heads * rows ** 2 + rows * (2 * 2 * upRows(vision) + 4 * 6 * widest(vision));
}

function languageScratch({ language }: Architecture, { maxRows, cacheRows }: PlanOptions): number {
  const scores = SCORE_COPIES * 4 * language.heads * maxRows * (cacheRows + maxRows);
  return scores + maxRows * (2 * 2 * upRows(language) + 4 * 8 * widest(language)) + 8 * language.vocab * 6;
}

/** Rows of q may be wider than the residual stream. */
function widest({ hidden, heads, headSize }: BlockSizes): number {
  return Math.max(hidden, heads * headSize);
}

function upRows({ intermediate, gated }: BlockSizes): number {
  return gated ? 2 * intermediate : intermediate;
}
