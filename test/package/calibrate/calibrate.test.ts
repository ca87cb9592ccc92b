/** Calibration of mipha-nano: what it keeps, what it writes, and that it can be interrupted at any moment. */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAddon } from '../../../src/addon/load.js';
import { readSamples, type Samples } from '../../../src/engine/samples.js';
import { recordGolden } from '../../../src/engine/self-test.js';
import { loadTokenizer } from '../../../src/engine/tokenizer.js';
import { Mipha } from '../../../src/index.js';
import { type CalibrateOptions, calibrate } from '../../../src/package/calibrate/calibrate.js';
import { factorsOf } from '../../../src/package/calibrate/smoothing.js';
import { runStage, stagesOf } from '../../../src/package/calibrate/stages.js';
import { CALIBRATION_FILE, calibrationSchema, SELF_TEST_FILE } from '../../../src/package/calibration.js';
import { convert } from '../../../src/package/convert.js';
import { toFloat16, toFloat32 } from '../../../src/package/floats.js';
import { TOKENIZER_FOLDER, WEIGHTS_FILE } from '../../../src/package/manifest.js';
import { openSafetensors } from '../../../src/package/safetensors.js';
import { openPackage, readManifest } from '../../../src/package/verify.js';
import { calibrationFiles, nanoSamples } from '../../support/calibrated.js';
import { counts } from '../../support/counts.js';
import { evalScenes, NANO } from '../../support/nano.js';
import { writeSmallCheckpoint } from '../../support/small-nano.js';
import { writeSmoothed } from '../../support/smoothed.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-calibrate-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let samples: Samples;
let wide: string;
beforeAll(async () => {
  samples = await nanoSamples(join(folder, 'samples'), NANO, 6);
  wide = await small(2, true);
});

/** A package of mipha-nano's first layers; `wide`: its matrices as they were. */
async function small(layers: number, wide: boolean): Promise<string> {
  const checkpoint = join(folder, `checkpoint-${layers}`);
  const out = join(folder, `small-${layers}-${wide}`);
  if (!existsSync(checkpoint)) writeSmallCheckpoint(checkpoint, layers);
  await convert(checkpoint, out, { wide });
  return out;
}

const run = (name: string, options: Partial<CalibrateOptions> = {}, model = NANO, count = 6) =>
  calibrate(model, join(folder, name), samples.samples.slice(0, count), { budget: 0.05, source: samples.source, ...options });

function hashes(path: string): Record<string, string> {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const file = join(entry.parentPath, entry.name);
      return [file.slice(path.length), createHash('sha256').update(readFileSync(file)).digest('hex')];
    }),
  );
}

/** Every F32 tensor of a safetensors file. */
async function floats(path: string): Promise<Map<string, Float32Array>> {
  const file = await openSafetensors(path);
  const all = new Map<string, Float32Array>();
  for (const [name, { dtype, offset, bytes }] of file.tensors) {
    if (dtype !== 'F32') continue;
    const data = new Uint8Array(bytes);
    await file.read(offset, data);
    all.set(name, toFloat32(data, 'F32'));
  }
  await file.close();
  return all;
}

