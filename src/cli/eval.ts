import { resolve } from 'node:path';
import { Argument, type Command, Option } from 'commander';
import type { Backend } from '../engine/backends.js';
import { Mipha } from '../engine/mipha.js';
import { optionError } from '../errors.js';
import { compareReports, comparisonTable, comparisonWords, writeComparison } from '../eval/compare-reports.js';
import { type EvaluateOptions, evaluate, tasksOf } from '../eval/evaluate.js';
import { BENCHMARKS, type Benchmark } from '../eval/item.js';
import type { Judge } from '../eval/judge.js';
import { benchmarksIn } from '../eval/layouts/open.js';
import { MODES, type Mode } from '../eval/mark.js';
import { plain } from '../eval/page.js';
import type { EvalReport } from '../eval/report.js';
import { headline, tables } from '../eval/tables.js';
import { readManifest } from '../package/verify.js';
import { interruption } from './failure.js';
import { backendOption, SHIPPED_MODEL, warnPassedOver, wholeNumber } from './options.js';
import { bytes, duration, notes, ProgressBar, printJson } from './output.js';

interface EvalCommand {
  data?: string;
  model: string;
  backend: Backend;
  mode: Mode;
  limit?: number;
  out?: string;
  compare?: string[];
  judge?: string;
  judgeModel?: string;
  json?: boolean;
}

export function addEval(program: Command): void {
  program
    .command('eval')
    .description("Measure a package on the paper's benchmarks, from data that lies on this machine, with the published metrics.")
    .addArgument(new Argument('[benchmarks...]', 'which of them; none: all that are in the data').choices(BENCHMARKS))
    .option('--data <folder>', "tables of VLMEvalKit, or LLaVA's folder playground/data/eval; or one table")
    .addOption(new Option('--model <folder>', 'the package').default(SHIPPED_MODEL, 'the shipped mipha-nano'))
    .addOption(backendOption())
    .addOption(
      new Option('--mode <mode>', 'paper: free words, as in the paper; constrained: typed answers, as in a product').choices(MODES).default('paper'),
    )
    .addOption(new Option('--limit <n>', 'only the first n items, and those that count together with them').argParser(wholeNumber(1, 10_000_000)))
    .option('--out <folder>', 'write the report (Markdown, HTML, JSON), and the answers, from which an interrupted run goes on')
    .option('--judge <url>', "who grades MM-Vet's answers: an API as OpenAI's; its key is in MIPHA_JUDGE_KEY")
    .option('--judge-model <name>', 'the model there')
    .option('--compare <folders...>', 'two folders of --out: what flips between two packages or backends, and whether that is chance')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      notes(`
Nothing is downloaded: what is missing is named, with where people get it. kitchen needs no data: it is the shipped model's own benchmark.

Examples:
  mipha eval kitchen
  mipha eval pope gqa --data ~/LMUData \\
    --model packages/mipha-3b --out scores
  mipha eval --compare scores scores-wide --out flips`),
    )
    .action(run);
}

async function run(given: Benchmark[], options: EvalCommand): Promise<void> {
  if (options.compare !== undefined) return await runComparison(given, options.compare, options);
  const { model: folder, backend, mode, limit, out } = options;
  const data = options.data === undefined ? null : resolve(options.data);
  const judge = judgeOf(options);
  const { signal, release } = interruption();
  const bar = new ProgressBar();
  let mipha: Mipha | undefined;
  try {
    const tasks = await tasksOf(chosen(given, data), data, mode, limit ?? null);
    const manifest = await readManifest(folder);
    mipha = await Mipha.load(folder, { backend, signal, onProgress: (stage, fraction) => bar.update(stage, fraction) });
    const status = mipha.status();
    warnPassedOver(status.passedOver);
    const onProgress: EvaluateOptions['onProgress'] = (benchmark, done, total, leftMs) => {
      bar.update(benchmark, done / total, `  ${done} of ${total}${leftMs === null ? '' : `, ${duration(leftMs)} left`}`);
    };
    const report = await evaluate(tasks, mipha, {
      mode,
      manifest,
      revision: mipha.revision,
      backend: status.backend,
      out: out ?? null,
      judge: judge && { ...judge, signal },
      signal,
      onProgress,
    });
    bar.end();
    if (options.json) printJson(report);
    else process.stdout.write(`${words(report, out)}\n`);
  } finally {
    bar.end();
    release();
    await mipha?.dispose();
  }
}

/** Throws ERR_OPTION where only half of it is named. */
function judgeOf({ judge, judgeModel }: EvalCommand): Judge | null {
  if (judge === undefined && judgeModel === undefined) return null;
  if (judge === undefined || !URL.canParse(judge)) throw optionError('--judge', 'the address of an API', judge ?? 'none');
  if (judgeModel === undefined) throw optionError('--judge-model', 'the name of a model at --judge', 'none');
  return { url: judge, model: judgeModel, key: process.env.MIPHA_JUDGE_KEY ?? null };
}

/** Throws ERR_OPTION. */
function chosen(given: readonly Benchmark[], data: string | null): Benchmark[] {
  const benchmarks = given.length === 0 && data !== null ? benchmarksIn(data) : [...new Set(given)];
  if (benchmarks.length === 0) {
    throw optionError('benchmarks', data === null ? 'at least one name, or --data' : 'data of a benchmark in --data', data ?? 'none');
  }
  if (data === null && benchmarks.some((name) => name !== 'kitchen')) throw optionError('--data', `the folder with ${benchmarks.join(', ')}`, 'none');
  return benchmarks;
}

function words(report: EvalReport, out: string | undefined): string {
  const pages = out === undefined ? [] : ['', resolve(out, 'report.html')];
  const memory = `memory of the process: at most ${bytes(process.resourceUsage().maxRSS * 1024)}`;
  return [headline(report), memory, '', plain(tables(report)), ...pages].join('\n');
}

async function runComparison(given: readonly Benchmark[], folders: readonly string[], { out, json }: EvalCommand): Promise<void> {
  const [a, b] = folders;
  if (a === undefined || b === undefined || folders.length > 2 || given.length > 0) {
    throw optionError('--compare', 'two folders and nothing else', [...given, ...folders].join(' '));
  }
  const compared = await compareReports(a, b);
  if (out !== undefined) await writeComparison(compared, out);
  if (json) printJson(compared);
  else
    process.stdout.write(
      `${[comparisonWords(compared), '', plain([comparisonTable(compared)]), ...(out === undefined ? [] : ['', resolve(out, 'compare.html')])].join('\n')}\n`,
    );
}
