// llama.cpp's text side on a BERT of the tower's sizes: what its kernels for this processor make of the tower, which node-llama-cpp cannot be shown.
import { fromDist } from '../../scripts/arguments.mjs';
import { load } from './llama.mjs';
import { idsOf, timed, towerOperations } from './stages.mjs';

export async function open({ paths, architecture, threads }) {
  const { towerRows } = await fromDist('package/manifest.js');
  const rows = towerRows(architecture.vision);
  const { model, version } = await load(paths.bert, threads);
  const context = await model.createEmbeddingContext({ contextSize: rows + 1, batchSize: rows + 1, threads });
  const ids = idsOf(rows, 256);
  if (context.calculateInputLength(ids) !== rows)
    throw new Error(`expected ${rows} tokens to be read, received ${context.calculateInputLength(ids)}`);
  return {
    detail: `${version}: a BERT of the tower's sizes in Q8_0, MLP a block wider, no projector`,
    work: { tower: { operations: await towerOperations(architecture) } },
    stages: {
      tower: () => timed(() => context.getEmbeddingFor(ids)),
    },
  };
}
