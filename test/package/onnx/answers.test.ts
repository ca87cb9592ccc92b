/** What nano answers through its graphs in ONNX Runtime, against what the FP32 reference answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { counts } from '../../support/counts.js';
import { percent, scoreOf } from '../../support/graph-answers.js';
import { sharedNano } from '../../support/shared-nano.js';

const SCENES = counts(6, 32);

const folder = mkdtempSync(join(tmpdir(), 'mipha-answers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('the graphs answer the held-out scenes as well as the FP32 reference, and nearly always in the same words', async () => {
  const score = await scoreOf(await sharedNano(), join(folder, 'graphs'), SCENES);
  const [right, reference, identical] = [score.right, score.referenceRight, score.identical].map((count) => percent(count, score));
  console.log(`graphs on ${SCENES} held-out scenes: ${right} right, reference ${reference}, ${identical} identical`);
  expect(score.total).toBe(8 * SCENES);
  expect(score.right / score.total).toBeGreaterThanOrEqual(score.referenceRight / score.total - 0.005);
  expect(score.identical / score.total).toBeGreaterThanOrEqual(0.99);
}, 1_200_000);
