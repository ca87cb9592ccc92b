/** SigLIP and projector as one graph: normalized pixels f32 [1, 3, side, side] → features f32 [tokens, hidden of the language model]. */
import { type Block, towerBlocks } from '../block.js';
import { towerRows } from '../manifest.js';
import { parts, transformerBlock } from './block.js';
import { Graph, type Value } from './graph.js';
import { Products } from './product.js';
import type { GraphSource } from './source.js';

export function visionGraph(source: GraphSource, wide: boolean): Graph {
  const { vision, projector } = source.manifest.architecture;
  const tokens = towerRows(vision);
  const graph = new Graph('vision');
  const products = new Products(graph, source, wide);

  const pixels = graph.input('pixels', 'f32', [1, 3, vision.imageSize, vision.imageSize]);
  let x = graph.within('vision.patch_embedding', () => embedPatches(graph, source, pixels, tokens));
  for (const block of towerBlocks(source.manifest.architecture)) {
    x = graph.within(block.name, () => transformerBlock(products, block, x, (qkv) => attention(products, block, qkv, tokens)));
  }
  if (projector.layers > 0) {
    let features = graph.cast(x, 'f16');
    for (let i = 0; i < projector.layers; i++) {
      if (i > 0) features = graph.gelu(features, 'none');
      features = graph.within('projector', () => products.linear(features, `projector.${i}`));
    }
    x = graph.cast(features, 'f32');
  }
  graph.output('features', x);
  return graph;
}

/** FP32: it reads raw pixels and is 0.02 % of the weights. → [tokens, hidden] */
function embedPatches(graph: Graph, source: GraphSource, pixels: Value, tokens: number): Value {
  const { hidden, patchSize: side } = source.manifest.architecture.vision;
  const name = 'vision.patch_embedding';
  const weight = graph.floats(`${name}.weight`, source.floats(`${name}.weight`), [hidden, 3, side, side]);
  const bias = graph.floats(`${name}.bias`, source.floats(`${name}.bias`), [hidden]);
  const cut = graph.patches(pixels, weight, bias, side, Math.sqrt(tokens));
  const rows = graph.transpose(graph.reshape(cut, [hidden, tokens]), [1, 0]);
  return graph.add(rows, graph.floats('vision.position_embedding', source.floats('vision.position_embedding'), [tokens, hidden]));
}

/** FP16 throughout and q scaled first: the pattern that TensorRT fuses at this head size. f16 [tokens, qkv.rows] → f16 [tokens, out.columns]. */
function attention(products: Products, block: Block, qkv: Value, tokens: number): Value {
  const { graph } = products;
  const { heads, headSize } = block;
  const [q, k, v] = parts(products, qkv, block);
  return graph.within('attention', () => {
    const headed = (rows: Value, order: number[]) => graph.transpose(graph.reshape(rows, [tokens, heads, headSize]), order);
    const scaled = graph.multiply(q, graph.scalar('f16', 1 / Math.sqrt(headSize)));
    const scores = graph.matmul(headed(scaled, [1, 0, 2]), headed(k, [1, 2, 0]));
    const mixed = graph.matmul(graph.softmax(scores), headed(v, [1, 0, 2]));
    return graph.reshape(graph.transpose(mixed, [1, 0, 2]), [tokens, block.out.columns]);
  });
}
