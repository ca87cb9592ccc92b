/** mipha build on the stand-in: keys, plans that are not to be trusted, failures in the middle, ways around wrong engines, and what `auto` makes of it. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../../src/addon/load.js';
import { Mipha } from '../../../src/index.js';
import { hashFile } from '../../../src/package/hash.js';
import { openGraphSource } from '../../../src/package/onnx/source.js';
import { type Segment, segmentsOf, writeGraph } from '../../../src/package/onnx/write.js';
import { attemptsOf } from '../../../src/package/plans/attempts.js';
import { type BuildOptions, build, planOptions } from '../../../src/package/plans/build.js';
import { type Identity, identityOf, planKey } from '../../../src/package/plans/key.js';
import { findPlans, PLAN_FILE, type PlanSegment, writePlan } from '../../../src/package/plans/plan.js';
import { profilesOf } from '../../../src/package/plans/profiles.js';
import { readManifest } from '../../../src/package/verify.js';
import { counts } from '../../support/counts.js';
import { evalScenes, NANO } from '../../support/nano.js';
import { sharedNano } from '../../support/shared-nano.js';
import { standin } from '../../support/standin.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-build-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

let calibrated: string;
let library: string;
let options: BuildOptions;
beforeAll(async () => {
  library = standin();
  calibrated = await sharedNano();
  options = { library, ...planOptions((await readManifest(calibrated)).architecture.language, { segments: 2 }) };
});

/** A package of its own for each test. */
let model: string;
beforeEach(() => {
  model = mkdtempSync(join(folder, 'model-'));
  cpSync(calibrated, model, { recursive: true });
});

const facts = () => loadAddon().tensorrtFacts(library);

describe('the key', () => {
  it('changes with each of its parts, and with nothing else', async () => {
    const known = await facts();
    const identity = identityOf('manifest', known, options);
    const keys = Object.keys(identity) as (keyof Identity)[];
    expect(keys).toHaveLength(13);
    const changed = keys.map((part) =>
      planKey({ ...identity, [part]: typeof identity[part] === 'number' ? (identity[part] as number) + 1 : 'other' }),
    );
    expect(new Set([planKey(identity), ...changed]).size).toBe(14);
    expect(planKey(identityOf('manifest', { ...known, freeBytes: 1 } as typeof known, options))).toBe(planKey(identity));
  });
});

describe('a build', () => {
  it('gives whole plans that the SDK runs, and is done at once the second time', async () => {
    const { folder: engines, plan } = await build(model, options);
    expect(readdirSync(engines).sort()).toEqual(['language.0.plan', 'language.1.plan', 'plan.json', 'timing.cache', 'vision.plan']);
    expect(plan).toMatchObject({
      complete: true,
      segments: [{ name: 'vision', attempt: 'as asked' }, { name: 'language.0' }, { name: 'language.1' }],
    });
    expect(plan.segments.every(({ share }) => share < 1)).toBe(true);

    const built = statSync(join(engines, 'language.0.plan')).mtimeMs;
    await build(model, options);
    expect(statSync(join(engines, 'language.0.plan')).mtimeMs).toBe(built);

    vi.stubEnv('MIPHA_TENSORRT', library);
    await using mipha = await Mipha.load(model);
    expect(mipha.status()).toMatchObject({ backend: 'tensorrt', detail: 'TensorRT 10.3.0.30, Orin, 2 segments', passedOver: [] });
    const [scene] = evalScenes();
    await using view = await mipha.look(scene?.picture as string);
    for (const [question, answer] of scene?.qa ?? []) expect((await view.ask(question)).text).toBe(answer);
  });

  it('that fails in the middle leaves what was whole, and goes on from there', async () => {
    vi.stubEnv('MIPHA_STANDIN_OUT_OF_MEMORY', 'language.1');
    await expect(build(model, options)).rejects.toMatchObject({ code: 'ERR_MEMORY' });
    const [key] = readdirSync(join(model, 'engines'));
    const engines = join(model, 'engines', key as string);
    expect(readdirSync(engines).sort()).toEqual(['language.0.plan', 'plan.json', 'timing.cache', 'vision.plan']);
    await expect(findPlans(model, await facts())).rejects.toMatchObject({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining('not finished'),
    });

    vi.unstubAllEnvs();
    const before = statSync(join(engines, 'language.0.plan')).mtimeMs;
    const { plan } = await build(model, options);
    expect(plan.complete).toBe(true);
    expect(statSync(join(engines, 'language.0.plan')).mtimeMs).toBe(before);
  });

  it('that is aborted rejects with the reason and leaves no half file', async () => {
    vi.stubEnv('MIPHA_STANDIN_SLOW', '60000');
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = (segment: string, step: string) => segment === 'vision' && step !== '' && controller.abort(reason);
    await expect(build(model, { ...options, signal: controller.signal, onProgress })).rejects.toBe(reason);
    const [key] = readdirSync(join(model, 'engines'));
    expect(readdirSync(join(model, 'engines', key as string))).toEqual([]);
  });

  it('is refused for a package that is not calibrated, twice at once, and where nothing can be written', async () => {
    await expect(build(NANO, options)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', message: expect.stringContaining('mipha calibrate') });
    vi.stubEnv('MIPHA_STANDIN_SLOW', '1500');
    const first = build(model, options);
    await vi.waitUntil(
      () => existsSync(join(model, 'engines')) && readdirSync(join(model, 'engines')).some((key) => existsSync(join(model, 'engines', key, 'lock'))),
    );
    await expect(build(model, options)).rejects.toMatchObject({ code: 'ERR_BUSY', details: { pid: process.pid } });
    await first;
    vi.unstubAllEnvs();
    rmSync(join(model, 'engines'), { recursive: true });
    writeFileSync(join(model, 'engines'), 'in the way');
    await expect(build(model, options)).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'package' } });
  });

  it('takes over a lock whose process is gone', async () => {
    const key = planKey(identityOf(readFileSync(join(model, 'manifest.json'), 'utf8'), await facts(), options));
    mkdirSync(join(model, 'engines', key), { recursive: true });
    writeFileSync(join(model, 'engines', key, 'lock'), `${process.pid} 12345`); // the number is in use again, by another process
    expect((await build(model, options)).plan.complete).toBe(true);
  });
});

