/** Engines of packages with every switch of a transformer block, built and run on the stand-in. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { Mipha } from '../../../src/index.js';
import { build, planOptions } from '../../../src/package/plans/build.js';
import { readManifest } from '../../../src/package/verify.js';
import { counts } from '../../support/counts.js';
import { standin } from '../../support/standin.js';
import { calibrateSwitched, SWITCHED } from '../../support/switched.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-switched-plans-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

it.each(SWITCHED.slice(0, counts(1, 4)))('%s: every engine passes its self-test as asked, and the SDK answers from them', async (name) => {
  const { out } = await calibrateSwitched(join(folder, name), name);
  const { language } = (await readManifest(out)).architecture;
  const library = standin();
  const { plan } = await build(out, { library, ...planOptions(language, { segments: 2 }) });
  expect(plan.segments).toMatchObject(['vision', 'language.0', 'language.1'].map((segment) => ({ name: segment, attempt: 'as asked' })));
  expect(plan.segments.every(({ share }) => share < 1)).toBe(true);

  vi.stubEnv('MIPHA_TENSORRT', library);
  await using mipha = await Mipha.load(out);
  expect(mipha.status()).toMatchObject({ backend: 'tensorrt', passedOver: [] });
  await using view = await mipha.look({ data: new Uint8Array(3 * 64 * 48).fill(90), width: 64, height: 48, format: 'rgb' });
  expect(['length', 'eos']).toContain((await view.ask('What is it?', { maxTokens: 4 })).finish);
});
