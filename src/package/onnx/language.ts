/**
 * Layers [first, end) of the language model as a graph over `rows` new rows and `past` earlier ones. Keys and values are time-major, so that the
 * caller can bind what is new right behind what is past; the mask says which row sees which, so that one run can hold several sequences.
 */
import { Graph, type Value } from './graph.js';
import { Products } from './product.js';
import type { GraphSource } from './source.js';

export interface LayerRange {
  first: number;
  end: number;
}

interface Shared {
  cosine: Value | undefined; // f32 [rows, rotaryDims / 2]
  sine: Value | undefined;
  mask: Value; // f32 [rows, columns], columns = past + rows
}

export function languageGraph(source: GraphSource, index: number, { first, end }: LayerRange, wide: boolean): Graph {
  const { hidden, layers, rotaryDims } = source.manifest.architecture.language;
  const graph = new Graph(`language.${index}`);
  const products = new Products(graph, source, wide);

  let x = graph.input('hidden_in', 'f32', ['rows', hidden]);
  const angle = (name: string) => (rotaryDims === 0 ? undefined : graph.input(name, 'f32', ['rows', rotaryDims / 2]));
  const shared: Shared = { cosine: angle('cosine'), sine: angle('sine'), mask: graph.input('mask', 'f32', ['rows', 'columns']) };
  for (let layer = first; layer < end; layer++) x = graph.within(`language.layers.${layer}`, () => block(products, layer, x, shared));

  if (end < layers) {
    graph.output('hidden_out', x);
  } else {
    const answered = graph.gather(x, graph.input('rows', 'i32', ['answers']));
    const logits = graph.within('language', () => products.linear(normed(products, answered, 'language.final_norm'), 'language.head'));
    graph.output('logits', graph.cast(logits, 'f32'));
  }
  return graph;
}

/** Phi's parallel block: one norm feeds attention and MLP. x f32 [rows, hidden] → the same. */
function block(products: Products, layer: number, x: Value, shared: Shared): Value {
  const { graph } = products;
  const name = `language.layers.${layer}`;
  const rows = normed(products, x, `${name}.norm`);
  const attended = attention(products, layer, products.linear(rows, `${name}.qkv`), shared);
  const inner = graph.gelu(products.linear(rows, `${name}.fc1`), 'tanh');
  const y = graph.add(x, graph.cast(products.linear(attended, `${name}.dense`), 'f32'));
  return graph.add(y, graph.cast(products.linear(inner, `${name}.fc2`), 'f32'));
}

/** x f32 → f16 */
function normed({ graph, source }: Products, x: Value, name: string): Value {
  const { hidden, epsilon } = source.manifest.architecture.language;
  const gain = graph.floats(`${name}.weight`, source.floats(`${name}.weight`), [hidden]);
  const bias = graph.floats(`${name}.bias`, source.floats(`${name}.bias`), [hidden]);
  return graph.cast(graph.layerNorm(x, gain, bias, epsilon), 'f16');
}

/** qkv f16 [rows, 3 · hidden] → f16 [rows, hidden]; takes past keys and values in and gives the new ones out. */
function attention({ graph, source }: Products, layer: number, qkv: Value, { cosine, sine, mask }: Shared): Value {
  const { hidden, heads, rotaryDims } = source.manifest.architecture.language;
  const headSize = hidden / heads;
  const cached = ['past', heads, headSize];
  const pastKeys = graph.input(`past_keys.${layer}`, 'f16', cached);
  const pastValues = graph.input(`past_values.${layer}`, 'f16', cached);

  const [q, k, v] = graph.split(qkv, 1, [hidden, hidden, hidden]).map((part) => graph.reshape(part, ['rows', heads, headSize])) as [
    Value,
    Value,
    Value,
  ];
  const rotated = (part: Value, name: string) =>
    cosine === undefined || sine === undefined
      ? graph.cast(part, 'f32')
      : graph.within(name, () => rotate(graph, graph.cast(part, 'f32'), cosine, sine, rotaryDims / 2, headSize));
  const keys = graph.cast(rotated(k, 'rotate_k'), 'f16');
  graph.output(`new_keys.${layer}`, keys);
  graph.output(`new_values.${layer}`, v);

  return graph.within('attention', () => {
    // Phi-2's q · k leaves the range of FP16 even when it is scaled afterwards: q is scaled first and the scores are FP32.
    const scaled = graph.multiply(rotated(q, 'rotate_q'), graph.scalar('f32', 1 / Math.sqrt(headSize)));
    const query = graph.transpose(graph.cast(graph.cast(scaled, 'f16'), 'f32'), [1, 0, 2]);
    const scoresOf = (against: Value) => graph.matmul(query, graph.cast(graph.transpose(against, [1, 2, 0]), 'f32'));
    const scores = graph.add(graph.concat([scoresOf(pastKeys), scoresOf(keys)], 2, 'columns'), mask);
    const shares = graph.cast(graph.softmax(scores), 'f16');

    const past = graph.size(pastKeys, 0);
    const ofPast = graph.slice(shares, 2, graph.ints([0]), past, 'past');
    const ofNew = graph.slice(shares, 2, past, undefined, 'rows');
    const mixed = graph.add(graph.matmul(ofPast, graph.transpose(pastValues, [1, 0, 2])), graph.matmul(ofNew, graph.transpose(v, [1, 0, 2])));
    return graph.reshape(graph.transpose(mixed, [1, 0, 2]), ['rows', hidden]);
  });
}

/** The first 2 · half dims of each head, dim i paired with i + half. x f32 [rows, heads, headSize]. */
function rotate(graph: Graph, x: Value, cosine: Value, sine: Value, half: number, headSize: number): Value {
  const rest = headSize - 2 * half;
  const [a, b, ...others] = graph.split(x, 2, rest > 0 ? [half, half, rest] : [half, half]) as [Value, Value, ...Value[]];
  const [c, s] = [cosine, sine].map((angles) => graph.reshape(angles, ['rows', 1, half])) as [Value, Value];
  const first = graph.subtract(graph.multiply(a, c), graph.multiply(b, s));
  const second = graph.add(graph.multiply(b, c), graph.multiply(a, s));
  return graph.concat([first, second, ...others], 2, headSize);
}
