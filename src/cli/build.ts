import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { TensorRtFacts } from '../addon/addon.js';
import { loadAddon, tensorRtLibrary } from '../addon/load.js';
import { readText } from '../package/checkpoint.js';
import { MANIFEST_FILE, type Manifest, parseManifest } from '../package/manifest.js';
import { type BuildOptions, build, planOptions } from '../package/plans/build.js';
import { type Estimate, estimateOf } from '../package/plans/estimate.js';
import { identityOf, type PlanOptions, planKey } from '../package/plans/key.js';
import type { Plan } from '../package/plans/plan.js';
import { interruption } from './failure.js';
import { wholeNumber } from './options.js';
import { bytes, duration, milliseconds, notes, ProgressBar, printJson, table } from './output.js';

interface BuildCommand {
  segments?: number;
  rows?: number;
  level?: number;
  workspace?: number;
  dryRun?: boolean;
  json?: boolean;
}

export function addBuild(program: Command): void {
  program
    .command('build')
    .description('Build the TensorRT engines of a calibrated package for this machine, below PACKAGE/engines.')
    .argument('<package>', 'folder of a package written by mipha calibrate')
    .addOption(new Option('--segments <n>', 'engines that the language model is cut into; more need less memory').argParser(wholeNumber(1, 256)))
    .addOption(new Option('--rows <n>', 'rows of one prefill run; fewer need less memory').argParser(wholeNumber(16, 2048)))
    .addOption(new Option('--level <n>', 'optimization level that is tried first, 0 to 5; higher takes longer').argParser(wholeNumber(0, 5)))
    .addOption(new Option('--workspace <size>', 'most memory that one kernel may use, e.g. 512M').argParser(size))
    .option('--dry-run', 'say what would be built and what it needs; nothing is touched, no TensorRT needed')
    .option('--json', 'print what was built as JSON')
    .addHelpText(
      'after',
      notes(`
Takes minutes for a large package. Each engine must reproduce the package's stored tensors before it counts; one that does not is built in other ways,
in FP16 at last. An interrupted build goes on with the segments that are missing.

Example:
  mipha build packages/mipha-3b --dry-run`),
    )
    .action(run);
}

function size(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kMG])i?B?$/.exec(text.trim());
  const power = { k: 10, M: 20, G: 30 }[match?.[2] as 'k' | 'M' | 'G'];
  const value = match === null || power === undefined ? Number.NaN : Math.round(Number(match[1]) * 2 ** power);
  if (value >= 2 ** 24 && value <= 2 ** 40) return value;
  throw new InvalidArgumentError('Expected a size from 16M to 1024G, e.g. 512M.');
}

async function run(folder: string, options: BuildCommand): Promise<void> {
  const manifestPath = join(folder, MANIFEST_FILE);
  const manifestText = await readText(manifestPath);
  const manifest = parseManifest(manifestPath, manifestText);
  const { segments, rows: maxRows, level, workspace: workspaceBytes } = options;
  const given = Object.fromEntries(Object.entries({ segments, maxRows, level, workspaceBytes }).filter(([, value]) => value !== undefined));
  const chosen = planOptions(manifest.architecture.language, given);
  if (options.dryRun) return await dryRun(manifest, manifestText, chosen, options.json === true);

  const { signal, release } = interruption();
  const bar = new ProgressBar();
  const left = remaining();
  const begin = performance.now();
  try {
    const buildOptions: BuildOptions = {
      ...chosen,
      library: tensorRtLibrary(),
      onProgress: (segment, step, done) => bar.update(segment, done, `${step}${left(done)}`),
      onFallback: (segment, attempt, reason) => {
        bar.end();
        process.stderr.write(`${segment}: built ${attempt} it does not hold: ${reason}\n`);
      },
      signal,
    };
    const { folder: engines, plan, facts } = await build(folder, buildOptions);
    bar.end();
    const durationMs = Math.round(performance.now() - begin);
    if (options.json) printJson({ folder: resolve(engines), durationMs, ...plan });
    else process.stdout.write(`${report(plan, facts)}\n${resolve(engines)} in ${milliseconds(durationMs)}\n`);
  } finally {
    bar.end();
    release();
  }
}

/** The time left as the share of finished work tells it. Work that an earlier build did takes no time and does not count. */
function remaining(): (done: number) => string {
  let start: { ms: number; done: number } | undefined;
  return (done) => {
    const now = performance.now();
    start ??= { ms: now, done };
    const gained = done - start.done;
    if (gained < 0.02 || now - start.ms < 2000) return '';
    return `, about ${duration(((now - start.ms) / gained) * (1 - done))} left`;
  };
}

async function dryRun(manifest: Manifest, manifestText: string, chosen: PlanOptions, json: boolean): Promise<void> {
  const estimate = estimateOf(manifest, chosen);
  const facts = await loadAddon()
    .tensorrtFacts(tensorRtLibrary())
    .catch((error: Error) => error);
  const key = facts instanceof Error ? null : planKey(identityOf(manifestText, facts, chosen));
  const reason = facts instanceof Error ? facts.message : null;
  if (json) printJson({ package: manifest.name, key, reason, options: chosen, ...estimate });
  else process.stdout.write(`${describe(manifest.name, key, reason, chosen, estimate)}\n`);
}

function describe(
  name: string,
  key: string | null,
  reason: string | null,
  chosen: PlanOptions,
  { segments, buildBytes, run: needs }: Estimate,
): string {
  const rows = segments.map((segment): [string, string] => [
    segment.name,
    `weights ${bytes(segment.weightBytes)}, plan ${bytes(segment.planBytes)}, activations ${bytes(segment.scratchBytes)}, peak while built ${bytes(segment.buildBytes)}`,
  ]);
  const parts = Object.entries(needs).filter(([part]) => part !== 'total');
  return [
    `${name}: ${chosen.segments} segments, prefill in runs of ${chosen.maxRows} rows, cache of ${chosen.cacheRows} rows, level ${chosen.level}, workspace ${bytes(chosen.workspaceBytes)}`,
    key === null ? `key not known: ${reason}` : `key ${key}`,
    '',
    table(rows),
    '',
    `peak of the build ${bytes(buildBytes)}; running ${bytes(needs.total)}: ${parts.map(([part, count]) => `${part} ${bytes(count)}`).join(', ')}`,
    'Estimates on the high side, from sizes alone; on a Jetson they are shares of the memory that everything uses.',
  ].join('\n');
}

function report({ segments }: Plan, { tensorrt, gpu }: TensorRtFacts): string {
  const rows = segments.map(({ name, bytes: count, attempt, share, buildMs }): [string, string] => [
    name,
    `${bytes(count)} in ${milliseconds(buildMs)}, deviates by ${Math.round(100 * share)} % of what is allowed${attempt === 'as asked' ? '' : `; built ${attempt}`}`,
  ]);
  const other = segments.filter(({ attempt }) => attempt !== 'as asked').length;
  const fallbacks = other === 0 ? '' : `; ${other} of ${segments.length} engines are in use that had to be built another way`;
  return `${table(rows)}\n\nTensorRT ${tensorrt} on ${gpu}${fallbacks}`;
}
