/** tensorrtFacts, tensorrtBuild and tensorrtCheck through the stand-in: graphs of nano become plans, and plans compute what the package stores. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { NativeEngine, TensorRtBuild, TensorRtRange } from '../../src/addon/addon.js';
import { loadAddon, packageRoot } from '../../src/addon/load.js';
import { openGraphSource } from '../../src/package/onnx/source.js';
import { type Segment, segmentsOf, writeGraph } from '../../src/package/onnx/write.js';
import { sharedNano } from '../support/shared-nano.js';
import { standin } from '../support/standin.js';
import { CONTEXT, END, loadOptions, picture, question } from './raw-engine.js';

const addon = loadAddon();
const folder = mkdtempSync(join(tmpdir(), 'mipha-tensorrt-'));
const CACHE_ROWS = 1024;
const MAX_ROWS = 256;
let library: string;
let calibrated: string;
let segments: Segment[];

beforeAll(async () => {
  library = standin();
  calibrated = await sharedNano();
  const source = await openGraphSource(calibrated);
  const { layers } = source.manifest.architecture.language;
  segments = segmentsOf(layers, 2);
  for (const segment of segments) {
    await writeGraph(join(folder, 'graphs'), source, segment);
    await writeGraph(join(folder, 'wide'), source, segment, true);
  }
}, 300_000);
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const range = (least: number[], most: number[]): TensorRtRange => ({ least, usual: most, most });

function profilesOf(segment: Segment): TensorRtBuild['profiles'] {
  if (segment.kind === 'vision') return [{ pixels: range([1, 3, 112, 112], [1, 3, 112, 112]) }];
  return [MAX_ROWS, 8].map((rows) => {
    const cached = range([0, 4, 80], [CACHE_ROWS, 4, 80]);
    const layers = Array.from({ length: segment.end - segment.first }, (_, i) => segment.first + i);
    return {
      hidden_in: range([1, 320], [rows, 320]),
      cosine: range([1, 16], [rows, 16]),
      sine: range([1, 16], [rows, 16]),
      mask: range([1, 1], [rows, CACHE_ROWS + rows]),
      rows: range([1], [8]),
      ...Object.fromEntries(layers.flatMap((layer) => [`past_keys.${layer}`, `past_values.${layer}`].map((name) => [name, cached]))),
    };
  });
}

function options(name: string, changes: Partial<TensorRtBuild> = {}): TensorRtBuild {
  const segment = segments.find((candidate) => candidate.name === name) as Segment;
  return {
    graph: join(folder, 'graphs', `${name}.onnx`),
    plan: join(folder, `${name}.plan`),
    timingCache: join(folder, 'timing'),
    switches: null,
    workspaceBytes: 1 << 30,
    level: 3,
    profiles: profilesOf(segment),
    ...changes,
  };
}

const built = async (name: string, changes: Partial<TensorRtBuild> = {}) => {
  const build = options(name, changes);
  await addon.tensorrtBuild(library, build).done;
  return build.plan;
};

describe('facts', () => {
  it('are those of library and device', async () => {
    vi.stubEnv('MIPHA_STANDIN_GPU', 'Thor');
    expect(await addon.tensorrtFacts(library)).toMatchObject({ tensorrt: '10.3.0.30', gpu: 'Thor', computeCapability: 87, interfaceVersion: 1 });
  });

  it('say why there are none', async () => {
    vi.stubEnv('MIPHA_STANDIN_UNAVAILABLE', 'libnvinfer.so.10: no such file');
    await expect(addon.tensorrtFacts(library)).rejects.toMatchObject({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining('libnvinfer.so.10: no such file'),
    });
    await expect(addon.tensorrtFacts(join(folder, 'absent.so'))).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE' });
  });
});

describe('a plan', () => {
  it('computes what the package has stored', async () => {
    for (const { name } of segments) {
      const deviations = await addon.tensorrtCheck(library, calibrated, await built(name));
      expect(deviations.length).toBe(name === 'vision' ? 1 : 10);
      for (const { tensor, deviation, limit } of deviations) expect(deviation, `${name}: ${tensor}`).toBeLessThanOrEqual(limit);
    }
  });

  it('that was built wide is close to it as well', async () => {
    for (const { name } of segments) {
      const deviations = await addon.tensorrtCheck(library, calibrated, await built(name, { graph: join(folder, 'wide', `${name}.onnx`) }));
      for (const { tensor, deviation, limit } of deviations) expect(deviation, `${name}: ${tensor}`).toBeLessThanOrEqual(limit);
    }
  });

  it('that computes something else is seen', async () => {
    vi.stubEnv('MIPHA_STANDIN_WRONG', 'vision,language.1:switches');
    for (const [name, tensor] of [
      ['vision', 'vision.features'],
      ['language.1', 'language.prefill.logits'],
    ] as const) {
      const deviations = await addon.tensorrtCheck(library, calibrated, await built(name));
      const wrong = deviations.find((candidate) => candidate.tensor === tensor);
      expect(wrong?.deviation).toBeGreaterThan(10 * (wrong?.limit ?? Number.NaN));
    }
    const right = await addon.tensorrtCheck(library, calibrated, await built('language.1', { switches: '-peep:fc_h_fusion=off' }));
    expect(right.every(({ deviation, limit }) => deviation <= limit)).toBe(true);
  });

  it('that is damaged or of another machine is refused', async () => {
    const plan = await built('language.0');
    const bytes = readFileSync(plan);
    vi.stubEnv('MIPHA_STANDIN_TENSORRT', '10.7.0.23');
    await expect(addon.tensorrtCheck(library, calibrated, plan)).rejects.toMatchObject({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringMatching(/built by TensorRT 10\.3\.0\.30, this is 10\.7\.0\.23.*mipha build/),
    });
    vi.unstubAllEnvs();
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    for (const broken of [bytes, bytes.subarray(0, 1000), Buffer.alloc(0)]) {
      writeFileSync(plan, broken);
      await expect(addon.tensorrtCheck(library, calibrated, plan)).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE' });
    }
  });
});

describe('an engine', () => {
  const load = (changes = {}, plans = folder) =>
    addon.load(loadOptions({ folder: calibrated, backend: 'tensorrt', tensorrt: { library, plans }, ...changes })).done;

  /** A look and four questions at once, twice; ids of all answers. */
  async function answers(engine: NativeEngine): Promise<number[][]> {
    const { view } = await engine.look(picture(), {}).done;
    const ask = (id: number) => engine.ask(question({ view, ids: Int32Array.of(10, 11, id), maxTokens: 8, stopIds: Int32Array.of(END) })).done;
    const all: number[][] = [];
    for (let round = 0; round < 2; round++) {
      for (const { ids } of await Promise.all([20, 21, 22, 23].map(ask))) all.push([...ids]);
    }
    engine.releaseView(view);
    return all;
  }

  beforeAll(async () => {
    for (const { name } of segments) await built(name);
  });

  it('answers as the CPU does', async () => {
    const engine = await load();
    expect(engine.status()).toMatchObject({ backend: 'tensorrt', detail: 'TensorRT 10.3.0.30, Orin, 2 segments' });
    expect(engine.status().memory.map(({ name }) => name)).toEqual(['weights', 'cache', 'activations', 'staging']);
    const cpu = await addon.load(loadOptions({ folder: calibrated })).done;
    const [here, there] = [await answers(engine), await answers(cpu)];
    await Promise.all([engine.dispose(), cpu.dispose()]);
    const same = here.filter((ids, i) => ids.join() === there[i]?.join()).length;
    expect(same).toBeGreaterThanOrEqual(here.length - 2); // random questions: two logits may lie as close as quantization is coarse
    expect(here.slice(0, 4)).toEqual(here.slice(4));
  });

  it('is refused when one plan computes something else', async () => {
    vi.stubEnv('MIPHA_STANDIN_WRONG', 'language.1');
    await built('language.1');
    await expect(load()).rejects.toMatchObject({
      code: 'ERR_SELF_TEST',
      message: expect.stringMatching(/engine language\.1: language\.prefill\.logits deviates by 1, expected at most 0\.\d+; .*mipha build/),
    });
    vi.unstubAllEnvs();
    await built('language.1');
  });

  it('is refused when the memory does not suffice, a plan is missing or the cache is larger than what was built', async () => {
    await expect(load({ cacheTokens: CACHE_ROWS + 1 })).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE' });
    await expect(load({}, join(folder, 'graphs'))).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING' });
    vi.stubEnv('MIPHA_STANDIN_MEMORY', '9000000');
    await expect(load()).rejects.toMatchObject({ code: 'ERR_MEMORY' });
  });

  it('whose device falls silent fails what it was asked', async () => {
    const engine = await load();
    vi.stubEnv('MIPHA_STANDIN_RUNS', '0');
    await expect(engine.ask(question({ maxTokens: CONTEXT - 5 })).done).rejects.toMatchObject({ code: 'ERR_DEVICE' });
    vi.unstubAllEnvs();
    await expect(engine.ask(question()).done).rejects.toMatchObject({ code: 'ERR_DEVICE' }); // for good
    await engine.dispose();
  });
});

