/** Every graph in ONNX Runtime against the FP32 reference with the same fixed scales: whole nano, and cuts of both published sizes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calibrate } from '../../../src/package/calibrate/calibrate.js';
import type { Sample } from '../../../src/package/calibrate/stages.js';
import { imageTokens } from '../../../src/package/manifest.js';
import { writeRandomPackage } from '../../../src/package/random.js';
import { readManifest } from '../../../src/package/verify.js';
import { nanoSamples } from '../../support/calibrated.js';
import { counts } from '../../support/counts.js';
import { NANO } from '../../support/nano.js';
import { OnnxModel, type Span } from '../../support/onnx-model.js';
import { boundAfter, QuantizedReference, type ReferenceRun, relativeError } from '../../support/quantized-reference.js';
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
      const { layers } = (await readManifest(made.folder)).architecture.language;
      const model = await OnnxModel.load(made.folder, graphs, layers, wide); // a segment for each layer: every layer boundary shows
      const { pixels, prefix, ids } = made.sample;
      const reference = await new QuantizedReference(made.folder, model.manifest, wide).run(pixels, prefix, ids);
      const compare = new Comparison(model, reference, wide);

      compare.features(await model.encode(pixels));
      const rows = (reference.hidden[0] as Float32Array).length / model.manifest.architecture.language.hidden;
      const ways: [what: string, runs: number[][]][] = [
        ['two continuations in one run', [[rows - 5], [5, 5]]],
        ['prefill, then decode', [[rows - 2], [1], [1]]],
        ['chunks of a prefill', [[7], [rows - 9], [2]]],
        ['prefill on an empty past', [[rows]]],
      ];
      for (const [what, runs] of ways) await compare.spans(what, runs);
      console.log(`${name}, ${kind}: ${compare.summary()}`);
    },
    300_000,
  );
});

class Comparison {
  #worst = { what: '', share: 0 };

  constructor(
    readonly model: OnnxModel,
    readonly reference: ReferenceRun,
    readonly wide: boolean,
  ) {}

  features(features: Float32Array): void {
    const { vision, projector } = this.model.manifest.architecture;
    expect(features.length).toBe(imageTokens(this.model.manifest.architecture) * this.model.manifest.architecture.language.hidden);
    this.#check('features', features, this.reference.features, 4 * vision.layers + projector.layers);
  }

  /** Feeds the sequence in runs; a run of several equal lengths is the same rows several times, as forks of what was fed before. */
  async spans(what: string, runs: number[][]): Promise<void> {
    const { hidden, layers, vocab } = this.model.manifest.architecture.language;
    this.model.reset();
    const sees: number[] = [];
    let at = 0;
    let last: Float32Array[] = [];
    for (const lengths of runs) {
      const count = lengths[0] as number;
      const take = (rows: Float32Array) => rows.slice(at * hidden, (at + count) * hidden);
      const spans: Span[] = lengths.map(() => ({ hidden: take(this.reference.hidden[0] as Float32Array), sees: [...sees] }));
      const { rows, logits } = await this.model.append(spans, (layer, x) => {
        for (const [fork] of lengths.entries()) {
          const own = x.slice(fork * count * hidden, (fork + 1) * count * hidden);
          this.#check(`${what}: rows behind layer ${layer}`, own, take(this.reference.hidden[layer] as Float32Array), 4 * layer);
        }
      });
      for (let layer = 0; layer < layers; layer++) {
        for (const own of rows) {
          // Keys and values are a product of their own behind the layers before.
          this.#check(
            `${what}: keys ${layer}`,
            this.model.cached(layer, 'keys', own),
            take(this.reference.keys[layer] as Float32Array),
            4 * layer + 1,
          );
          this.#check(
            `${what}: values ${layer}`,
            this.model.cached(layer, 'values', own),
            take(this.reference.values[layer] as Float32Array),
            4 * layer + 1,
          );
        }
      }
      sees.push(...(rows[0] as number[]));
      at += count;
      last = logits;
    }
    for (const logits of last) {
      expect(logits.length).toBe(vocab);
      this.#check(`${what}: logits`, logits, this.reference.logits, 4 * layers + 1);
    }
  }

  summary(): string {
    return `at most ${(100 * this.#worst.share).toFixed(0)} % of the bound (${this.#worst.what})`;
  }

  #check(what: string, graph: Float32Array, reference: Float32Array, products: number): void {
    expect(graph.length, what).toBe(reference.length);
    const error = relativeError(graph, reference);
    const bound = boundAfter(products, this.wide);
    expect(error, `${what}: relative error within ${bound.toExponential(1)}`).toBeLessThanOrEqual(bound);
    if (error / bound > this.#worst.share) this.#worst = { what, share: error / bound };
  }
}
