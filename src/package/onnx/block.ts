/** One transformer block as nodes of a graph; how its rows look at each other is the caller's. */
import type { Block } from '../block.js';
import type { Value } from './graph.js';
import type { Products } from './product.js';

/** x f32 [rows, hidden] → the same. `attend`: q, k and v f16 [rows, qkv.rows] → f16 [rows, out.columns]. */
export function transformerBlock(products: Products, block: Block, x: Value, attend: (qkv: Value) => Value): Value {
  const { graph } = products;
  const added = (to: Value, y: Value) => graph.add(to, graph.cast(y, 'f32'));
  const expanded = (rows: Value) => graph.gelu(products.linear(rows, block.up.name), 'tanh');

  const rows = normed(products, x, block.norm1, block);
  const mixed = attend(products.linear(rows, block.qkv.name));
  if (block.norm2 === undefined) {
    const inner = expanded(rows);
    return added(added(x, products.linear(mixed, block.out.name)), products.linear(inner, block.down.name));
  }
  const y = added(x, products.linear(mixed, block.out.name));
  return added(y, products.linear(expanded(normed(products, y, block.norm2, block)), block.down.name));
}

/** LayerNorm in FP32. x f32 → f16 */
export function normed({ graph, source }: Products, x: Value, name: string, { hidden, epsilon }: Pick<Block, 'hidden' | 'epsilon'>): Value {
  const gain = graph.floats(`${name}.weight`, source.floats(`${name}.weight`), [hidden]);
  const bias = graph.floats(`${name}.bias`, source.floats(`${name}.bias`), [hidden]);
  return graph.cast(graph.layerNorm(x, gain, bias, epsilon), 'f16');
}

/** q, k and v of a product. */
export function parts({ graph }: Products, qkv: Value, { qkv: { rows } }: Block): [q: Value, k: Value, v: Value] {
  return graph.split(qkv, 1, [rows / 3, rows / 3, rows / 3]) as [Value, Value, Value];
}
