/** A calibrated mipha-nano with engines of the stand-in for TensorRT, made before the suites of the SDK run on them (vitest.config.ts). */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { packageRoot } from '../../src/addon/load.js';
import { build, planOptions } from '../../src/package/plans/build.js';
import { readManifest } from '../../src/package/verify.js';
import { STANDIN_ENV } from './projects.js';
import { sharedNano } from './shared-nano.js';
import { standin } from './standin.js';

export default async function prepare(): Promise<void> {
  mkdirSync(dirname(STANDIN_ENV.MIPHA_TENSORRT), { recursive: true });
  copyFileSync(standin(), `${STANDIN_ENV.MIPHA_TENSORRT}.partial`);
  renameSync(`${STANDIN_ENV.MIPHA_TENSORRT}.partial`, STANDIN_ENV.MIPHA_TENSORRT);

  const scratch = mkdtempSync(join(tmpdir(), 'mipha-standin-'));
  try {
    const out = join(scratch, 'nano');
    cpSync(await sharedNano(), out, { recursive: true });
    const { language } = (await readManifest(out)).architecture;
    await build(out, { library: STANDIN_ENV.MIPHA_TENSORRT, ...planOptions(language, { segments: 2 }) });
    rmSync(STANDIN_ENV.MIPHA_TEST_NANO, { recursive: true, force: true });
    cpSync(out, STANDIN_ENV.MIPHA_TEST_NANO, { recursive: true });
    symlinkSync(join(packageRoot(), 'models/mipha-nano/checkpoint'), join(STANDIN_ENV.MIPHA_TEST_NANO, 'checkpoint')); // some tests compare with it
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
