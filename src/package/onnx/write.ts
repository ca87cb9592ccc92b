/**
 * Writes graphs into a folder. Their matrices are not copied: the folder gets a link to the package's weights.safetensors, and each graph says where
 * in it a matrix lies.
 */
import { link, mkdir, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { decoderBlocks, towerBlocks } from '../block.js';
import { sha256Of } from '../hash.js';
import { WEIGHTS_FILE } from '../manifest.js';
import { writeDurably } from '../output.js';
import type { Graph } from './graph.js';
import { type LayerRange, languageGraph } from './language.js';
import type { LintContext } from './lint.js';
import { encodeModel, type Model } from './proto.js';
import type { GraphSource } from './source.js';
import { visionGraph } from './vision.js';

/** One engine of a package: the tower with the projector, or a run of layers of the language model. */
export type Segment = { name: string; kind: 'vision' } | ({ name: string; kind: 'language'; index: number } & LayerRange);

export interface WrittenGraph {
  path: string;
  model: Model;
  /** Of the package's file; what stands in the graph itself is small. */
  weightBytes: number;
}

/** The tower, then `parts` runs of layers of nearly one length (as many as there are layers, if that is less). */
export function segmentsOf(layers: number, parts: number): Segment[] {
  const count = Math.min(parts, layers);
  const bound = (index: number) => Math.ceil((layers * index) / count);
  const language = Array.from({ length: count }, (_, index) => {
    return { name: `language.${index}`, kind: 'language' as const, index, first: bound(index), end: bound(index + 1) };
  });
  return [{ name: 'vision', kind: 'vision' }, ...language];
}

/** `wide`: no input is quantized. Writes NAME.onnx and, if it is not there, the link; returns what was written, for the lint. */
export async function writeGraph(folder: string, source: GraphSource, segment: Segment, wide = false): Promise<WrittenGraph> {
  await mkdir(folder, { recursive: true });
  await linkWeights(resolve(source.folder, WEIGHTS_FILE), join(folder, WEIGHTS_FILE));
  const model = modelOf(source, segment, wide);
  const path = join(folder, `${segment.name}.onnx`);
  await writeDurably(path, encodeModel(model));
  const weightBytes = model.initializers.reduce((sum, { data }) => sum + (data instanceof Uint8Array ? 0 : data.length), 0);
  return { path, model, weightBytes };
}

/** The metadata is what somebody needs who finds a graph without its package. */
export function modelOf(source: GraphSource, segment: Segment, wide: boolean): Model {
  const graph: Graph = segment.kind === 'vision' ? visionGraph(source, wide) : languageGraph(source, segment.index, segment, wide);
  return graph.model({
    'mipha.graph': segment.kind === 'vision' ? 'vision' : `language ${segment.first} ${segment.end}`,
    'mipha.wide': wide ? '1' : '0',
    'mipha.package': sha256Of(source.manifestText),
    'mipha.manifest': source.manifestText,
    'mipha.calibration': source.calibrationText,
  });
}

/** What the lint must find in the graph of a segment. */
export function lintContext(source: GraphSource, segment: Segment, wide: boolean): LintContext {
  const { architecture, recipe, files } = source.manifest;
  const blocks = segment.kind === 'vision' ? towerBlocks(architecture) : decoderBlocks(architecture).slice(segment.first, segment.end);
  const isOurs = (matrix: string) => {
    const [model, , layer] = matrix.split('.');
    if (matrix === 'vision.patch_embedding' || matrix === 'language.embedding') return false; // a convolution; a lookup outside
    if (segment.kind === 'vision') return model === 'vision' || model === 'projector';
    if (matrix === 'language.head') return segment.end === architecture.language.layers;
    return model === 'language' && Number(layer) >= segment.first && Number(layer) < segment.end;
  };
  const ours = Object.entries(recipe).filter(([matrix]) => isOurs(matrix));
  const written = ours.map(([matrix, precision]) => [matrix, wide && precision === 'w8a8' ? 'w8a16' : precision] as const);
  return { recipe: new Map(written), blocks, weightsBytes: files[WEIGHTS_FILE]?.bytes ?? 0 };
}

/** A hard link where the file system has them: readers of external data may refuse a symbolic one. */
async function linkWeights(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    await symlink(from, to);
  }
}
