/**
 * Layers [first, end) of the language model as a graph over `rows` new rows and `past` earlier ones. Keys and values are time-major, so that the
 * caller can bind what is new right behind what is past; the mask says which row sees which, so that one run can hold several sequences.
 */
import { type Block, decoderBlocks } from '../block.js';
import { headsFirst, normed, parts, rowsFirst, transformerBlock } from './block.js';
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
  const { architecture } = source.manifest;
  const { hidden, layers, rotaryDims } = architecture.language;
  const graph = new Graph(`language.${index}`);
  const products = new Products(graph, source, wide);

  let x = graph.input('hidden_in', 'f32', ['rows', hidden]);
  const angle = (name: string) => (rotaryDims === 0 ? undefined : graph.input(name, 'f32', ['rows', rotaryDims / 2]));
  const shared: Shared = { cosine: angle('cosine'), sine: angle('sine'), mask: graph.input('mask', 'f32', ['rows', 'columns']) };
  for (const [i, block] of decoderBlocks(architecture).slice(first, end).entries()) {
    x = graph.within(block.name, () => transformerBlock(products, block, x, (qkv) => attention(products, block, first + i, qkv, shared)));
  }

  if (end < layers) {
    graph.output('hidden_out', x);
  } else {
    const answered = graph.gather(x, graph.input('rows', 'i32', ['answers']));
    const logits = graph.within('language', () =>
      products.linear(normed(products, answered, 'language.final_norm', architecture.language), 'language.head'),
    );
    graph.output('logits', graph.cast(logits, 'f32'));
  }
  return graph;
}

/** f16 [rows, qkv.rows] → f16 [rows, out.columns]; takes past keys and values in and gives the new ones out. */
function attention(products: Products, block: Block, layer: number, qkv: Value, { cosine, sine, mask }: Shared): Value {
  const { graph } = products;
  const { kvHeads, headSize, rotaryDims } = block;
  const cached = ['past', kvHeads, headSize];
  const pastKeys = graph.input(`past_keys.${layer}`, 'f16', cached);
  const pastValues = graph.input(`past_values.${layer}`, 'f16', cached);

  const headed = (part: Value) => graph.reshape(part, ['rows', (part.dims[1] as number) / headSize, headSize]);
  const [q, k, v] = parts(products, qkv, block).map(headed) as [Value, Value, Value];
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
    const query = headsFirst(graph, graph.cast(graph.cast(scaled, 'f16'), 'f32'), block);
    const scoresOf = (against: Value) => graph.matmul(query, graph.cast(headsFirst(graph, against, block, true), 'f32'));
    const last = query.dims.length - 1;
    const scores = graph.add(graph.concat([scoresOf(pastKeys), scoresOf(keys)], last, 'columns'), mask);
    const shares = graph.cast(graph.softmax(scores), 'f16');

    const past = graph.size(pastKeys, 0);
    const ofPast = graph.slice(shares, last, graph.ints([0]), past, 'past');
    const ofNew = graph.slice(shares, last, past, undefined, 'rows');
    const valued = (of: Value, values: Value) => graph.matmul(of, headsFirst(graph, values, block));
    return rowsFirst(graph, graph.add(valued(ofPast, pastValues), valued(ofNew, v)), block);
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
