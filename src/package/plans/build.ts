/** A calibrated package → engines for this machine, segment by segment: graph, lint, build, self-test, and the next way when one does not hold. */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TensorRtDeviation, TensorRtFacts } from '../../addon/addon.js';
import { loadAddon } from '../../addon/load.js';
import { type CallSite, callSite, fromNative, MiphaError, optionError } from '../../errors.js';
import { lock } from '../../lock.js';
import { makeFolder } from '../../make-folder.js';
import { hashFile } from '../hash.js';
import type { Architecture } from '../manifest.js';
import { lint } from '../onnx/lint.js';
import { type GraphSource, openGraphSource } from '../onnx/source.js';
import { lintContext, type Segment, segmentsOf, writeGraph } from '../onnx/write.js';
import { openPackage } from '../verify.js';
import { type Attempt, attemptsOf } from './attempts.js';
import { estimateOf } from './estimate.js';
import { identityOf, type PlanOptions, planKey } from './key.js';
import { ENGINES_FOLDER, fault, type Plan, type PlanSegment, planFile, readPlan, writePlan } from './plan.js';
import { profilesOf } from './profiles.js';

export interface BuildOptions extends PlanOptions {
  /** Path of mipha_tensorrt.so or of what stands in for it. */
  library: string;
  /** `done` of all segments' weights, 0 to 1. */
  onProgress?: ((segment: string, step: string, done: number) => void) | undefined;
  /** A way to build that did not hold, and why. */
  onFallback?: ((segment: string, attempt: string, reason: string) => void) | undefined;
  /** Aborting rejects with its reason; whole plans stay. */
  signal?: AbortSignal | undefined;
}

const ROW_BYTES = 256; // where TensorRT wants memory to begin
const EXTRA_ROWS = 1024; // of the cache, beyond one context: eight questions of 128 rows

/** The options that are not given: four segments, prefill in runs of 256 rows, a cache for one context and eight questions. */
export function planOptions(
  { context, kvHeads, headSize }: Pick<Architecture['language'], 'context' | 'kvHeads' | 'headSize'>,
  given: Partial<PlanOptions> = {},
): PlanOptions {
  const step = ROW_BYTES / gcd(ROW_BYTES, 2 * kvHeads * headSize);
  const cacheRows = given.cacheRows ?? Math.ceil((context + EXTRA_ROWS) / step) * step;
  return {
    segments: given.segments ?? 4,
    maxRows: given.maxRows ?? 256,
    cacheRows,
    level: given.level ?? 3,
    workspaceBytes: given.workspaceBytes ?? 2 ** 30,
  };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/**
 * Builds what is missing of the package's engines below PACKAGE/engines/KEY and returns their plan.json. Throws ERR_MODEL_MISSING (not calibrated),
 * ERR_BACKEND_UNAVAILABLE, ERR_MEMORY, ERR_DEVICE, ERR_SELF_TEST (no way gave an engine that computes the package), ERR_BUSY, ERR_OPTION (the folder
 * cannot be written), and what verifying the package throws.
 */
export async function build(packageFolder: string, options: BuildOptions): Promise<{ folder: string; plan: Plan; facts: TensorRtFacts }> {
  const site = callSite(build);
  await openPackage(packageFolder, {
    signal: options.signal,
    onProgress: (fraction) => options.onProgress?.('verify', ` ${Math.floor(100 * fraction)} %`, 0),
  });
  const source = await openGraphSource(packageFolder);
  const facts = await loadAddon()
    .tensorrtFacts(options.library)
    .catch((error: unknown) => {
      throw fromNative(error, site);
    });
  const identity = identityOf(source.manifestText, facts, options);
  const key = planKey(identity);
  const folder = join(packageFolder, ENGINES_FOLDER, key);
  await makeFolder(folder).catch((error: NodeJS.ErrnoException) => {
    throw optionError('package', `a folder that can be written (${error.code})`, packageFolder);
  });
  const { release } = await lock(folder, 'is building these engines');
  const graphs = join(folder, 'graphs');
  try {
    const plan: Plan = { formatVersion: 1, key, identity, complete: false, segments: await kept(folder) };
    const segments = segmentsOf(source.manifest.architecture.language.layers, options.segments);
    const weights = new Map(estimateOf(source.manifest, options).segments.map(({ name, weightBytes }) => [name, weightBytes]));
    const total = [...weights.values()].reduce((sum, bytes) => sum + bytes, 0);
    let before = 0;
    for (const segment of segments) {
      const own = weights.get(segment.name) as number;
      if (!plan.segments.some(({ name }) => name === segment.name)) {
        const report = (what: string, fraction: number) => options.onProgress?.(segment.name, `, ${what}`, (before + own * fraction) / total);
        plan.segments.push(await buildSegment({ folder, graphs, packageFolder, source, segment, options, site, report }));
        await writePlan(folder, plan);
      }
      before += own;
      options.onProgress?.(segment.name, '', before / total);
    }
    plan.complete = true;
    await writePlan(folder, plan);
    return { folder, plan, facts };
  } finally {
    await rm(graphs, { recursive: true, force: true });
    await release();
  }
}

/** Segments of an earlier build whose files are whole; the others are built again. */
async function kept(folder: string): Promise<PlanSegment[]> {
  const earlier = await readPlan(folder).catch(() => undefined);
  const whole: PlanSegment[] = [];
  for (const segment of earlier?.segments ?? []) if ((await fault(folder, segment)) === undefined) whole.push(segment);
  return whole;
}

interface SegmentWork {
  folder: string;
  graphs: string;
  packageFolder: string;
  source: GraphSource;
  segment: Segment;
  options: BuildOptions;
  site: CallSite;
  report: (what: string, fraction: number) => void;
}

/** Tries one way after the other; a failure that another way cannot mend ends it. */
async function buildSegment(work: SegmentWork): Promise<PlanSegment> {
  const { segment, source, options } = work;
  const hasInt8 = [...lintContext(source, segment, false).recipe.values()].includes('w8a8');
  const attempts = attemptsOf(options.level, hasInt8);
  const reasons: string[] = [];
  let last: MiphaError | undefined;
  for (const attempt of attempts) {
    try {
      return await buildOnce(work, attempt);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof MiphaError) || !['ERR_SELF_TEST', 'ERR_DEVICE'].includes(error.code)) throw error;
      last = error;
      reasons.push(`${attempt.name}: ${error.message}`);
      options.onFallback?.(segment.name, attempt.name, error.message);
    }
  }
  const message = `${segment.name}: no way to build it gave an engine that computes the package; ${reasons.join('; ')}`;
  throw new MiphaError(last?.code ?? 'ERR_DEVICE', message, { details: { segment: segment.name, reasons }, cause: last });
}

