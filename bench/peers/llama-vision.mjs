// llama.cpp's vision through @fugood/llama.node: the tower and its projector, in front of a language model that costs nothing.
import { readFileSync } from 'node:fs';
import { loadModel } from '@fugood/llama.node';
import { fromDist } from '../../scripts/arguments.mjs';
import { timed } from './stages.mjs';

export async function open({ paths, architecture, threads }) {
  const context = await loadModel({
    model: paths.stub,
    n_ctx: 1024,
    n_batch: 1024,
    n_ubatch: 1024,
    n_threads: threads,
    n_gpu_layers: 0,
    n_parallel: 1,
  });
  if (!context.initMultimodal({ path: paths.mmproj, use_gpu: false })) throw new Error(`${paths.mmproj}: llama.cpp does not take it`);
  const pictures = await picturesOf(architecture.vision.imageSize);
  let shown = 0;
  const { version } = JSON.parse(readFileSync(new URL('node_modules/@fugood/llama.node/package.json', import.meta.url), 'utf8'));
  return {
    detail: `@fugood/llama.node ${version}: SigLIP in Q8_0, MLP a block wider`,
    stages: {
      tower: () =>
        timed(() =>
          context.completion({ prompt: '<__media__>', media_paths: pictures[shown++ % pictures.length], n_predict: 1, temperature: 0, seed: 1 }),
        ),
    },
  };
}

/** Two, in turn: one that was seen last is not looked at again. */
async function picturesOf(size) {
  const [{ makeScene, renderScene }, { default: sharp }] = await Promise.all([fromDist('camera/kitchen.js'), import('sharp')]);
  return await Promise.all(
    [1, 2].map(async (seed) => {
      const { data, width, height } = await renderScene(makeScene(seed));
      const png = await sharp(data, { raw: { width, height, channels: 3 } })
        .resize(size, size)
        .png()
        .toBuffer();
      return `data:image/png;base64,${png.toString('base64')}`;
    }),
  );
}
