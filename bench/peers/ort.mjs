// ONNX Runtime: the INT8 matrices of tower and language model one after the other, without anything between them.
import ort from 'onnxruntime-node';
import { fromDist } from '../../scripts/arguments.mjs';
import { writeBare } from './ort-graphs.mjs';
import { stepBytes, timed, towerOperations } from './stages.mjs';

export async function open({ paths, architecture, shape, threads }) {
  const { decoderBlocks, headMatrix, towerBlocks } = await fromDist('package/block.js');
  const { towerRows } = await fromDist('package/manifest.js');
  const session = async (name, blocks, more) => await openSession(await writeBare(paths.graphs, paths.package, name, blocks, more), threads);
  const tower = await session('bare-tower', towerBlocks(architecture));
  const language = await session('bare-language', decoderBlocks(architecture));
  const head = await session('bare-head', [], [headMatrix(architecture)]);
  const many = rows(shape.imageRows, architecture.language.hidden);
  const one = rows(1, architecture.language.hidden);
  const pixels = rows(towerRows(architecture.vision), architecture.vision.hidden);
  const step = async () => {
    await language.run({ x: one });
    await head.run({ x: one });
  };
  const bytes = await stepBytes(architecture);
  return {
    detail: `onnxruntime-node ${ort.env.versions.node}: dynamic INT8, the matrices alone, of the tower without the projector`,
    work: { tower: { operations: await towerOperations(architecture) }, 'decode, short': { bytes }, 'decode, long': { bytes } },
    stages: {
      tower: () => timed(() => tower.run({ x: pixels })),
      prefill: () => timed(() => language.run({ x: many })),
      'decode, short': () => timed(step),
      'decode, long': () => timed(step), // there is no cache
    },
  };
}

export async function openSession(path, threads) {
  return await ort.InferenceSession.create(path, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
}

function rows(count, columns) {
  return new ort.Tensor(
    'float32',
    Float32Array.from({ length: count * columns }, (_, i) => Math.sin(i)),
    [count, columns],
  );
}
