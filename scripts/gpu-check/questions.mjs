// Writes the questions of the held-out kitchen scenes as gpu_answers (native/test/gpu_answers.cc) reads them: ids and pixels, so that neither a
// tokenizer nor Node is needed where they are asked.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { loadAddon } from '../../dist/addon/load.js';
import { Prompt } from '../../dist/engine/prompt.js';
import { loadTokenizer } from '../../dist/engine/tokenizer.js';
import { tokensOf } from '../../dist/package/prompts.js';
import { readArguments } from '../arguments.mjs';

const USAGE = `node scripts/gpu-check/questions.mjs PACKAGE OUT [SCENES]    writes OUT/questions.json and OUT/scenes.rgb, default 64 scenes`;
const EVAL = 'test/fixtures/eval';

const [folder, out, scenes = '64'] = readArguments(USAGE, { positionals: 3 }).positionals;
const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
const { vision, language } = manifest.architecture;
const tokenizer = await loadTokenizer(join(folder, 'tokenizer'), tokensOf(manifest.prompt));
const prompt = new Prompt(tokenizer, manifest.prompt, language.context);
const { vocabulary, offsets } = tokenizer.table(language.vocab);

const asked = [];
const pixels = [];
for (const line of readFileSync(join(EVAL, 'qa.jsonl'), 'utf8').trim().split('\n').slice(0, Number(scenes))) {
  const { picture, qa } = JSON.parse(line);
  const { data, info } = await sharp(join(EVAL, picture)).removeAlpha().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  const image = { data, width: info.width, height: info.height, stride: info.width * 3, format: 'rgb' };
  pixels.push(Buffer.from(loadAddon().resize(image, vision.imageSize, manifest.preprocessing)));
  asked.push(qa.map(([question, answer]) => ({ ids: [...prompt.afterPicture(question)], answer })));
}
const tokens = Array.from({ length: language.vocab }, (_, id) => Buffer.from(vocabulary.subarray(offsets[id], offsets[id + 1])).toString('hex'));
writeFileSync(join(out, 'questions.json'), JSON.stringify({ prefix: [...prompt.prefix], stops: [...prompt.stopIds], tokens, scenes: asked }));
writeFileSync(join(out, 'scenes.rgb'), Buffer.concat(pixels));
