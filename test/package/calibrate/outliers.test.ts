/** What calibration is worth where activations have outliers: share right through the graphs, per-tensor INT8 plain, smoothed, and with a recipe. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { convert } from '../../../src/package/convert.js';
import { calibrateNano } from '../../support/calibrated.js';
import { counts } from '../../support/counts.js';
import { percent, type Score, scoreOf } from '../../support/graph-answers.js';
import { NANO } from '../../support/nano.js';
import { plantOutliers } from '../../support/outliers.js';

const SCENES = counts(0, 24); // without any, only the error of the logits is compared
const BROKEN_SCENES = counts(0, 12); // enough to see that it is broken; broken answers do not end
const SAMPLES = counts(4, 24); // of the calibration
const FACTOR = 64; // how much larger the outliers are
const EACH = 40; // one channel in so many

const folder = mkdtempSync(join(tmpdir(), 'mipha-outliers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function answered(model: string, graphs: string, scenes: number): Promise<Score> {
  return scenes === 0 ? { right: 0, referenceRight: 0, identical: 0, total: 0 } : await scoreOf(model, join(folder, graphs), scenes);
}

it('plain per-tensor INT8 breaks on planted outliers, smoothing and recipe repair it', async () => {
  const wide = join(folder, 'wide');
  const planted = join(folder, 'planted');
  await convert(join(NANO, 'checkpoint'), wide, { wide: true });
  await plantOutliers(wide, planted, FACTOR, EACH);

  const rows: { name: string; error: number; wide: number; right: number; total: number; reference: number; shown: string }[] = [];
  for (const { name, smooth, budget } of [
    { name: 'plain', smooth: false, budget: 100 },
    { name: 'smoothed', smooth: true, budget: 100 },
    { name: 'smoothed, recipe', smooth: true, budget: 0.01 },
  ].slice(0, counts(2, 3))) {
    const { out, calibration } = await calibrateNano(folder, {
      name: name.replace(', ', '-'),
      model: planted,
      smooth,
      budget,
      count: SAMPLES,
      selfTest: undefined,
    });
    const score = await answered(out, `graphs-${name}`, smooth ? SCENES : BROKEN_SCENES);
    const kept = Object.values(calibration.matrices).filter(({ precision }) => precision !== 'w8a8').length;
    const shown = score.total === 0 ? 'not asked' : `${percent(score.right, score)} right, ${percent(score.identical, score)} identical`;
    rows.push({ name, error: calibration.error, wide: kept, right: score.right, total: score.total, reference: score.referenceRight, shown });
  }
  const table = rows.map(
    ({ name, error, wide: kept, shown }) => `${name.padEnd(18)} error of the logits ${(100 * error).toPrecision(3)} %, ${kept} kept wide: ${shown}`,
  );
  const [plain, smoothed, recipe] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0] | undefined];
  console.log([`FP32 reference: ${smoothed.reference} of ${smoothed.total} right on ${SCENES} scenes`, ...table].join('\n'));

  expect(smoothed.error).toBeLessThan(plain.error / 4);
  if (SCENES > 0) {
    expect(plain.right / plain.total, 'plain has broken').toBeLessThan(plain.reference / plain.total - 0.2);
    expect(smoothed.right / smoothed.total).toBeGreaterThanOrEqual(smoothed.reference / smoothed.total - 0.02);
  }
  if (recipe === undefined) return;
  expect(recipe.error).toBeLessThanOrEqual(0.01);
  expect(recipe.wide).toBeGreaterThan(0);
  expect(recipe.right / recipe.total).toBeGreaterThanOrEqual(recipe.reference / recipe.total - 0.005);
}, 1_200_000);
