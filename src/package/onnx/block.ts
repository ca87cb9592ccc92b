/** One transformer block as nodes of a graph; how its rows look at each other is the caller's. */
import type { Block, Matrix } from '../block.js';
import type { Graph, Value } from './graph.js';
import type { Products } from './product.js';
import type { Dim } from './proto.js';

/** x f32 [rows, hidden] → the same. `attend`: q, k and v f16 [rows, qkv.rows] → f16 [rows, out.columns]. */
export function transformerBlock(products: Products, block: Block, x: Value, attend: (qkv: Value) => Value): Value {
  const { graph } = products;
  const added = (to: Value, rows: Value, { name }: Matrix) => graph.add(to, graph.cast(products.linear(rows, name), 'f32'));
  const sequential = block.residual === 'sequential';

  const rows = normed(products, x, block.norm1, block);
  const mixed = attend(products.linear(rows, block.qkv.name));
  const attended = sequential ? added(x, mixed, block.out) : x;
  const read = block.norm2 === undefined ? rows : normed(products, attended, block.norm2, block);
  const inner = activated(graph, products.linear(read, block.up.name), block);
  return added(sequential ? attended : added(x, mixed, block.out), inner, block.down);
}

/** f16 [rows, up.rows] → f16 [rows, intermediate] */
function activated(graph: Graph, x: Value, { gated, activation, intermediate }: Block): Value {
  if (!gated) return graph.activation(x, activation);
  const [gate, linear] = graph.split(x, 1, [intermediate, intermediate]) as [Value, Value];
  return graph.multiply(graph.activation(gate, activation), linear);
}

/** In FP32, x f32 → f16. */
export function normed(products: Products, x: Value, name: string, sizes: Pick<Block, 'hidden' | 'norm' | 'epsilon'>): Value {
  return products.graph.cast(norm(products, x, name, sizes), 'f16');
}

/** x f32 → f32 */
export function norm({ graph, source }: Products, x: Value, name: string, sizes: Pick<Block, 'hidden' | 'norm' | 'epsilon'>): Value {
  const vector = (part: string) => graph.floats(`${name}.${part}`, source.floats(`${name}.${part}`), [sizes.hidden]);
  if (sizes.norm === 'rms') return graph.rmsNorm(x, vector('weight'), sizes.epsilon);
  return graph.layerNorm(x, vector('weight'), vector('bias'), sizes.epsilon);
}

/** q, k and v of a product. */
export function parts({ graph }: Products, qkv: Value, { out, kvWidth }: Block): [q: Value, k: Value, v: Value] {
  return graph.split(qkv, 1, [out.columns, kvWidth, kvWidth]) as [Value, Value, Value];
}

/**
 * q, k or v [rows, heads, headSize] → [heads, rows, headSize]. Where heads share one of k and v: [kvHeads, heads that share it, rows, headSize], along
 * whose second axis products broadcast k and v, so that neither is copied. `turned`: rows last, as q's product with k reads it.
 */
export function headsFirst(graph: Graph, x: Value, { heads, kvHeads, headSize }: Block, turned = false): Value {
  if (heads === kvHeads) return graph.transpose(x, turned ? [1, 2, 0] : [1, 0, 2]);
  const [rows, count] = x.dims as [Dim, number, number];
  return graph.transpose(graph.reshape(x, [rows, kvHeads, count / kvHeads, headSize]), turned ? [1, 2, 3, 0] : [1, 2, 0, 3]);
}

/** What attention mixed, heads first → [rows, out.columns] */
export function rowsFirst(graph: Graph, x: Value, { heads, kvHeads, out }: Block): Value {
  return graph.reshape(graph.transpose(x, heads === kvHeads ? [1, 0, 2] : [2, 0, 1, 3]), [x.dims.at(-2) as Dim, out.columns]);
}
