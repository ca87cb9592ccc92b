/**
 * Every family that loads against transformers' own classes, on small checkpoints in the published layout (test/fixtures/families): what the reader
 * makes of it runs on the FP32 reference, and as an INT8 package on the CPU. A package's self-test records what the package says, so it can not catch
 * a wrong reader; these can, and the second half reads wrongly on purpose.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import type { Architecture } from '../../src/package/manifest.js';
import {
  type FamilyCase,
  familyLogits,
  familyNames,
  familyPixels,
  readFamily,
  type Sample,
  writeFamilyCheckpoint,
} from '../support/family-checkpoint.js';
import { greedy, type Loaded, loadReference, type Reading } from '../support/reference.js';

/** Of the largest: both sides are FP32 and differ in the order of additions. GELU by tanh, for the exact one, moves logits by 1e-4. */
const LIMIT = 1e-5;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-families-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** max |x − y| / max |y| */
function relativeError(x: ArrayLike<number>, y: ArrayLike<number>): number {
  expect(x.length).toBe(y.length);
  const worst = Array.from(y, (value, i) => Math.abs((x[i] as number) - value)).reduce((most, error) => Math.max(most, error), 0);
  return worst / Array.from(y, Math.abs).reduce((most, value) => Math.max(most, value), 0);
}

function expectSample(values: Float32Array, { shape: [rows, columns], first, last, mean }: Sample, what: string): void {
  expect(values.length, what).toBe(rows * columns);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const close = (x: number, y: number) => expect(Math.abs(x - y), what).toBeLessThan(LIMIT * largest);
  for (const [i, value] of first.entries()) close(values[i] as number, value);
  for (const [i, value] of last.entries()) close(values[(rows - 1) * columns + i] as number, value);
  close(values.reduce((sum, value) => sum + value, 0) / values.length, mean);
}

function run({ reference, architecture }: Loaded, { picture, prefix, after }: FamilyCase, probe?: (name: string, values: Float32Array) => void) {
  const features = reference.encode(familyPixels(picture, architecture.vision.imageSize), probe);
  return [Int32Array.from(prefix), features, Int32Array.from(after)] as const;
}

function logitsOf(loaded: Loaded, pieces: readonly (Int32Array | Float32Array)[]): Float32Array {
  loaded.reference.reset();
  return loaded.reference.append([...pieces]).slice(-loaded.architecture.language.vocab);
}

describe.each(familyNames())('%s', (name) => {
  const family = readFamily(name);
  let loaded: Loaded;
  beforeAll(async () => {
    await writeFamilyCheckpoint(name, join(folder, name));
    loaded = await loadReference(join(folder, name));
  });

  it('has the tower, the picture and the tokens that were published', async () => {
    const checkpoint = await openCheckpoint(join(folder, name));
    await checkpoint.close();
    const { architecture, preprocessing } = checkpoint;
    const { vision } = architecture;
    const { side, patch, hidden, heads, layersRun, rowsDropped, mean, std } = family.tower;
    expect(vision).toMatchObject({ imageSize: side, patchSize: patch, hidden, heads, layers: layersRun, skippedRows: rowsDropped });
    expect([preprocessing.mean, preprocessing.std]).toEqual([mean, std]);
  });

  it('computes what transformers computes: tower, features, logits, greedy ids', () => {
    const { vision, language } = loaded.architecture;
    for (const [i, golden] of family.cases.entries()) {
      const seen = new Map<string, Float32Array>();
      const pieces = run(loaded, golden, (tensor, values) => void seen.set(tensor, values.slice()));
      const tower = (seen.get(`tower.${vision.layers}`) as Float32Array).slice(vision.skippedRows * vision.hidden);
      expectSample(tower, golden.tower, `${i}: tower`);
      const scale = name.includes('gemma') ? Math.sqrt(language.hidden) : 1; // golden features are before the scale that is folded into the projector
      expectSample(
        pieces[1].map((value) => value / scale),
        golden.features,
        `${i}: features`,
      );
      expect(relativeError(logitsOf(loaded, pieces), familyLogits(golden)), `${i}: logits`).toBeLessThan(LIMIT);
      expect(greedy(loaded, [...pieces], -1, golden.greedy.length, language.vocab), `${i}: greedy ids`).toEqual(golden.greedy);
    }
  });
});

