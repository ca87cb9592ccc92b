/** The FP32 reference against Hugging Face's modules on the same checkpoints: every intermediate, the logits, and every greedy answer. */

import { beforeAll, describe, expect, it } from 'vitest';
import { loadAddon, packageRoot } from '../../src/addon/load.js';
import { preprocessing, SIGLIP } from '../../src/package/pictures.js';
import { counts } from '../support/counts.js';
import { readPicture } from '../support/picture.js';
import { type GoldenCase, greedy, type Loaded, loadReference, readCases } from '../support/reference.js';
import { floats, readFixtures } from '../support/safetensors.js';
import { testAddon } from '../support/test-addon.js';

const fixtures = new URL('../fixtures/', import.meta.url).pathname;
const nano = { name: 'nano', checkpoint: `${packageRoot()}/models/mipha-nano/checkpoint`, towerLayers: 5, tokens: 559, shown: 2, cases: 64 };
const fused = { name: 'fused', checkpoint: `${fixtures}fused/checkpoint`, towerLayers: 3, tokens: 384, shown: 2, cases: 8 };
const LIMIT = 1e-4; // of max |x − y| / max |y|; both sides are FP32 and differ in the order of additions only

/** max |x − y| / max |y| of two tensors. */
function relativeError(x: Float32Array, y: Float32Array): number {
  expect(x.length).toBe(y.length);
  let worst = 0;
  let largest = 0;
  for (const [i, value] of y.entries()) {
    worst = Math.max(worst, Math.abs((x[i] as number) - value));
    largest = Math.max(largest, Math.abs(value));
  }
  return x.every(Number.isFinite) ? worst / largest : Number.NaN;
}

async function pixelsOf({ picture }: GoldenCase, { architecture }: Loaded): Promise<Uint8Array> {
  const { imageSize } = architecture.vision;
  return loadAddon().resize(await readPicture(`${fixtures}eval/${picture}`), imageSize, preprocessing(SIGLIP, imageSize, 'pad'));
}

describe.each([nano, fused])('$name', ({ name, checkpoint, towerLayers, tokens, shown, cases }) => {
  const golden = readFixtures(`${fixtures}${name}/golden.safetensors`);
  const questions = readCases(`${fixtures}${name}/golden.json`);
  let loaded: Loaded;
  beforeAll(async () => {
    loaded = await loadReference(checkpoint);
  });

  it('every intermediate of the shown cases agrees', async () => {
    const { reference, architecture } = loaded;
    const vocab = architecture.language.vocab;
    let worst = { name: '', error: 0 };
    for (const [i, question] of questions.slice(0, shown).entries()) {
      const seen = new Set<string>();
      const compare = (tensor: string, values: Float32Array) => {
        seen.add(tensor);
        const error = relativeError(values, floats(golden, `${i}.${tensor}`));
        expect(error, `${i}.${tensor}`).toBeLessThan(LIMIT);
        if (error > worst.error) worst = { name: `${i}.${tensor}`, error };
      };
      const features = reference.encode(await pixelsOf(question, loaded), compare);
      compare('features', features);
      reference.reset();
      const logits = reference.append([Int32Array.from(question.prefix_ids), features, Int32Array.from(question.ids)], compare);
      compare('logits_last16', logits.subarray(logits.length - 16 * vocab));

      const listed = [...golden.keys()].filter((key) => key.startsWith(`${i}.`)).map((key) => key.slice(2));
      const unused = Array.from({ length: towerLayers - architecture.vision.layers }, (_, l) => `tower.${towerLayers - l}`);
      expect([...seen, ...unused, 'pixels_u8'].toSorted()).toEqual(listed.toSorted());
    }
    console.log(`${name}: worst relative error ${worst.error.toExponential(1)} (${worst.name})`);
  });

  it('the layers of the tower that are never needed agree as well', async () => {
    const whole = await loadReference(checkpoint, towerLayers);
    let last = '';
    whole.reference.encode(await pixelsOf(questions[0] as GoldenCase, whole), (tensor, values) => {
      if (!tensor.startsWith('tower.')) return; // features come from the select layer
      last = tensor;
      expect(relativeError(values, floats(golden, `0.${tensor}`)), tensor).toBeLessThan(LIMIT);
    });
    expect(last).toBe(`tower.${towerLayers}`);
  });

  it('every greedy answer is identical', async () => {
    expect(questions).toHaveLength(cases);
    for (const question of questions.slice(0, counts(6, 64))) {
      const features = loaded.reference.encode(await pixelsOf(question, loaded));
      const pieces = [Int32Array.from(question.prefix_ids), features, Int32Array.from(question.ids)];
      expect(greedy(loaded, pieces, question.eos, question.limit, tokens), question.prompt ?? question.picture).toEqual(question.greedy_ids);
    }
  }, 300_000);

  it('rows appended one by one give the same logits, bit for bit', () => {
    const { reference } = loaded;
    const { prefix_ids: ids } = questions[0] as GoldenCase;
    reference.reset();
    const whole = reference.append([Int32Array.from(ids)]);
    reference.reset();
    const single = ids.flatMap((id) => [...reference.append([Int32Array.of(id)])]);
    expect(single).toEqual([...whole]);
  });
});

