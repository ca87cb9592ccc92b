/** What nano answers through its graphs in ONNX Runtime, against what the FP32 reference answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadAddon } from '../../../src/addon/load.js';
import { Prompt } from '../../../src/engine/prompt.js';
import { loadTokenizer } from '../../../src/engine/tokenizer.js';
import { TOKENIZER_FOLDER } from '../../../src/package/manifest.js';
import { calibrateNano } from '../../support/calibrated.js';
import { evalFigures, evalScenes } from '../../support/nano.js';
import { OnnxModel } from '../../support/onnx-model.js';
import { readPicture } from '../../support/picture.js';

const SCENES = 200;
const LONGEST = 64; // ids of an answer

const folder = mkdtempSync(join(tmpdir(), 'mipha-answers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let model: OnnxModel;
let prompt: Prompt;
let decode: (ids: number[]) => string;
beforeAll(async () => {
  const { out } = await calibrateNano(folder);
  model = await OnnxModel.load(out, join(folder, 'graphs'), 2);
  const tokenizer = await loadTokenizer(join(out, TOKENIZER_FOLDER));
  prompt = new Prompt(tokenizer, model.manifest.prompt, model.manifest.architecture.language.context);
  decode = (ids) => tokenizer.decode(ids);
});

it('the graphs answer the held-out scenes as well as the FP32 reference, and nearly always in the same words', async () => {
  const figures = evalFigures();
  const { imageSize } = model.manifest.architecture.vision;
  let [right, referenceRight, identical, total] = [0, 0, 0, 0];
  for (const [index, { picture, qa }] of evalScenes().slice(0, SCENES).entries()) {
    const features = await model.encode(loadAddon().resize(await readPicture(picture), imageSize, true));
    const questions = qa.map(([question]) => prompt.afterPicture(question));
    const answers = await model.answers(features, prompt.prefix, questions, LONGEST);
    for (const [i, ids] of answers.entries()) {
      const text = decode(ids).trim();
      const reference = figures.answers[index]?.[i];
      total++;
      if (text === qa[i]?.[1]) right++;
      if (reference === qa[i]?.[1]) referenceRight++;
      if (text === reference) identical++;
    }
  }
  const percent = (count: number) => `${((100 * count) / total).toFixed(2)} %`;
  console.log(`graphs on ${SCENES} held-out scenes: ${percent(right)} right, reference ${percent(referenceRight)}, ${percent(identical)} identical`);
  expect(total).toBe(8 * SCENES);
  expect(right / total).toBeGreaterThanOrEqual(referenceRight / total - 0.005);
  expect(identical / total).toBeGreaterThanOrEqual(0.99);
}, 600_000);
