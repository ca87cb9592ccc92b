/** Every family calibrated, and its graphs in ONNX Runtime against the FP32 reference: what a checkpoint becomes all the way to TensorRT's door. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calibrate } from '../../../src/package/calibrate/calibrate.js';
import type { Sample } from '../../../src/package/calibrate/stages.js';
import { openCheckpoint } from '../../../src/package/checkpoint.js';
import { convert } from '../../../src/package/convert.js';
import { lint } from '../../../src/package/onnx/lint.js';
import { openGraphSource } from '../../../src/package/onnx/source.js';
import { lintContext, modelOf, segmentsOf } from '../../../src/package/onnx/write.js';
import { tokensOf } from '../../../src/package/prompts.js';
import { compareGraphs } from '../../support/comparison.js';
import { counts } from '../../support/counts.js';
import { addTokens, familyNames, familyPixels, readFamily, writeFamilyCheckpoint } from '../../support/family-checkpoint.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-family-graphs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** First those that between them have the most switches. */
const FIRST = ['mobilevlm-v2', 'mipha-gemma', 'mipha-dinov2-registers'];
const NAMES = [...FIRST, ...familyNames().filter((name) => !FIRST.includes(name))];

describe.each(NAMES.slice(0, counts(1, 21)))('%s', (name) => {
  const family = readFamily(name);
  const calibrated = join(folder, `${name}.calibrated`);
  let samples: Sample[];
  beforeAll(async () => {
    const checkpoint = join(folder, name);
    writeFamilyCheckpoint(name, checkpoint);
    const opened = await openCheckpoint(checkpoint);
    await opened.close();
    addTokens(checkpoint, tokensOf(opened.prompt));
    await convert(checkpoint, `${checkpoint}.package`, { wide: true });
    samples = family.cases.map(({ picture, prefix, after }) => ({
      pixels: familyPixels(picture, family.tower.side),
      prefix: Int32Array.from(prefix),
      ids: Int32Array.from(after),
    }));
    await calibrate(`${checkpoint}.package`, calibrated, samples, { budget: 1, source: { pictures: [], prompts: [] } });
  });

  it('has graphs that no rule complains about', async () => {
    const source = await openGraphSource(calibrated);
    const { layers } = source.manifest.architecture.language;
    for (const segment of segmentsOf(layers, 1)) {
      for (const wide of [false, true]) expect(lint(modelOf(source, segment, wide), lintContext(source, segment, wide))).toEqual([]);
    }
  });

  it.each([
    ['INT8', false],
    ['wide', true],
  ])('%s graphs give what the reference gives', async (kind, wide) => {
    console.log(`${name}, ${kind}: ${await compareGraphs(calibrated, join(folder, `${name}.${kind}`), samples[3] as Sample, wide)}`);
  });
});