describe('misuse', () => {
  let loaded: Loaded;
  beforeAll(async () => {
    loaded = await loadReference(fused.checkpoint);
  });
  const coded = (code: string, message?: RegExp) =>
    expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringMatching(message) }) });
  const blank = () => {
    const { architecture } = loaded;
    return testAddon().reference(JSON.stringify({ architecture, preprocessing: preprocessing(SIGLIP, architecture.vision.imageSize) }));
  };

  it('a manifest that is none', () => {
    expect(() => testAddon().reference('{')).toThrow(coded('ERR_MODEL_FORMAT'));
    expect(() => testAddon().reference('{}')).toThrow(coded('ERR_MODEL_FORMAT', /architecture/));
  });

  it('tensors that are missing, misshapen or short', () => {
    const reference = blank();
    expect(() => reference.append([Int32Array.of(1)])).toThrow(coded('ERR_MODEL_FORMAT', /vision\.patch_embedding\.weight/));
    reference.setTensor('vision.patch_embedding.weight', [2, 3], new Float32Array(6));
    expect(() => reference.append([Int32Array.of(1)])).toThrow(coded('ERR_MODEL_FORMAT', /\[2, 3\]/));
    expect(() => reference.setTensor('language.head.bias', [384], new Float32Array(383))).toThrow(coded('ERR_MODEL_FORMAT', /language\.head\.bias/));
    expect(() => reference.setTensor('language.head.bias', [1 << 20, 1 << 20, 1 << 20, 1 << 20], new Float32Array(0))).toThrow(
      coded('ERR_MODEL_FORMAT'),
    );
  });

  it('pixels, ids and features that do not fit', () => {
    const { reference } = loaded;
    reference.reset();
    expect(() => reference.encode(new Uint8Array(12))).toThrow(coded('ERR_IMAGE'));
    expect(() => reference.append([Int32Array.of(384)])).toThrow(coded('ERR_OPTION', /384/));
    expect(() => reference.append([Int32Array.of(-1)])).toThrow(coded('ERR_OPTION'));
    expect(() => reference.append([new Float32Array(127)])).toThrow(coded('ERR_OPTION'));
    expect(() => reference.append([new Int32Array(513)])).toThrow(coded('ERR_CONTEXT_FULL', /513/));
    expect(reference.append([])).toHaveLength(0);
  });

  it('a probe that throws gets its own error back and leaves the sequence as it was', () => {
    const { reference } = loaded;
    const first = Int32Array.of(5, 6, 7);
    const second = Int32Array.of(8, 9);
    reference.reset();
    reference.append([first]);
    const expected = reference.append([second]);
    reference.reset();
    reference.append([first]);
    const enough = new Error('seen enough');
    expect(() =>
      reference.append([Int32Array.of(10, 11, 12)], (name) => {
        if (name === 'language.2') throw enough;
      }),
    ).toThrow(enough);
    expect(reference.append([second])).toEqual(expected);
  });

  it('a probe may not call the reference it watches', () => {
    const { reference } = loaded;
    reference.reset();
    expect(() => reference.append([Int32Array.of(1)], () => reference.reset())).toThrow(coded('ERR_OPTION', /probe/));
    expect(reference.append([Int32Array.of(1)])).toHaveLength(384);
  });
});