async function buildOnce(
  { folder, graphs, packageFolder, source, segment, options, site, report }: SegmentWork,
  attempt: Attempt,
): Promise<PlanSegment> {
  const begin = performance.now();
  const { path: graph, model } = await writeGraph(graphs, source, segment, attempt.wide);
  const complaint = lint(model, lintContext(source, segment, attempt.wide))[0];
  if (complaint !== undefined) {
    throw new MiphaError('ERR_INTERNAL', `graph ${complaint.graph}, node ${complaint.node}: ${complaint.rule}: ${complaint.message}`, {
      details: { ...complaint },
    });
  }
  const partial = `${planFile(folder, segment.name)}.partial`;
  try {
    await run(
      loadAddon().tensorrtBuild(
        options.library,
        {
          graph,
          plan: partial,
          timingCache: join(folder, 'timing.cache'),
          switches: attempt.switches,
          level: attempt.level,
          workspaceBytes: options.workspaceBytes,
          profiles: profilesOf(model, options),
        },
        (what, fraction) => report(`${attempt.name}, ${what}`, fraction),
      ),
      options.signal,
      site,
    );
    report(`${attempt.name}, self-test`, 1);
    const deviations = await loadAddon()
      .tensorrtCheck(options.library, packageFolder, partial)
      .catch((error: unknown) => {
        throw fromNative(error, site);
      });
    const share = passed(segment.name, deviations);
    const { bytes, sha256 } = await hashFile(partial);
    await rename(partial, planFile(folder, segment.name));
    const { name, level, switches, wide } = attempt;
    return { name: segment.name, bytes, sha256, attempt: name, level, switches, wide, share, buildMs: Math.round(performance.now() - begin) };
  } finally {
    await rm(partial, { force: true });
  }
}

async function run(job: { done: Promise<void>; cancel(): void }, signal: AbortSignal | undefined, site: CallSite): Promise<void> {
  const abort = () => job.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    if (signal?.aborted) job.cancel();
    await job.done;
  } catch (error) {
    signal?.throwIfAborted();
    throw fromNative(error, site);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** The largest share of its limit that a tensor deviates by. Throws ERR_SELF_TEST when one is beyond. */
function passed(segment: string, deviations: TensorRtDeviation[]): number {
  const wrong = deviations.find(({ deviation, limit }) => !(deviation <= limit));
  if (wrong === undefined) return deviations.reduce((most, { deviation, limit }) => Math.max(most, deviation / limit), 0);
  const { tensor, deviation, limit } = wrong;
  throw new MiphaError('ERR_SELF_TEST', `${tensor} deviates by ${deviation.toPrecision(3)}, expected at most ${limit.toPrecision(3)}`, {
    details: { segment, tensor, expected: limit, received: deviation },
  });
}
