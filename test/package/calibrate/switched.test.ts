/** Calibration over every switch of a transformer block: it changes no function, and what it writes is what engines are given. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAddon } from '../../../src/addon/load.js';
import { recordGolden } from '../../../src/engine/self-test.js';
import { Mipha } from '../../../src/index.js';
import { type Block, decoderBlocks, towerBlocks } from '../../../src/package/block.js';
import type { Factors } from '../../../src/package/calibrate/folded.js';
import { Baseline, logitsError, productsOf } from '../../../src/package/calibrate/sensitivity.js';
import { factorsOf, type SmoothingGroup, smoothingGroups, together } from '../../../src/package/calibrate/smoothing.js';
import { type Sample, stagesOf } from '../../../src/package/calibrate/stages.js';
import type { Calibration } from '../../../src/package/calibration.js';
import { SELF_TEST_FILE } from '../../../src/package/calibration.js';
import { imageTokens, type Manifest, WEIGHTS_FILE } from '../../../src/package/manifest.js';
import { openSafetensors } from '../../../src/package/safetensors.js';
import { openPackage, readManifest } from '../../../src/package/verify.js';
import { counts } from '../../support/counts.js';
import { writeSmoothed } from '../../support/smoothed.js';
import { calibrateSwitched, SWITCHED } from '../../support/switched.js';

const root = mkdtempSync(join(tmpdir(), 'mipha-switched-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe.each(SWITCHED.slice(0, counts(2, 4)))('%s', (name) => {
  const folder = join(root, name);
  const random = join(folder, 'random');
  let out: string;
  let samples: Sample[];
  let calibration: Calibration;
  let manifest: Manifest;
  beforeAll(async () => {
    ({ out, samples, calibration } = await calibrateSwitched(folder, name, { selfTest: recordGolden }));
    manifest = await readManifest(out);
  });

  describe('smoothed by powers of two', () => {
    const smoothed = join(folder, 'smoothed');
    let factors: Factors;
    beforeAll(async () => {
      mkdirSync(smoothed);
      factors = await writeSmoothed(random, smoothed);
    });

    const baseline = async (model: string, candidate = '') =>
      await Baseline.of(loadAddon().stages(model, candidate, 2), stagesOf(manifest.architecture), samples.slice(0, 1), () => {});

    it('is the same FP32 function to the bit', async () => {
      expect((await baseline(smoothed)).logits).toEqual((await baseline(random)).logits);
    });

    it('is so with any one matrix of it in the original, or all', async () => {
      const groups = smoothingGroups(manifest.architecture);
      const matrices = groups.flatMap((group) => group.matrices);
      const mixed = await baseline(random, smoothed);
      for (const some of [...matrices.map((matrix) => [matrix]), matrices]) {
        const recipe = new Map(some.map((matrix) => [matrix, 'w8a16' as const])); // of the candidate, with its input as it is
        expect(await logitsError(mixed, productsOf(recipe, { factors, seen: new Map() }, groups)), some.join()).toBe(0);
      }
    });
  });

  it('calibrated is whole, and a loaded engine answers from it', async () => {
    await openPackage(out);
    await using mipha = await Mipha.load(out);
    await using view = await mipha.look({ data: new Uint8Array(3 * 64 * 48).fill(90), width: 64, height: 48, format: 'rgb' });
    expect(['length', 'eos']).toContain((await view.ask('What is it?', { maxTokens: 4 })).finish);
    expect(calibration.error).toBeLessThan(0.1);
  });

  it('calibrated has a smoothing vector exactly where nothing before takes the factor up', async () => {
    const file = await openSafetensors(join(out, WEIGHTS_FILE));
    await file.close();
    const { architecture } = manifest;
    const ofBlock = ({ gated, down }: Block) => (gated ? [] : [`${down.name}.smooth`]);
    const projector = Array.from({ length: architecture.projector.layers }, (_, i) => `projector.${i}.smooth`);
    const expected = [...towerBlocks(architecture), ...decoderBlocks(architecture)].flatMap(ofBlock).concat(projector);
    expect([...file.tensors.keys()].filter((tensor) => tensor.endsWith('.smooth')).sort()).toEqual(expected.sort());
  });

  it('calibrated holds stored tensors of every layer boundary for engines to reproduce', async () => {
    const file = await openSafetensors(join(out, SELF_TEST_FILE));
    await file.close();
    const { language } = manifest.architecture;
    const shape = (tensor: string) => file.tensors.get(tensor)?.shape;
    expect(shape('vision.features')).toEqual([imageTokens(manifest.architecture), language.hidden]);
    for (const [phase, rows] of [
      ['prefill', 16],
      ['decode', 1],
    ] as const) {
      for (let layer = 0; layer <= language.layers; layer++) expect(shape(`language.${phase}.${layer}`)).toEqual([rows, language.hidden]);
      for (let layer = 0; layer < language.layers; layer++) {
        expect(shape(`language.${phase}.${layer}.keys`)).toEqual([rows, language.kvHeads, language.headSize]);
        expect(shape(`language.${phase}.${layer}.values`)).toEqual([rows, language.kvHeads, language.headSize]);
      }
    }
  });
});

it('one factor is chosen for all columns that one row of v makes', () => {
  const group: SmoothingGroup = { matrices: ['out'], columns: 4, into: { rows: 'qkv', rowOf: (column) => 10 + (column % 2) } };
  const [inputs, weights] = [Float32Array.of(1, 2, 16, 4), Float32Array.of(1, 1, 0.5, 64)];
  expect([...together(inputs, group)]).toEqual([16, 4, 16, 4]);
  expect([...factorsOf(together(inputs, group), together(weights, group))]).toEqual([0.25, 4, 0.25, 4]);
});