describe('a wrong reading gives other answers', () => {
  const skipping = (rows: number) => (reading: Reading) => changedVision(reading, { skippedRows: rows });
  it.each<[string, string, (reading: Reading) => Reading]>([
    [
      'select layer −2 of a tower that has lost its last layer',
      'bunny-v1.0-3b',
      (r) => changedVision(r, { layers: r.architecture.vision.layers - 1 }),
    ],
    ['q, k and v of Wqkv as those of query_key_value', 'imp-v1-3b', (r) => changedAttention(r, 'interleaved')],
    ['query_key_value as Wqkv', 'llava-phi', (r) => changedAttention(r, 'stacked')],
    ['a class token kept', 'mipha-clip336', skipping(0)],
    ['the first patch kept', 'tinyllava-phi2', skipping(0)],
    ['registers kept', 'mipha-dinov2-registers', skipping(1)],
    [
      'the mean of another tower',
      'mipha-clip336',
      (r) => ({ ...r, preprocessing: { ...r.preprocessing, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }),
    ],
    ['positions resampled without antialiasing', 'mipha-dinov2-registers', (r) => ({ ...r, layout: { ...r.layout, antialias: false } })],
    ['positions resampled with antialiasing', 'mipha-dinov2', (r) => ({ ...r, layout: { ...r.layout, antialias: true } })],
    ['no norm before the first block', 'llava-1.5-7b-hf', (r) => changedVision(r, { preNorm: false })],
    ['GELU by tanh for the exact one', 'mipha-vit', (r) => changedVision(r, { activation: 'gelu_tanh' })],
    ['GELU for quick GELU', 'mobilevlm-v2', (r) => changedVision(r, { activation: 'gelu_erf' })],
    ['norms of Gemma as they are stored', 'mipha-gemma', (r) => ({ ...r, layout: { ...r.layout, gainsMinusOne: false } })],
    ['an embedding that is not scaled', 'tinyllava-gemma', ({ layout: { embeddingScale: _, ...layout }, ...r }) => ({ ...r, layout })],
    ['the exact GELU for Gemma', 'mipha-gemma', (r) => changedLanguage(r, { activation: 'gelu_erf' })],
    ['one norm for two', 'mipha-pythia', (r) => changedLanguage(r, { residual: 'sequential' })],
    ['every dim of a head rotated', 'tiny-llava-stablelm', (r) => changedLanguage(r, { rotaryDims: r.architecture.language.headSize })],
    ['half of each head rotated', 'imp-v1.5-3b', (r) => changedLanguage(r, { rotaryDims: 40 })],
  ])('%s: %s', async (_, name, read) => {
    const path = join(folder, name);
    writeFamilyCheckpoint(name, path);
    const wrong = await loadReference(path, undefined, read);
    const [golden] = readFamily(name).cases as [FamilyCase];
    const pieces = run(wrong, golden);
    const error = relativeError(logitsOf(wrong, pieces), familyLogits(golden));
    expect(error, 'of the logits').toBeGreaterThan(5 * LIMIT);
  });
});

function changedVision(reading: Reading, change: Partial<Architecture['vision']>): Reading {
  return { ...reading, architecture: { ...reading.architecture, vision: { ...reading.architecture.vision, ...change } } };
}

function changedLanguage(reading: Reading, change: Partial<Architecture['language']>): Reading {
  return { ...reading, architecture: { ...reading.architecture, language: { ...reading.architecture.language, ...change } } };
}

function changedAttention(reading: Reading, rows: 'interleaved' | 'stacked'): Reading {
  const { language } = reading.layout;
  const block = (layer: number) => {
    const names = language.block(layer);
    if (names.attention.rows === 'split') throw new Error('no fused tensor');
    return { ...names, attention: { rows, name: names.attention.name } };
  };
  return { ...reading, layout: { ...reading.layout, language: { ...language, block } } };
}
