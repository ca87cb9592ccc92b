/** A package's graphs in ONNX Runtime against the FP32 reference with the same fixed scales. */
import { expect } from 'vitest';
import type { Sample } from '../../src/package/calibrate/stages.js';
import { imageTokens } from '../../src/package/manifest.js';
import { readManifest } from '../../src/package/verify.js';
import { OnnxModel, type Span } from './onnx-model.js';
import { boundAfter, productsOfBlock, QuantizedReference, type ReferenceRun, relativeError } from './quantized-reference.js';

/** Prefill, chunks, decode and forks: features, rows, keys, values and logits within the bound of so many products. Says how near they came. */
export async function compareGraphs(folder: string, graphs: string, { pixels, prefix, ids }: Sample, wide: boolean): Promise<string> {
  const { layers, hidden } = (await readManifest(folder)).architecture.language;
  const model = await OnnxModel.load(folder, graphs, layers, wide); // a segment for each layer: every layer boundary shows
  const reference = await new QuantizedReference(folder, model.manifest, wide).run(pixels, prefix, ids);
  const compare = new Comparison(model, reference, wide);

  compare.features(await model.encode(pixels));
  const rows = (reference.hidden[0] as Float32Array).length / hidden;
  const ways: [what: string, runs: number[][]][] = [
    ['two continuations in one run', [[rows - 5], [5, 5]]],
    ['prefill, then decode', [[rows - 2], [1], [1]]],
    ['chunks of a prefill', [[7], [rows - 9], [2]]],
    ['prefill on an empty past', [[rows]]],
  ];
  for (const [what, runs] of ways) await compare.spans(what, runs);
  return compare.summary();
}

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
    this.#check('features', features, this.reference.features, productsOfBlock(vision) * vision.layers + projector.layers);
  }

  /** Feeds the sequence in runs; a run of several equal lengths is the same rows several times, as forks of what was fed before. */
  async spans(what: string, runs: number[][]): Promise<void> {
    const { language } = this.model.manifest.architecture;
    const { hidden, kvHeads, headSize, layers, vocab } = language;
    const perBlock = productsOfBlock(language);
    this.model.reset();
    const sees: number[] = [];
    let at = 0;
    let last: Float32Array[] = [];
    for (const lengths of runs) {
      const count = lengths[0] as number;
      const take = (rows: Float32Array, width = hidden) => rows.slice(at * width, (at + count) * width);
      const spans: Span[] = lengths.map(() => ({ hidden: take(this.reference.hidden[0] as Float32Array), sees: [...sees] }));
      const { rows, logits } = await this.model.append(spans, (layer, x) => {
        for (const [fork] of lengths.entries()) {
          const own = x.slice(fork * count * hidden, (fork + 1) * count * hidden);
          this.#check(`${what}: rows behind layer ${layer}`, own, take(this.reference.hidden[layer] as Float32Array), perBlock * layer);
        }
      });
      for (let layer = 0; layer < layers; layer++) {
        for (const own of rows) {
          // Keys and values are a product of their own behind the layers before.
          this.#check(
            `${what}: keys ${layer}`,
            this.model.cached(layer, 'keys', own),
            take(this.reference.keys[layer] as Float32Array, kvHeads * headSize),
            perBlock * layer + 1,
          );
          this.#check(
            `${what}: values ${layer}`,
            this.model.cached(layer, 'values', own),
            take(this.reference.values[layer] as Float32Array, kvHeads * headSize),
            perBlock * layer + 1,
          );
        }
      }
      sees.push(...(rows[0] as number[]));
      at += count;
      last = logits;
    }
    for (const logits of last) {
      expect(logits.length).toBe(vocab);
      this.#check(`${what}: logits`, logits, this.reference.logits, perBlock * layers + 1);
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
