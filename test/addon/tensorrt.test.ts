/** tensorrtFacts, tensorrtBuild and tensorrtCheck through the stand-in: graphs of nano become plans, and plans compute what the package stores. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { TensorRtBuild, TensorRtRange } from '../../src/addon/addon.js';
import { loadAddon } from '../../src/addon/load.js';
import { openGraphSource } from '../../src/package/onnx/source.js';
import { type Segment, segmentsOf, writeGraph } from '../../src/package/onnx/write.js';
import { calibrateNano } from '../support/calibrated.js';
import { standin } from '../support/standin.js';

const addon = loadAddon();
const folder = mkdtempSync(join(tmpdir(), 'mipha-tensorrt-'));
const CACHE_ROWS = 1024;
const MAX_ROWS = 256;
let library: string;
let calibrated: string;
let segments: Segment[];

beforeAll(async () => {
  library = standin();
  calibrated = (await calibrateNano(folder, { count: 4 })).out;
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
