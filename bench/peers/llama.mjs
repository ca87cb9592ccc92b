// llama.cpp through node-llama-cpp: a Phi-2 of the same sizes in Q8_0, FP16 cache, its prebuilt kernels for this processor.
import { readFileSync } from 'node:fs';
import { getLlama } from 'node-llama-cpp';
import { DECODED, idsOf, timed } from './stages.mjs';

export async function open({ paths, shape, threads }) {
  const { model, version } = await load(paths.phi2, threads);
  const sequenceOf = async (flashAttention) => {
    const context = await model.createContext({
      contextSize: shape.context,
      batchSize: shape.imageRows,
      threads: { ideal: threads, min: threads },
      flashAttention,
    });
    return context.getSequence();
  };
  // Each as it is faster: flash attention gains in a prefill and loses behind a long cache.
  const [brief, full] = [await sequenceOf(true), await sequenceOf(false)];
  const fill = async (sequence, rows) => {
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(idsOf(rows, shape.tokens));
  };
  return {
    detail: `${version}: Phi-2 in Q8_0`,
    stages: {
      prefill: () => timed(() => fill(brief, shape.imageRows)),
      'decode, short': async () => {
        await fill(brief, shape.short);
        return await decode(brief, shape.short);
      },
      'decode, long': async () => {
        if (full.nextTokenIndex === 0) await fill(full, shape.long);
        return await decode(full, shape.long);
      },
    },
  };
}

/**
 * A model on the prebuilt kernels for this processor, and the words for them. Nothing is downloaded or compiled. Without flash attention, where a context
 * does not ask for it: the tower is twice as fast.
 */
export async function load(modelPath, threads) {
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: threads, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0, defaultContextFlashAttention: false });
  const { version } = JSON.parse(readFileSync(new URL('node_modules/node-llama-cpp/package.json', import.meta.url), 'utf8'));
  return { model, version: `node-llama-cpp ${version}, llama.cpp ${llama.llamaCppRelease.release}` };
}

/** Milliseconds per token behind `rows` of the cache, which are left as they were. */
async function decode(sequence, rows) {
  let [count, begun] = [0, 0];
  for await (const _ of sequence.evaluate([1], { temperature: 0, yieldEogToken: true })) {
    if (count === 0) begun = performance.now(); // the one before read what was handed in
    if (count++ === DECODED) break;
  }
  const ms = (performance.now() - begun) / DECODED;
  await sequence.eraseContextTokenRanges([{ start: rows, end: sequence.nextTokenIndex }]);
  return ms;
}
