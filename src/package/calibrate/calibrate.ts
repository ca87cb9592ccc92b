/** A package → a package whose inputs can be quantized with fixed scales: observe, smooth, choose a recipe, write. The old one is never changed. */
import { createHash } from 'node:crypto';
import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NativeStages } from '../../addon/addon.js';
import { loadAddon } from '../../addon/load.js';
import { optionError } from '../../errors.js';
import { CALIBRATION_FILE, type Calibration, SELF_TEST_FILE } from '../calibration.js';
import { hashFile, sha256Of } from '../hash.js';
import { GOLDEN_FILE, type Manifest, type Precision, WEIGHTS_FILE } from '../manifest.js';
import { atomically, refuseExisting, writeDurably, writeManifest } from '../output.js';
import { completeRecipe } from '../recipe.js';
import { openSafetensors, type SafetensorsFile } from '../safetensors.js';
import { openPackage } from '../verify.js';
import { writeWeights } from '../weights-writer.js';
import { type Chosen, chooseRecipe } from './choose.js';
import { foldedTensors } from './folded.js';
import { observeStage, type RangeResult } from './ranges.js';
import { writeSelfTest } from './self-test.js';
import { Baseline, logitsError, productsOf } from './sensitivity.js';
import { type SmoothingGroup, smoothingGroups } from './smoothing.js';
import { type Rows, type Sample, type Stage, stagesOf } from './stages.js';
import { State } from './state.js';

export interface CalibrateOptions {
  /** Largest relative RMS error of the logits that quantization may cause, e.g. 0.05. */
  budget: number;
  /** What the samples were made of, for calibration.json. */
  source: Pick<Calibration, 'pictures' | 'prompts'>;
  /** Threads of the forward pass; default: one per physical core. */
  threads?: number | undefined;
  /** False leaves outliers where they are, to see what smoothing is worth. Default true. */
  smooth?: boolean | undefined;
  /** Runs the finished but not yet renamed package and gives the JSON of its golden.json. */
  selfTest?: ((folder: string, signal: AbortSignal | undefined) => Promise<unknown>) | undefined;
  /** Called often, with a fraction of 0 to 1 of the stage. */
  onProgress?: ((stage: CalibrationStage, fraction: number) => void) | undefined;
  /** Told when what an earlier try left behind is of no use, in words. */
  onNotice?: ((text: string) => void) | undefined;
  /** Aborting rejects with its reason; what is finished is kept for the next try. */
  signal?: AbortSignal | undefined;
}

export type CalibrationStage = 'verify' | 'ranges' | 'candidate' | 'sensitivity' | 'weights' | 'self-test';

const SENSITIVITY_SAMPLES = 4; // of the samples: a run for each matrix is the long part

/**
 * Writes the package `out`, which must not exist; what is finished lies in `out`.calibration meanwhile. The same input gives the same bytes.
 * Memory: the hidden rows of all samples, and one layer. Throws ERR_OPTION, ERR_MODEL_MISSING, ERR_MODEL_FORMAT, ERR_MODEL_CHECKSUM.
 */
export async function calibrate(folder: string, out: string, samples: Sample[], options: CalibrateOptions): Promise<Calibration> {
  await refuseExisting(out);
  if (samples.length === 0) throw optionError('samples', 'at least one', samples.length);
  if (!(options.budget > 0)) throw optionError('budget', 'a number above 0', options.budget);
  const { manifest } = await openPackage(folder, { signal: options.signal, onProgress: (fraction) => options.onProgress?.('verify', fraction) });
  const state = await State.open(out, fingerprintOf(manifest, samples, options));
  if (state.startedAnew) options.onNotice?.(`${state.folder}: of another package, other samples or options; starting anew`);
  const file = await openSafetensors(join(folder, WEIGHTS_FILE));
  try {
    const work = new Work(folder, manifest, file, samples, options, state);
    const ranges = await work.ranges();
    const candidate = await work.candidate(ranges);
    const chosen = await work.choose(ranges, candidate);
    const calibration = work.describe(ranges, chosen);
    await atomically(out, (partial) => work.write(partial, ranges, chosen, calibration));
    await state.remove();
    return calibration;
  } finally {
    await file.close();
  }
}

function fingerprintOf(manifest: Manifest, samples: Sample[], { budget, smooth = true, source }: CalibrateOptions): string {
  const inputs = samples.map(({ pixels, prefix, ids }) => [createHash('sha256').update(pixels).digest('hex'), [...prefix], [...ids]]);
  return sha256Of(JSON.stringify([manifest, inputs, budget, smooth, source]));
}

class Work {
  readonly #stages: Stage[];
  readonly #groups: SmoothingGroup[];
  readonly #matrices: string[];

  constructor(
    readonly folder: string,
    readonly manifest: Manifest,
    readonly file: SafetensorsFile,
    readonly samples: Sample[],
    readonly options: CalibrateOptions,
    readonly state: State,
  ) {
    this.#stages = stagesOf(manifest.architecture);
    this.#groups = smoothingGroups(manifest.architecture);
    this.#matrices = this.#groups.flatMap(({ matrices }) => matrices);
  }