describe('a plan that is', () => {
  let whole: string; // a package with plans, built once
  let engines: string;
  beforeAll(async () => {
    whole = mkdtempSync(join(folder, 'whole-'));
    cpSync(calibrated, whole, { recursive: true });
    await build(whole, options);
  });
  beforeEach(() => {
    cpSync(join(whole, 'engines'), join(model, 'engines'), { recursive: true });
    engines = join(model, 'engines', readdirSync(join(model, 'engines'))[0] as string);
  });
  const refusal = async () =>
    await findPlans(model, await facts()).then(
      () => 'accepted',
      (error: Error) => error.message,
    );

  it('truncated is refused, and built again', async () => {
    truncateSync(join(engines, 'language.1.plan'), 1000);
    expect(await refusal()).toMatch(/language\.1\.plan: expected \d+ bytes, received 1000.*mipha build/);
    expect((await build(model, options)).plan.complete).toBe(true);
    expect(await refusal()).toBe('accepted');
  });

  it('changed in one bit is refused', async () => {
    const path = join(engines, 'vision.plan');
    const bytes = readFileSync(path);
    bytes[5000] = (bytes[5000] as number) ^ 1;
    writeFileSync(path, bytes);
    expect(await refusal()).toMatch(/vision\.plan is damaged/);
  });

  it('missing, or whose record is no JSON, is refused', async () => {
    rmSync(join(engines, 'language.0.plan'));
    expect(await refusal()).toMatch(/language\.0\.plan is missing/);
    writeFileSync(join(engines, PLAN_FILE), '{');
    expect(await refusal()).toMatch(/plan\.json: expected JSON/);
  });

  it('of another TensorRT, GPU or package is refused', async () => {
    vi.stubEnv('MIPHA_STANDIN_TENSORRT', '10.7.0.23');
    expect(await refusal()).toMatch(/built with tensorrt 10\.3\.0\.30, this is 10\.7\.0\.23/);
    vi.stubEnv('MIPHA_STANDIN_TENSORRT', '10.3.0.30');
    vi.stubEnv('MIPHA_STANDIN_GPU', 'Thor');
    expect(await refusal()).toMatch(/built with gpu Orin, this is Thor/);
    vi.unstubAllEnvs();
    const manifest = readFileSync(join(model, 'manifest.json'), 'utf8');
    writeFileSync(join(model, 'manifest.json'), manifest.replace('"mipha-nano"', '"renamed"'));
    expect(await refusal()).toMatch(/built from another state of the package/);
  });

  it('older than another one is passed over for it', async () => {
    const other = await build(model, { ...options, segments: 1 });
    expect((await findPlans(model, await facts())).folder).toBe(other.folder);
    const soon = new Date(Date.now() + 60_000);
    utimesSync(join(engines, PLAN_FILE), soon, soon);
    expect((await findPlans(model, await facts())).folder).toBe(engines);
  });
});

