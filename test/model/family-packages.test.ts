/** Every family as a package: converted with its own tokens, INT8 on the CPU within the bound of the precision, loaded and asked like any other. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadAddon } from '../../src/addon/load.js';
import { recordGolden } from '../../src/engine/self-test.js';
import { Mipha } from '../../src/index.js';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { convert } from '../../src/package/convert.js';
import type { Preprocessing } from '../../src/package/manifest.js';
import { tokensOf } from '../../src/package/prompts.js';
import { counts } from '../support/counts.js';
import { addTokens, type FamilyCase, familyNames, familyPixels, readFamily, writeFamilyCheckpoint } from '../support/family-checkpoint.js';
import { boundAfter, normalizedSquaredError } from '../support/int8-bound.js';
import { type Loaded, loadReference } from '../support/reference.js';
import { testAddon } from '../support/test-addon.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-family-packages-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** First those that between them have the most switches, and every kind of prompt. */
const FIRST = ['mobilevlm-v2', 'mipha-gemma', 'mipha-dinov2-registers', 'nanollava', 'imp-v1-3b', 'mipha-pythia', 'llava-1.5-7b-hf'];
const NAMES = [...FIRST, ...familyNames().filter((name) => !FIRST.includes(name))];

describe.each(NAMES.slice(0, counts(7, 21)))('%s', (name) => {
  const [golden] = readFamily(name).cases as [FamilyCase];
  let out: string;
  let loaded: Loaded;
  let preprocessing: Preprocessing;

  beforeAll(async () => {
    const checkpoint = join(folder, name);
    out = join(folder, `${name}.package`);
    writeFamilyCheckpoint(name, checkpoint);
    const opened = await openCheckpoint(checkpoint);
    await opened.close();
    preprocessing = opened.preprocessing;
    addTokens(checkpoint, tokensOf(opened.prompt));
    loaded = await loadReference(checkpoint);
    await convert(checkpoint, out, { selfTest: recordGolden });
  });

  it('is within the bound of INT8 at every layer', () => {
    const { reference, architecture } = loaded;
    const { vision, projector, language } = architecture;
    const side = vision.imageSize;
    const image = { data: familyPixels(golden.picture, side), width: side, height: side, stride: 3 * side, format: 'rgb' as const };
    const [prefix, ids] = [Int32Array.from(golden.prefix), Int32Array.from(golden.after)];
    const expected = new Map<string, Float32Array>();
    const keep = (tensor: string, values: Float32Array) => void expected.set(tensor, values.slice());
    const features = reference.encode(loadAddon().resize(image, side, preprocessing), keep);
    reference.reset();
    expected.set('logits', reference.append([prefix, features, ids], keep).slice(-language.vocab));

    const seen = new Map<string, Float32Array>();
    seen.set(
      'logits',
      testAddon().trace(out, '', image, prefix, ids, (tensor, values) => void seen.set(tensor, values.slice())),
    );
    expect([...seen.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
    for (const [tensor, values] of expected) {
      const layer = Number(tensor.split('.')[1] ?? 0);
      const before = tensor.startsWith('tower') ? 4 * layer : 4 * vision.layers + projector.layers;
      const products = 1 + before + (tensor.startsWith('language') ? 1 + 4 * layer : tensor === 'logits' ? 2 + 4 * language.layers : 0);
      const error = normalizedSquaredError(seen.get(tensor) as Float32Array, values);
      expect(error, tensor).toBeLessThan(boundAfter(products + 1));
    }
  });

  it('loads, passes its self-test and answers', async () => {
    const mipha = await Mipha.load(out, { backend: 'cpu' });
    try {
      const picture = { data: familyPixels(1, 90), width: 90, height: 60, stride: 270, format: 'rgb' as const };
      const view = await mipha.look(picture);
      expect((await view.ask('What is there?', { maxTokens: 4 })).tokens.answer).toBeGreaterThan(0);
      expect((await view.ask('Is it open?', { as: z.boolean() })).value).toBeTypeOf('boolean');
    } finally {
      await mipha.dispose();
    }
  });
});