  async ranges(): Promise<RangeResult> {
    const saved = await this.state.readRanges();
    const native = this.#open(this.folder);
    const result = saved?.result ?? { factors: new Map(), seen: new Map() };
    const rows: Rows[] = saved?.rows ?? this.samples.map(({ pixels }) => pixels);
    const total = this.#stages.length * this.samples.length;
    for (let done = saved?.stages ?? 0; done < this.#stages.length; done++) {
      const stage = this.#stages[done] as Stage;
      let sample = done * this.samples.length;
      await observeStage(native, this.file, stage, this.#groups, this.samples, rows, result, {
        smooth: this.options.smooth ?? true,
        onSample: () => this.#step('ranges', ++sample / total),
      });
      await this.state.writeRanges(done + 1, rows, result);
    }
    return result;
  }

  /** The package with every matrix smoothed and in INT8: what sensitivity takes its quantized weights from. */
  async candidate({ factors }: RangeResult): Promise<string> {
    const path = join(this.state.folder, 'candidate');
    const found = await openPackage(path).catch(() => undefined);
    if (found !== undefined) return path;
    await atomically(path, async (partial) => {
      const recipe = Object.fromEntries(this.#matrices.map((matrix) => [matrix, 'w8a8' as const]));
      await this.#writeWeights(partial, 'candidate', { factors, seen: new Map() }, recipe);
    });
    return path;
  }

  async choose(ranges: RangeResult, candidate: string): Promise<Chosen> {
    const native = this.#open(this.folder, candidate);
    const errors = await this.state.readErrors();
    const samples = this.samples.slice(0, SENSITIVITY_SAMPLES);
    const baseline = await Baseline.of(native, this.#stages, samples, () => this.#step('sensitivity', 0));
    let done = 0;
    const measured = async (name: string, recipe: ReadonlyMap<string, Precision>): Promise<number> => {
      const known = errors.get(name);
      const fraction = () => this.#step('sensitivity', Math.min(1, done / (this.#matrices.length + 4)));
      const error = known ?? (await logitsError(baseline, productsOf(recipe, ranges, this.#groups), fraction));
      if (known === undefined) await this.state.writeErrors(errors.set(name, error));
      done++;
      return error;
    };
    return await chooseRecipe(this.#matrices, (recipe) => measured(JSON.stringify([...recipe.values()]), recipe), {
      budget: this.options.budget,
      isFloat: (matrix) => this.file.tensors.get(`${matrix}.weight`)?.dtype !== 'I8',
      alone: (matrix) => measured(matrix, new Map([[matrix, 'w8a8']])),
    });
  }

  describe({ seen }: RangeResult, { recipe, error, alone, why }: Chosen): Calibration {
    const matrices: Calibration['matrices'] = {};
    for (const matrix of this.#matrices) {
      const range = seen.get(matrix);
      if (range === undefined) continue;
      const precision = recipe.get(matrix) as Precision;
      matrices[matrix] = { ...range, error: alone.get(matrix) ?? null, precision, why: why.get(matrix) ?? 'within the budget' };
    }
    return { samples: this.samples.length, ...this.options.source, budget: this.options.budget, error, matrices };
  }

  async write(partial: string, ranges: RangeResult, { recipe }: Chosen, calibration: Calibration): Promise<void> {
    const { selfTest, signal } = this.options;
    const manifest = await this.#writeWeights(partial, 'weights', ranges, Object.fromEntries(recipe));
    const record = async (name: string) => {
      manifest.files[name] = await hashFile(join(partial, name));
    };
    await writeDurably(join(partial, CALIBRATION_FILE), new TextEncoder().encode(`${JSON.stringify(calibration, null, 2)}\n`));
    await record(CALIBRATION_FILE);

    this.#step('self-test', 0);
    const quantized = [...recipe].filter(([, precision]) => precision === 'w8a8');
    const products = Object.fromEntries(quantized.map(([matrix]) => [matrix, { scale: ranges.seen.get(matrix)?.inputScale as number }]));
    const path = join(partial, SELF_TEST_FILE);
    manifest.files[SELF_TEST_FILE] = await writeSelfTest(
      path,
      this.#open(partial),
      this.#stages,
      manifest.architecture,
      products,
      this.samples[0] as Sample,
      () => this.#step('self-test', 0),
    );
    if (selfTest !== undefined) {
      const golden = `${JSON.stringify(await selfTest(partial, signal), null, 2)}\n`;
      await writeDurably(join(partial, GOLDEN_FILE), new TextEncoder().encode(golden));
      await record(GOLDEN_FILE);
    }
    await writeManifest(partial, manifest);
    this.#step('self-test', 1);
  }

  /** Weights, tokenizer and manifest of a package that stands for itself. */
  async #writeWeights(to: string, stage: 'candidate' | 'weights', { factors }: RangeResult, changes: Record<string, Precision>): Promise<Manifest> {
    const { manifest, file, folder, options } = this;
    const tensors = foldedTensors(file, manifest, this.#groups, factors);
    const recipe = completeRecipe(tensors, changes);
    const weights = await writeWeights(join(to, WEIGHTS_FILE), tensors, recipe, {
      signal: options.signal,
      halfScales: true,
      onProgress: (fraction) => this.#step(stage, fraction),
    });
    const files: Manifest['files'] = { [WEIGHTS_FILE]: weights };
    const kept = Object.entries(manifest.files).filter(([name]) => ![WEIGHTS_FILE, GOLDEN_FILE, CALIBRATION_FILE, SELF_TEST_FILE].includes(name));
    for (const [name, record] of kept) {
      await mkdir(dirname(join(to, name)), { recursive: true });
      await copyFile(join(folder, name), join(to, name));
      files[name] = record;
    }
    const written: Manifest = { ...manifest, recipe, files };
    await writeManifest(to, written);
    return written;
  }

  #open(folder: string, candidate = ''): NativeStages {
    return loadAddon().stages(folder, candidate, this.options.threads ?? 0);
  }

  #step(stage: CalibrationStage, fraction: number): void {
    this.options.signal?.throwIfAborted();
    this.options.onProgress?.(stage, fraction);
  }
}
