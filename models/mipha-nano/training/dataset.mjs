// Writes training data: node dataset.mjs OUT_DIR SCENES FIRST_SEED [QUESTIONS_PER_SCENE]
//   frames.bin     uint8 RGB frames of 112 x 84 (the 320 x 240 picture, bicubic), one after the other
//   qa.jsonl       one line per scene: [[prompt, answer], ...]
//   objects.jsonl  what stands on the table, per scene [[x in picture pixels, shape index, colour index], ...]
// Needs the compiled kitchen: run `npm run setup` in the repository first.
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import sharp from 'sharp';
import { COLORS, drawScene, makeScene, SHAPES } from '../../../dist/camera/kitchen.js';
import { askAbout } from '../../../dist/camera/kitchen-questions.js';

const BATCH = 64;
const [out, scenes, first, questions = '12'] = process.argv.slice(2);
if (!out || !Number(scenes) || !Number(first)) {
  console.error('usage: node dataset.mjs OUT_DIR SCENES FIRST_SEED [QUESTIONS_PER_SCENE]');
  process.exit(2);
}
mkdirSync(out, { recursive: true });
const [frames, qa, objects] = ['frames.bin', 'qa.jsonl', 'objects.jsonl'].map((name) => createWriteStream(`${out}/${name}`));
sharp.concurrency(1);

const render = (scene) =>
  sharp(Buffer.from(drawScene(scene)))
    .resize(112, 84, { kernel: 'cubic' })
    .removeAlpha()
    .raw()
    .toBuffer();
const labels = (scene) => scene.objects.map((o) => [Math.round(o.x), SHAPES.indexOf(o.shape), COLORS.indexOf(o.color)]);

for (let done = 0; done < Number(scenes); done += BATCH) {
  const seeds = Array.from({ length: Math.min(BATCH, Number(scenes) - done) }, (_, i) => Number(first) + done + i);
  const batch = seeds.map((seed) => makeScene(seed));
  const pixels = await Promise.all(batch.map(render));
  if (!frames.write(Buffer.concat(pixels))) await once(frames, 'drain');
  qa.write(
    batch
      .map((scene, i) => `${JSON.stringify(askAbout(scene, seeds[i], Number(questions)).map(({ prompt, answer }) => [prompt, answer]))}\n`)
      .join(''),
  );
  objects.write(batch.map((scene) => `${JSON.stringify(labels(scene))}\n`).join(''));
}
for (const file of [frames, qa, objects]) file.end();
