/** The held-out scenes asked through a package's graphs in ONNX Runtime. */

import { join } from 'node:path';
import { loadAddon } from '../../src/addon/load.js';
import { Prompt } from '../../src/engine/prompt.js';
import { loadTokenizer } from '../../src/engine/tokenizer.js';
import { TOKENIZER_FOLDER } from '../../src/package/manifest.js';
import { evalFigures, evalScenes } from './nano.js';
import { OnnxModel } from './onnx-model.js';
import { readPicture } from './picture.js';

const LONGEST = 64; // ids of an answer

export interface Score {
  total: number;
  right: number; // as the scene's own answers say
  referenceRight: number; // of the FP32 reference
  identical: number; // to the FP32 reference
}

/** The first `scenes` of the held-out scenes, all their questions. */
export async function scoreOf(folder: string, graphs: string, scenes: number): Promise<Score> {
  const model = await OnnxModel.load(folder, graphs, 1);
  const tokenizer = await loadTokenizer(join(folder, TOKENIZER_FOLDER));
  const { architecture, preprocessing } = model.manifest;
  const { vision, language } = architecture;
  const prompt = new Prompt(tokenizer, model.manifest.prompt, language.context);
  const score: Score = { total: 0, right: 0, referenceRight: 0, identical: 0 };
  for (const [index, { picture, qa }] of evalScenes().slice(0, scenes).entries()) {
    const features = await model.encode(loadAddon().resize(await readPicture(picture), vision.imageSize, preprocessing));
    const questions = qa.map(([question]) => prompt.afterPicture(question));
    const answers = await model.answers(features, prompt, questions, LONGEST);
    for (const [i, ids] of answers.entries()) {
      const text = tokenizer.decode(ids).trim();
      const reference = evalFigures().answers[index]?.[i];
      score.total++;
      if (text === qa[i]?.[1]) score.right++;
      if (reference === qa[i]?.[1]) score.referenceRight++;
      if (text === reference) score.identical++;
    }
  }
  return score;
}

export function percent(count: number, { total }: Score): string {
  return `${((100 * count) / total).toFixed(2)} %`;
}
