/** Every graph in ONNX Runtime against the FP32 reference with the same fixed scales: whole nano, and cuts of both published sizes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { calibrate } from '../../../src/package/calibrate/calibrate.js';
import type { Sample } from '../../../src/package/calibrate/stages.js';
import { writeRandomPackage } from '../../../src/package/random.js';
import { nanoSamples } from '../../support/calibrated.js';
import { compareGraphs } from '../../support/comparison.js';
import { counts } from '../../support/counts.js';
import { NANO } from '../../support/nano.js';
import { sharedNano } from '../../support/shared-nano.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-judge-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Model {
  folder: string;
  sample: Sample;
  scratch: string;
}

async function nano(): Promise<Model> {
  const { samples } = await nanoSamples(join(folder, 'judged'), NANO, 4);
  return { folder: await sharedNano(), sample: samples[3] as Sample, scratch: join(folder, 'nano') };
}

/** Random weights at the widths of a published model, two layers of each half, pictures of 8 × 8 patches. */
async function cut(size: 'mipha-3b' | 'mipha-1.6b'): Promise<Model> {
  const scratch = join(folder, size);
  const random = join(scratch, 'random');
  await writeRandomPackage(random, size, { cut: { layers: 2, imagePx: 112 } });
  const pixels = Uint8Array.from({ length: 3 * 112 * 112 }, (_, i) => (i * 37) % 251);
  const sample = { pixels, prefix: Int32Array.of(32, 40, 17), ids: Int32Array.from({ length: 9 }, (_, i) => 30 + 31 * i) };
  const out = join(scratch, 'calibrated');
  await calibrate(random, out, [sample], { budget: 1, source: { pictures: [], prompts: [] } });
  rmSync(random, { recursive: true });
  return { folder: out, sample, scratch };
}

// Heads of the 3B are as wide as nano's; the 1.6B has others, rotated by half.
const MODELS = [
  { name: 'mipha-nano', make: nano },
  { name: 'two layers of mipha-1.6b', make: () => cut('mipha-1.6b') },
  { name: 'two layers of mipha-3b', make: () => cut('mipha-3b') },
];

describe.each(MODELS.slice(0, counts(1, 3)))('$name', ({ name, make }) => {
  let made: Model;
  beforeAll(async () => {
    made = await make();
  }, 600_000);
  afterAll(() => rmSync(made.scratch, { recursive: true, force: true }));

  it.each([
    { kind: 'INT8', wide: false },
    { kind: 'wide', wide: true },
  ])(
    '$kind graphs give what the reference gives: prefill, chunks, decode, forks',
    async ({ kind, wide }) => {
      const graphs = join(made.scratch, `graphs-${kind}`);
      console.log(`${name}, ${kind}: ${await compareGraphs(made.folder, graphs, made.sample, wide)}`);
    },
    300_000,
  );
});