describe('a build', () => {
  it('tells how far it is', async () => {
    const steps: number[] = [];
    await addon.tensorrtBuild(library, options('language.0'), (_what, fraction) => steps.push(fraction)).done;
    expect(steps[0]).toBe(0);
    expect(steps.at(-1)).toBe(1);
    expect([...steps].sort((a, b) => a - b)).toEqual(steps);
  });

  it('can be cancelled, and leaves no plan', async () => {
    vi.stubEnv('MIPHA_STANDIN_SLOW', '60000');
    const plan = join(folder, 'cancelled.plan');
    const start = performance.now();
    const job = addon.tensorrtBuild(library, options('language.0', { plan }), () => job.cancel());
    await expect(job.done).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(existsSync(plan)).toBe(false);
  });

  it('may be under way when the process exits', () => {
    const script = `
      const addon = require(${JSON.stringify(join(packageRoot(), 'build/Release/mipha_edge.node'))});
      addon.tensorrtBuild(${JSON.stringify(library)}, ${JSON.stringify(options('language.0'))}, () => process.exit(7));`;
    const { status, signal, stderr } = spawnSync(process.execPath, ['-e', script], {
      env: { ...process.env, MIPHA_STANDIN_SLOW: '60000' },
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect({ status, signal, stderr }).toEqual({ status: 7, signal: null, stderr: '' });
  });

  it('that fails says why', async () => {
    vi.stubEnv('MIPHA_STANDIN_FAIL', 'language.0:level1');
    vi.stubEnv('MIPHA_STANDIN_OUT_OF_MEMORY', 'language.1');
    await expect(built('language.0')).rejects.toMatchObject({
      code: 'ERR_DEVICE',
      details: { stage: 'build' },
      message: expect.stringContaining('could not find any implementation'),
    });
    await expect(built('language.1')).rejects.toMatchObject({ code: 'ERR_MEMORY' });
    await built('language.0', { level: 1 });
  });

  it('of a graph that is not whole is refused', async () => {
    const graph = join(folder, 'graphs', 'broken.onnx');
    const bytes = readFileSync(join(folder, 'graphs', 'language.0.onnx'));
    for (const broken of [bytes.subarray(0, bytes.length - 100), Buffer.from('no model')]) {
      writeFileSync(graph, broken);
      await expect(built('language.0', { graph })).rejects.toMatchObject({ code: 'ERR_DEVICE' });
    }
    const [prefill, decode] = profilesOf(segments[1] as Segment);
    const { mask: _, ...withoutMask } = decode as Record<string, TensorRtRange>;
    await expect(built('language.0', { profiles: [prefill as Record<string, TensorRtRange>, withoutMask] })).rejects.toMatchObject({
      message: expect.stringContaining('no range for input mask'),
    });
  });
});