describe('a calibrated package', () => {
  let before: Record<string, string>;
  beforeAll(async () => {
    before = hashes(NANO);
    await run('plain', { selfTest: recordGolden });
  });
  const out = join(folder, 'plain');

  it('is whole, answers, and left the one it was made from as it was', async () => {
    expect(hashes(NANO)).toEqual(before);
    expect(existsSync(`${out}.calibration`)).toBe(false);
    await openPackage(out);
    await using mipha = await Mipha.load(out);
    const scene = evalScenes()[0];
    await using view = await mipha.look(scene?.picture as string);
    for (const [question, answer] of scene?.qa ?? []) expect((await view.ask(question)).text).toBe(answer);
  });

  it('describes each product: a scale that FP16 holds, ranges in order, nothing clipped without need', () => {
    const calibration = calibrationSchema.parse(JSON.parse(readFileSync(join(out, CALIBRATION_FILE), 'utf8')));
    expect(calibration.samples).toBe(6);
    expect(calibration.pictures).toHaveLength(6);
    expect(Object.keys(calibration.matrices)).toHaveLength(35);
    for (const [name, { inputScale, percentiles, smoothedLargest, clipped }] of Object.entries(calibration.matrices)) {
      expect(toFloat32(new Uint8Array(toFloat16(Float32Array.of(inputScale)).buffer), 'F16')[0], name).toBe(inputScale);
      expect(percentiles.p99).toBeLessThanOrEqual(percentiles.p999);
      expect(percentiles.p9999).toBeLessThanOrEqual(smoothedLargest);
      expect(inputScale * 127, name).toBeLessThanOrEqual(smoothedLargest * 1.001);
      expect(clipped, name).toBeLessThan(0.01);
    }
  });

  it('has scales that FP16 holds, and smoothing in powers of two where it could not be folded', async () => {
    const tensors = await floats(join(out, WEIGHTS_FILE));
    const scales = [...tensors].filter(([name]) => name.endsWith('.scale'));
    expect(scales.length).toBe(36);
    for (const [name, values] of scales) {
      const halves = toFloat32(new Uint8Array(toFloat16(values).buffer), 'F16');
      expect(values, name).toEqual(halves);
      expect(
        values.every((value) => value === 0 || value >= 2 ** -14),
        name,
      ).toBe(true);
    }
    const smooth = [...tensors].filter(([name]) => name.endsWith('.smooth'));
    expect(smooth.map(([name]) => name).sort()).toEqual(
      [0, 1, 2, 3]
        .flatMap((l) => [`language.layers.${l}.down.smooth`, `vision.layers.${l}.down.smooth`])
        .concat(['projector.0.smooth', 'projector.1.smooth'])
        .sort(),
    );
    for (const [name, values] of smooth)
      expect(
        values.every((value) => Number.isInteger(Math.log2(value))),
        name,
      ).toBe(true);
  });

  it('holds stored tensors of every layer boundary for engines to reproduce', async () => {
    const tensors = await floats(join(out, SELF_TEST_FILE));
    expect(tensors.get('vision.features')?.length).toBe(64 * 320);
    for (let layer = 0; layer <= 4; layer++) {
      expect(tensors.get(`language.prefill.${layer}`)?.length).toBe(16 * 320);
      expect(tensors.get(`language.decode.${layer}`)?.length).toBe(320);
    }
    const noise = tensors.get('language.noise') as Float32Array;
    expect(noise).toHaveLength(5);
    expect(noise.every((value) => value > 1e-4 && value < 0.1)).toBe(true);
  });

  it('is the same bytes when it is made again on another number of threads, and when it was interrupted again and again', async () => {
    const model = await small(1, false);
    await run('first', { selfTest: recordGolden }, model);
    const first = join(folder, 'first');
    await run('again', { selfTest: recordGolden, threads: 3 }, model);
    expect(hashes(join(folder, 'again'))).toEqual(hashes(first));

    const seen: string[] = [];
    for (let steps = 5; ; steps += counts(31, 7)) {
      const controller = new AbortController();
      let left = steps;
      const options = {
        selfTest: recordGolden,
        signal: controller.signal,
        onProgress: (stage: string, fraction: number) => {
          seen.push(`${stage} ${fraction}`);
          if (stage !== 'verify' && --left === 0) controller.abort(new Error('enough'));
        },
      };
      const ended = await run('interrupted', options, model).catch((error: Error) => error.message);
      if (typeof ended !== 'string') break;
      expect(ended).toBe('enough');
      expect(existsSync(join(folder, 'interrupted'))).toBe(false);
    }
    expect(hashes(join(folder, 'interrupted'))).toEqual(hashes(first));
    expect(existsSync(join(folder, 'interrupted.calibration'))).toBe(false);
    const stages = stagesOf((await readManifest(model)).architecture).length;
    const times = seen.filter((step) => step === `ranges ${1 / (6 * stages)}`).length;
    expect(times, 'the first stage is run').toBeGreaterThan(0);
    expect(times, 'and not each time').toBeLessThanOrEqual(2);
  });

  it('can be calibrated again', async () => {
    const calibration = await run('twice', {}, join(folder, 'first'));
    expect(calibration.error).toBeLessThan(0.05);
    await openPackage(join(folder, 'twice'));
  });
});

describe('smoothing', () => {
  it('by powers of two changes no bit of the FP32 function', async () => {
    const { architecture } = await readManifest(wide);
    const smoothed = join(folder, 'smoothed');
    mkdirSync(smoothed);
    await writeSmoothed(wide, smoothed);
    const sample = samples.samples[0] as Samples['samples'][0];
    const logits = [];
    for (const model of [wide, smoothed]) {
      const native = loadAddon().stages(model, '', 0);
      let rows: Float32Array | Uint8Array = sample.pixels;
      for (const stage of stagesOf(architecture)) rows = await runStage(native, stage, sample, rows, {});
      logits.push(rows);
    }
    expect(logits[1]).toEqual(logits[0]);
  });

  it('leaves input and weights equally large', () => {
    expect([...factorsOf(Float32Array.of(16, 1, 0, 3, 1e9), Float32Array.of(1, 4, 5, 0, 1e-9))]).toEqual([0.25, 2, 1, 1, 2 ** -12]);
  });
});

