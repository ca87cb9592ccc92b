/** Tower and projector as one graph: normalized pixels f32 [1, 3, side, side] → features f32 [image tokens, hidden of the language model]. */
import { type Block, projectorMatrices, towerBlocks } from '../block.js';
import { gridOf, imageTokens, towerRows } from '../manifest.js';
import { headsFirst, norm, parts, rowsFirst, transformerBlock } from './block.js';
import { Graph, type Value } from './graph.js';
import { Products } from './product.js';
import type { GraphSource } from './source.js';

export function visionGraph(source: GraphSource, wide: boolean): Graph {
  const { architecture } = source.manifest;
  const { vision, projector } = architecture;
  const rows = towerRows(vision);
  const graph = new Graph('vision');
  const products = new Products(graph, source, wide);

  const pixels = graph.input('pixels', 'f32', [1, 3, vision.imageSize, vision.imageSize]);
  let x = graph.within('vision.patch_embedding', () => embedPatches(graph, source, pixels));
  if (vision.preNorm) x = graph.within('vision.pre_norm', () => norm(products, x, 'vision.pre_norm', vision));
  for (const block of towerBlocks(architecture)) {
    x = graph.within(block.name, () => transformerBlock(products, block, x, (qkv) => attention(products, block, qkv, rows)));
  }
  if (vision.skippedRows > 0) x = graph.slice(x, 0, graph.ints([vision.skippedRows]), graph.ints([rows]), rows - vision.skippedRows);
  if (projector.layers > 0) {
    let features = graph.cast(x, 'f16');
    for (const [i, { name }] of projectorMatrices(architecture).entries()) {
      if (i > 0) features = graph.activation(features, 'gelu_erf');
      features = graph.within('projector', () => products.linear(features, name));
    }
    x = graph.cast(features, 'f32');
  }
  if (projector.pooled) x = graph.within('projector.pooling', () => pool(graph, source, x));
  graph.output('features', x);
  return graph;
}

/** FP32: it reads raw pixels and is 0.02 % of the weights. → what the tower reads, [rows, hidden] */
function embedPatches(graph: Graph, source: GraphSource, pixels: Value): Value {
  const { vision } = source.manifest.architecture;
  const { hidden, patchSize: side, prefixRows } = vision;
  const floats = (name: string, dims: number[]) => graph.floats(name, source.floats(name), dims);
  const grid = gridOf(vision);
  const weight = floats('vision.patch_embedding.weight', [hidden, 3, side, side]);
  const cut = graph.patches(pixels, weight, floats('vision.patch_embedding.bias', [hidden]), side, grid);
  const rows = graph.transpose(graph.reshape(cut, [hidden, grid ** 2]), [1, 0]);
  const placed = graph.add(rows, floats('vision.position_embedding', [grid ** 2, hidden]));
  return prefixRows === 0 ? placed : graph.concat([floats('vision.prefix', [prefixRows, hidden]), placed], 0, towerRows(vision));
}

/** FP16 throughout and q scaled first: the pattern that TensorRT fuses at this head size. f16 [rows, qkv.rows] → f16 [rows, out.columns]. */
function attention(products: Products, block: Block, qkv: Value, rows: number): Value {
  const { graph } = products;
  const { headSize } = block;
  const [q, k, v] = parts(products, qkv, block);
  return graph.within('attention', () => {
    const headed = (part: Value, turned = false) =>
      headsFirst(graph, graph.reshape(part, [rows, (part.dims[1] as number) / headSize, headSize]), block, turned);
    const scaled = graph.multiply(q, graph.scalar('f16', 1 / Math.sqrt(headSize)));
    const scores = graph.matmul(headed(scaled), headed(k, true));
    return rowsFirst(graph, graph.matmul(graph.softmax(scores), headed(v)), block);
  });
}

/** The end of LDPv2 (arXiv 2402.03766) in FP32: means of 2 × 2 patches, and a 3 × 3 of each one's neighbourhood added. → [image tokens, hidden] */
function pool(graph: Graph, source: GraphSource, x: Value): Value {
  const { architecture } = source.manifest;
  const { hidden } = architecture.language;
  const grid = gridOf(architecture.vision);
  const floats = (part: string, dims: number[]) => graph.floats(`projector.pooling.${part}`, source.floats(`projector.pooling.${part}`), dims);
  const means = graph.halved(graph.reshape(graph.transpose(x, [1, 0]), [1, hidden, grid, grid]));
  const near = graph.depthwise(means, floats('weight', [hidden, 1, 3, 3]), floats('bias', [hidden]));
  return graph.transpose(graph.reshape(graph.add(means, near), [hidden, imageTokens(architecture)]), [1, 0]);
}
