/** How far INT8 is from FP32, layer by layer: the shipped package on the CPU backend beside the reference on its checkpoint. */

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadAddon, packageRoot } from '../../src/addon/load.js';
import { preprocessing, SIGLIP } from '../../src/package/pictures.js';
import { boundAfter, normalizedSquaredError } from '../support/int8-bound.js';
import { readPicture } from '../support/picture.js';
import { type GoldenCase, type Loaded, loadReference, readCases } from '../support/reference.js';
import { testAddon } from '../support/test-addon.js';

const nano = `${packageRoot()}/models/mipha-nano`;
const fixtures = new URL('../fixtures/', import.meta.url).pathname;
const PICTURES = 8;

function productsBefore(tensor: string, towerLayers: number): number {
  const layer = Number(tensor.split('.')[1] ?? 0);
  if (tensor.startsWith('tower')) return 1 + 4 * layer; // patch embedding (f16), then qkv, out, up, down of each layer
  const features = 1 + 4 * towerLayers + 2;
  return tensor === 'features' ? features : features + 1 + 4 * layer;
}

describe('INT8 against FP32', () => {
  let loaded: Loaded;
  let questions: GoldenCase[];
  beforeAll(async () => {
    loaded = await loadReference(`${nano}/checkpoint`);
    questions = readCases(`${fixtures}nano/golden.json`).slice(0, PICTURES);
  });

  it('normalised mean squared error of every layer and of the logits stays inside the bound of the precision', async () => {
    const { architecture } = JSON.parse(readFileSync(`${nano}/manifest.json`, 'utf8')) as { architecture: unknown };
    const { language } = loaded.architecture;
    expect(architecture).toEqual({ ...loaded.architecture, language: { ...language, tokens: 559 } }); // as many as the tokenizer knows
    const { reference } = loaded;
    const { vocab, layers } = language;
    const errors = new Map<string, number[]>();
    let agreeing = 0;
    for (const question of questions) {
      const image = await readPicture(`${fixtures}eval/${question.picture}`);
      const prefix = Int32Array.from(question.prefix_ids);
      const ids = Int32Array.from(question.ids);
      const expected = new Map<string, Float32Array>();
      const keep = (name: string, values: Float32Array) => void expected.set(name, values.slice());
      const { imageSize } = loaded.architecture.vision;
      const features = reference.encode(loadAddon().resize(image, imageSize, preprocessing(SIGLIP, imageSize, 'pad')), keep);
      reference.reset();
      const logits = reference.append([prefix, features, ids], keep).slice(-vocab);
      const compare = (name: string, values: Float32Array) => {
        const wanted = expected.get(name);
        expect(wanted, name).toBeDefined();
        if (wanted) errors.set(name, [...(errors.get(name) ?? []), normalizedSquaredError(values, wanted)]);
      };
      const last = testAddon().trace(nano, '', image, prefix, ids, compare);
      expected.set('logits', logits);
      compare('logits', last);
      const best = (row: Float32Array) => row.indexOf(Math.max(...row));
      if (best(last) === best(logits)) agreeing++;
    }
    for (const [name, values] of errors) {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const bound = boundAfter(productsBefore(name === 'logits' ? `language.${layers}` : name, loaded.architecture.vision.layers) + 1);
      console.log(`${name.padEnd(12)} NMSE ${mean.toExponential(2)}, ${((100 * mean) / bound).toFixed(1)} % of the bound`);
      expect(mean, name).toBeLessThan(bound);
    }
    expect(errors.size).toBe(1 + loaded.architecture.vision.layers + 1 + 1 + layers + 1);
    expect(agreeing, 'the same next token').toBe(questions.length);
  });
});