describe('an engine that computes something else', () => {
  const ways = [
    { until: 'level1', attempt: 'without fusion, level 1', tried: 3 },
    { until: 'switches', attempt: 'without fusion of products', tried: 1 },
    { until: 'wide', attempt: 'in FP16', tried: 5 },
  ];
  it.each(ways.slice(0, counts(1, 3)))('is built in other ways, in their order: $attempt', async ({ until, attempt, tried }) => {
    vi.stubEnv('MIPHA_STANDIN_WRONG', `language.0:${until}`);
    const reasons: string[] = [];
    const { plan } = await build(model, { ...options, onFallback: (segment, way, reason) => reasons.push(`${segment} ${way}: ${reason}`) });
    expect(plan.segments.map(({ name, attempt: way }) => [name, way])).toEqual([
      ['vision', 'as asked'],
      ['language.0', attempt],
      ['language.1', 'as asked'],
    ]);
    expect(reasons).toHaveLength(tried);
    expect(reasons[0]).toMatch(/^language\.0 as asked: language\.prefill\.2 deviates by 1\.\d*, expected at most 0\.0/);
    vi.stubEnv('MIPHA_TENSORRT', library);
    await using mipha = await Mipha.load(model, { backend: 'tensorrt' });
    expect(mipha.status().backend).toBe('tensorrt');
  });

  it('in every way is refused, and auto takes the CPU and says why', async () => {
    vi.stubEnv('MIPHA_STANDIN_WRONG', 'language.1:never');
    const failed = build(model, options);
    await expect(failed).rejects.toMatchObject({ code: 'ERR_SELF_TEST', details: { segment: 'language.1' } });
    await expect(failed).rejects.toThrow(/in FP16: language\.prefill\.logits deviates/);
    vi.stubEnv('MIPHA_TENSORRT', library);
    await expect(Mipha.load(model, { backend: 'tensorrt' })).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE' });
    await using mipha = await Mipha.load(model);
    expect(mipha.status()).toMatchObject({
      backend: 'cpu',
      passedOver: [{ backend: 'tensorrt', code: 'ERR_BACKEND_UNAVAILABLE', reason: expect.stringContaining('not finished') }],
    });
  });

  it('is refused at load as well, and auto takes the CPU', async () => {
    const { folder: engines, plan } = await build(model, options);
    const segment = segmentsOf(4, 2)[2] as Segment;
    const written = await writeGraph(join(model, 'graphs'), await openGraphSource(model), segment);
    vi.stubEnv('MIPHA_STANDIN_WRONG', 'language.1');
    const path = join(engines, 'language.1.plan');
    const { level, workspaceBytes } = options;
    const profiles = profilesOf(written.model, options);
    await loadAddon().tensorrtBuild(library, { graph: written.path, plan: path, timingCache: '', switches: null, level, workspaceBytes, profiles })
      .done;
    const last = plan.segments[2] as PlanSegment;
    await writePlan(engines, { ...plan, segments: plan.segments.with(2, { ...last, ...(await hashFile(path)) }) });

    vi.stubEnv('MIPHA_TENSORRT', library);
    await expect(Mipha.load(model, { backend: 'tensorrt' })).rejects.toMatchObject({ code: 'ERR_SELF_TEST' });
    await using mipha = await Mipha.load(model);
    expect(mipha.status()).toMatchObject({ backend: 'cpu', passedOver: [{ backend: 'tensorrt', code: 'ERR_SELF_TEST' }] });
  });

  it('is not looked at when its memory is not there', async () => {
    await build(model, options);
    vi.stubEnv('MIPHA_TENSORRT', library);
    vi.stubEnv('MIPHA_STANDIN_MEMORY', '9000000');
    await expect(Mipha.load(model, { backend: 'tensorrt' })).rejects.toMatchObject({
      code: 'ERR_MEMORY',
      details: { neededBytes: expect.any(Number) },
    });
    await using mipha = await Mipha.load(model);
    expect(mipha.status()).toMatchObject({ backend: 'cpu', passedOver: [{ code: 'ERR_MEMORY' }] });
  });
});

describe('the ways to build', () => {
  it('are in the order of what they cost', () => {
    expect(attemptsOf(3, true).map(({ level, switches, wide }) => [level, switches !== null, wide])).toEqual([
      [3, false, false],
      [3, true, false],
      [2, true, false],
      [1, true, false],
      [0, true, false],
      [3, false, true],
    ]);
    expect(attemptsOf(1, false).map(({ level }) => level)).toEqual([1, 1, 0]);
  });
});
