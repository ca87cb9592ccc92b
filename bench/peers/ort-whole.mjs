// ONNX Runtime: the whole model from our own graphs, the cache in FP32.
import ort from 'onnxruntime-node';
import { openSession } from './ort.mjs';
import { writeWhole } from './ort-graphs.mjs';
import { timed } from './stages.mjs';

export async function open({ paths, architecture, shape, threads }) {
  const graphs = await writeWhole(paths.graphs, paths.package);
  const vision = await openSession(graphs.vision, threads);
  const language = await openSession(graphs.language, threads);
  const size = architecture.vision.imageSize;
  const pixels = floats([1, 3, size, size]);
  const run = async (feeds) => await timed(() => language.run(feeds, ['logits']));
  const [many, short, long] = [
    [shape.imageRows, 1], // not 0: its fused products divide by the rows of the cache
    [1, shape.short],
    [1, shape.long],
  ].map(([rows, past]) => feedsOf(architecture.language, rows, past));
  return {
    detail: `onnxruntime-node ${ort.env.versions.node}: our graphs, dynamic INT8 and FP32`,
    stages: {
      tower: () => timed(() => vision.run({ pixels })),
      prefill: () => run(many()),
      'decode, short': () => run(short()),
      'decode, long': () => run(long()),
    },
  };
}

/** Made when they are first wanted: the cache of a long context is large. */
function feedsOf({ hidden, layers, kvHeads, headSize, rotaryDims }, rows, past) {
  let feeds;
  return () => {
    feeds ??= {
      hidden_in: floats([rows, hidden]),
      cosine: floats([rows, rotaryDims / 2]),
      sine: floats([rows, rotaryDims / 2]),
      mask: new ort.Tensor('float32', maskOf(rows, past), [rows, past + rows]),
      rows: new ort.Tensor('int32', Int32Array.of(rows - 1), [1]),
      ...Object.fromEntries(
        Array.from({ length: layers }, (_, layer) =>
          ['past_keys', 'past_values'].map((name) => [`${name}.${layer}`, floats([past, kvHeads, headSize])]),
        ).flat(),
      ),
    };
    return feeds;
  };
}

function maskOf(rows, past) {
  const columns = past + rows;
  return Float32Array.from({ length: rows * columns }, (_, i) => (i % columns > past + Math.floor(i / columns) ? -60000 : 0));
}

function floats(dims) {
  const values = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
  for (let i = 0; i < values.length; i++) values[i] = ((i * 7919) % 2001) / 1000 - 1;
  return new ort.Tensor('float32', values, dims);
}
