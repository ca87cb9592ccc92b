/** The same benchmark by three ways to compute nano: the INT8 backend, its graphs in ONNX Runtime, the FP32 reference. Item by item the same answer. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadAddon } from '../../src/addon/load.js';
import { Prompt } from '../../src/engine/prompt.js';
import { answerText } from '../../src/engine/text.js';
import { loadTokenizer } from '../../src/engine/tokenizer.js';
import { Answers } from '../../src/eval/answers.js';
import type { Dataset } from '../../src/eval/item.js';
import { kitchen } from '../../src/eval/kitchen.js';
import { openBenchmark } from '../../src/eval/layouts/open.js';
import { type Model, run } from '../../src/eval/run.js';
import { Mipha } from '../../src/index.js';
import { TOKENIZER_FOLDER } from '../../src/package/manifest.js';
import { readManifest } from '../../src/package/verify.js';
import { counts } from '../support/counts.js';
import { NANO } from '../support/nano.js';
import { OnnxModel } from '../support/onnx-model.js';
import { greedy, loadReference } from '../support/reference.js';
import { sharedNano } from '../support/shared-nano.js';
import { makeFolders } from './folders.js';

const SCENES = counts(3, 16);

const folder = mkdtempSync(join(tmpdir(), 'mipha-same-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const manifest = await readManifest(NANO);
const tokenizer = await loadTokenizer(join(NANO, TOKENIZER_FOLDER));
const prompt = new Prompt(tokenizer, manifest.prompt, manifest.architecture.language.context);
const eos = prompt.stopIds[0] as number;

/** A model of which only the ids of an answer are known: `answers` gets what the tower sees, questions and the most ids. */
function modelOf(answers: (pixels: Uint8Array, questions: Int32Array[], limit: number) => Promise<number[][]>): Model {
  return {
    look: async (image) => {
      const pixels = loadAddon().resize(
        { stride: image.width * 3, ...image } as never,
        manifest.architecture.vision.imageSize,
        manifest.preprocessing,
      );
      return {
        askAll: async (questions) => {
          const ids = questions.map(({ question }) => prompt.afterPicture(question));
          const said = await answers(pixels, ids, questions[0]?.maxTokens ?? 1);
          return said.map((answer) => ({
            text: answerText(
              tokenizer,
              answer.filter((id) => id !== eos),
            ),
            value: '',
            confidence: null,
          }));
        },
        dispose: async () => {},
      };
    },
  };
}

it('paper mode gives the same words by the backend, the graphs and the reference', async () => {
  const calibrated = await sharedNano();
  const { tables } = await makeFolders(join(folder, 'data'));
  const datasets: Dataset[] = [kitchen(SCENES), await openBenchmark('pope', tables)];

  await using mipha = await Mipha.load(NANO);
  await using fixed = await Mipha.load(calibrated);
  const graphs = await OnnxModel.load(calibrated, join(folder, 'graphs'), 1);
  const loaded = await loadReference(join(NANO, 'checkpoint'));
  const { tokens } = manifest.architecture.language;
  const models: Record<string, Model> = {
    INT8: mipha,
    'INT8, calibrated': fixed,
    graphs: modelOf(async (pixels, questions, limit) => await graphs.answers(await graphs.encode(pixels), prompt, questions, limit)),
    FP32: modelOf(async (pixels, questions, limit) => {
      const features = loaded.reference.encode(pixels);
      return questions.map((ids) => greedy(loaded, [prompt.prefix, features, ids], eos, limit, tokens));
    }),
  };
  const said: Record<string, string[]> = {};
  for (const [name, model] of Object.entries(models)) {
    said[name] = [];
    for (const dataset of datasets) {
      const answers = await run(dataset, model, { mode: 'paper', answers: new Answers(null, {}), manifest });
      said[name].push(...dataset.items.map(({ id, question }) => `${dataset.benchmark} ${id} ${question}: ${answers.get(id)?.text}`));
    }
  }
  expect(said.FP32).toHaveLength(8 * SCENES + 4);
  for (const name of Object.keys(models)) expect(said[name], name).toEqual(said.FP32);
}, 1_200_000);
