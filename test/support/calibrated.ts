/** mipha-nano calibrated on scenes that no test asks about: the last of the held-out ones. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readSamples, type Samples } from '../../src/engine/samples.js';
import { recordGolden } from '../../src/engine/self-test.js';
import { type CalibrateOptions, calibrate } from '../../src/package/calibrate/calibrate.js';
import type { Calibration } from '../../src/package/calibration.js';
import { evalScenes, NANO } from './nano.js';

export const CALIBRATION_SCENES = 32;
export const BUDGET = 0.05;

/** Pictures and questions of the calibration scenes as a user has them, written below `folder`. */
export function calibrationFiles(folder: string): { pictures: string; prompts: string } {
  const pictures = join(folder, 'pictures');
  mkdirSync(pictures, { recursive: true });
  const scenes = evalScenes().slice(-CALIBRATION_SCENES);
  for (const { picture } of scenes) copyFileSync(picture, join(pictures, basename(picture)));
  const questions = scenes.map(({ qa }, i) => qa[i % qa.length]?.[0].replaceAll('\n', '\\n'));
  writeFileSync(join(folder, 'prompts.txt'), `# of the kitchen\n\n${questions.join('\n')}\n`);
  return { pictures, prompts: join(folder, 'prompts.txt') };
}

export async function nanoSamples(folder: string, model = NANO, count = CALIBRATION_SCENES): Promise<Samples> {
  const { pictures, prompts } = calibrationFiles(folder);
  return await readSamples(model, pictures, prompts, count);
}

/** Writes `folder`/`name` from `model`. */
export async function calibrateNano(
  folder: string,
  options: Partial<CalibrateOptions> & { name?: string; model?: string; count?: number } = {},
): Promise<{ out: string; calibration: Calibration }> {
  const { name = 'calibrated', model = NANO, count, ...rest } = options;
  const { samples, source } = await nanoSamples(join(folder, `${name}-samples`), model, count);
  const out = join(folder, name);
  const calibration = await calibrate(model, out, samples, { budget: BUDGET, source, selfTest: recordGolden, ...rest });
  return { out, calibration };
}
