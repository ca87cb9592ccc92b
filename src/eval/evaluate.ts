/** From the names of benchmarks to a report: finds the data, asks, scores, and writes what is to be kept. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { optionError } from '../errors.js';
import { lock } from '../lock.js';
import { makeFolder } from '../make-folder.js';
import type { Manifest } from '../package/manifest.js';
import { Answers } from './answers.js';
import type { Benchmark, Dataset, Item } from './item.js';
import { type Judge, judged } from './judge.js';
import { kitchen } from './kitchen.js';
import { groups } from './layouts/checks.js';
import { openBenchmark } from './layouts/open.js';
import type { Mode } from './mark.js';
import { markdown, page } from './page.js';
import { type BenchmarkReport, benchmarkReport, type EvalReport, precisionOf } from './report.js';
import { askable, type Model, run } from './run.js';
import { marksOf } from './score.js';
import { headline, tables } from './tables.js';
import { writeUpload } from './uploads/uploads.js';

export interface Task {
  dataset: Dataset; // what is asked
  of: number; // items that the data has
  data: string | null;
}

/** Reads and checks the data before any model is loaded. `limit`: the first so many items, and those that count together with them. */
export async function tasksOf(benchmarks: readonly Benchmark[], data: string | null, mode: Mode, limit: number | null): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const benchmark of benchmarks) {
    const whole = askable(benchmark === 'kitchen' ? kitchen() : await openBenchmark(benchmark, data as string), mode);
    tasks.push({ dataset: limited(whole, limit), of: whole.items.length, data: benchmark === 'kitchen' ? null : data });
  }
  return tasks;
}

function limited(dataset: Dataset, limit: number | null): Dataset {
  if (limit === null) return dataset;
  const items: Item[] = [];
  for (const group of groups(dataset.items).values()) {
    if (items.length >= limit) break;
    items.push(...group);
  }
  return { ...dataset, items };
}

export interface EvaluateOptions {
  mode: Mode;
  manifest: Manifest;
  /** Of the weights, as Mipha.revision. */
  revision: string;
  backend: string;
  out: string | null;
  /** Of MM-Vet's answers in paper mode. */
  judge: Judge | null;
  signal?: AbortSignal | undefined;
  onProgress?: ((benchmark: Benchmark, done: number, total: number, leftMs: number | null) => void) | undefined;
}

/** Throws what running throws; ERR_BUSY where another evaluation writes to `out`. */
export async function evaluate(tasks: readonly Task[], model: Model, options: EvaluateOptions): Promise<EvalReport> {
  const { mode, manifest, revision, backend, out, judge, signal, onProgress } = options;
  if (out !== null) await makeFolder(out);
  const held = out === null ? null : await lock(out, 'evaluates there');
  try {
    const report: EvalReport = { package: packageOf(manifest, revision), backend, benchmarks: [] };
    const earlier = out === null ? [] : await earlierOf(out, report);
    for (const { dataset, of, data } of tasks) {
      const { benchmark } = dataset;
      const about = { benchmark, mode, backend, package: hash(JSON.stringify(manifest)) }; // weights, prompt, preprocessing and tokenizer
      const file = `${benchmark}-${mode}-${hash(JSON.stringify(about))}.ndjson`;
      const answers = new Answers(out === null ? null : join(out, file), about);
      const said = await run(dataset, model, { mode, answers, manifest, signal, onProgress: (...at) => onProgress?.(benchmark, ...at) });
      const own = marksOf(dataset, mode, said);
      const grader = benchmark === 'mm-vet' && mode === 'paper' ? judge : null;
      const given = grader && { model: grader.model, grades: `mm-vet-judge-${hash(grader.model)}.ndjson` };
      const kept = given && new Answers(out === null ? null : join(out, given.grades), { judge: given.model });
      const marked = grader && kept ? await judged(own, grader, kept) : own;
      const isWhole = mode === 'paper' && dataset.items.length === of;
      const upload = out !== null && isWhole ? await writeUpload(dataset, marked, out) : null;
      report.benchmarks.push(
        benchmarkReport(
          {
            dataset,
            of,
            mode,
            marked,
            data,
            answers: out === null ? null : file,
            judge: given,
            upload,
          },
          manifest,
        ),
      );
      if (out !== null) await write(out, withEarlier(report, earlier)); // each as it comes: a picture of the next may be damaged
    }
    return report;
  } finally {
    await held?.release();
  }
}

function packageOf(manifest: Manifest, revision: string): EvalReport['package'] {
  const { name, architecture } = manifest;
  return { name, revision, precision: precisionOf(manifest), imageSize: architecture.vision.imageSize };
}

/** What the folder has of other benchmarks and modes. Throws ERR_OPTION where it is another package's, or another backend's. */
async function earlierOf(out: string, { package: own, backend }: EvalReport): Promise<BenchmarkReport[]> {
  const path = join(out, 'report.json');
  if (!existsSync(path)) return [];
  const earlier = JSON.parse(await readFile(path, 'utf8')) as EvalReport;
  const words = (of: EvalReport['package'], on: string) => `${of.name} ${of.revision} on ${on}`;
  if (words(earlier.package, earlier.backend) === words(own, backend)) return earlier.benchmarks;
  throw optionError('out', `a new folder, or one of ${words(own, backend)}`, `${out}, with scores of ${words(earlier.package, earlier.backend)}`);
}

function withEarlier(report: EvalReport, earlier: readonly BenchmarkReport[]): EvalReport {
  const kept = earlier.filter((old) => !report.benchmarks.some(({ benchmark, mode }) => benchmark === old.benchmark && mode === old.mode));
  return { ...report, benchmarks: [...kept, ...report.benchmarks] };
}

async function write(out: string, report: EvalReport): Promise<void> {
  const title = `Evaluation of ${report.package.name}`;
  await replace(join(out, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  await replace(join(out, 'report.md'), markdown(title, headline(report), tables(report)));
  await replace(join(out, 'report.html'), page(title, headline(report), tables(report)));
}

/** Whole, whenever this process is killed: the next run reads it. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.part`, text);
  await rename(`${path}.part`, path);
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