describe('the recipe', () => {
  it('keeps the most harmful matrices wide until the error is within the budget, and says why', async () => {
    const loose = await run('loose', {}, wide, 1);
    const tight = await run('tight', { budget: loose.error / 2 }, wide, 1);
    expect(Object.values(loose.matrices).every(({ precision, error }) => precision === 'w8a8' && error === null)).toBe(true);
    expect(tight.error).toBeLessThanOrEqual(loose.error / 2);
    const entries = Object.values(tight.matrices);
    const kept = entries.filter(({ precision }) => precision !== 'w8a8');
    const narrow = entries.filter(({ precision }) => precision === 'w8a8');
    expect(kept.length).toBeGreaterThan(0);
    expect(narrow.length).toBeGreaterThan(0);
    expect(Math.min(...kept.map(({ error }) => error as number))).toBeGreaterThanOrEqual(Math.max(...narrow.map(({ error }) => error as number)));
    expect(kept.every(({ why }) => why.startsWith('alone it moves the logits by'))).toBe(true);
    expect((await readManifest(join(folder, 'tight'))).recipe).toMatchObject(
      Object.fromEntries(Object.entries(tight.matrices).map(([name, { precision }]) => [name, precision])),
    );
    await using mipha = await Mipha.load(join(folder, 'tight'));
    expect(mipha.status().backend).toBe('cpu');
  });

  it('goes to F16 weights where INT8 ones are too coarse and the original has better, and refuses a budget that nothing meets', async () => {
    const kept = await run('f16', { budget: 0.002 }, await small(1, true), 1);
    expect(Object.values(kept.matrices).some(({ precision }) => precision === 'f16')).toBe(true);
    expect(kept.error).toBeLessThanOrEqual(0.002);
    await expect(run('impossible', { budget: 1e-9 }, join(folder, 'first'), 1)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      details: { option: 'budget' },
    });
    expect(existsSync(join(folder, 'impossible'))).toBe(false);
  });
});

describe('samples', () => {
  it('pair pictures with questions in turn, and again with the next questions where there are fewer pictures than samples', async () => {
    const few = join(folder, 'few');
    mkdirSync(few);
    for (const [i, { picture }] of evalScenes().slice(0, 3).entries()) copyFileSync(picture, join(few, `${i}.png`));
    writeFileSync(join(few, 'prompts.txt'), 'Is it day?\n# a comment\nHow many cups?\\nSay a number.\n');
    const shown = async (count: number) => {
      const { samples, source } = await readSamples(NANO, few, join(few, 'prompts.txt'), count);
      const tokenizer = await loadTokenizer(join(NANO, TOKENIZER_FOLDER));
      const { pictures, prompts } = source;
      const which = new Map<string, number>();
      const pairs = samples.map(({ pixels, ids }) => {
        const key = createHash('sha256').update(pixels).digest('hex');
        if (!which.has(key)) which.set(key, which.size);
        return `${which.get(key)}${tokenizer.decode([...ids]).includes('day') ? 'a' : 'b'}`;
      });
      return { pairs, names: pictures.map(({ name }) => name), prompts };
    };
    expect(await shown(100)).toEqual({
      pairs: ['0a', '1b', '2a', '0b', '1a', '2b'],
      names: ['0.png', '1.png', '2.png'],
      prompts: ['Is it day?', 'How many cups?\nSay a number.'],
    });
    expect(await shown(2)).toMatchObject({ pairs: ['0a', '1b'], names: ['0.png', '1.png'] });
  });
});

describe('bad input', () => {
  const read = (pictures: string, prompts: string) => readSamples(NANO, pictures, prompts, 4);

  it('is named', async () => {
    const { pictures, prompts } = calibrationFiles(join(folder, 'bad'));
    const empty = join(folder, 'bad', 'empty');
    mkdirSync(empty);
    writeFileSync(join(empty, 'prompts.txt'), '# nothing\n\n');
    await expect(read(empty, prompts)).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'pictures', received: empty } });
    await expect(read(join(empty, 'none'), prompts)).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'pictures' } });
    await expect(read(pictures, join(empty, 'none'))).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'prompts' } });
    await expect(read(pictures, join(empty, 'prompts.txt'))).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'prompts' } });
    writeFileSync(join(empty, 'a.png'), 'no picture');
    await expect(read(empty, prompts)).rejects.toMatchObject({ code: 'ERR_IMAGE' });
    writeFileSync(join(empty, 'prompts.txt'), 'why '.repeat(3000));
    await expect(read(pictures, join(empty, 'prompts.txt'))).rejects.toMatchObject({ code: 'ERR_CONTEXT_FULL' });
    await expect(run('plain')).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'out' } });
    await expect(run('no-budget', { budget: 0 })).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'budget' } });
  });
});
