/** What an evaluation tells: with every number what it was measured on and how. */
import type { Manifest } from '../package/manifest.js';
import { promptHash } from './answers.js';
import type { Benchmark, Dataset } from './item.js';
import { judgedMetric } from './judge.js';
import { SOURCES } from './layouts/sources.js';
import type { Mode } from './mark.js';
import { isSquashed } from './run.js';
import { type Marked, type Score, score } from './score.js';

export interface BenchmarkReport {
  benchmark: Benchmark;
  title: string;
  mode: Mode;
  score: Score;
  /** Asked, and how many the data has: a number of a part is compared with nothing. */
  items: number;
  of: number;
  /** Twelve hexadecimal digits that change with any prompt. */
  prompts: string;
  /** What is done to pictures that are not square. */
  aspect: string;
  secondsPerItem: number;
  found: string;
  files: Dataset['files'];
  notes: string[];
  differs: string[];
  /** Where it was read from, and the answers, in the folder of the report. */
  data: string | null;
  answers: string | null;
  /** Who gave the scores, and the grades, in the folder of the report; null: no judge. */
  judge: { model: string; grades: string } | null;
  /** For a server or a judge, in the folder of the report. */
  upload: string | null;
}

export interface EvalReport {
  package: { name: string; revision: string; precision: string; imageSize: number };
  backend: string;
  benchmarks: BenchmarkReport[];
}

export interface Evaluated {
  /** As asked. */
  dataset: Dataset;
  /** Items of the data. */
  of: number;
  mode: Mode;
  marked: readonly Marked[];
  data: string | null;
  answers: string | null;
  judge: BenchmarkReport['judge'];
  upload: string | null;
}

export function benchmarkReport({ dataset, of, mode, marked, data, answers, judge, upload }: Evaluated, manifest: Manifest): BenchmarkReport {
  const { benchmark, items, found, files, notes, differs } = dataset;
  const seconds = marked.reduce((sum, { answer }) => sum + answer.ms, 0) / 1000;
  return {
    benchmark,
    title: benchmark === 'kitchen' ? 'the synthetic kitchen, held-out scenes' : SOURCES[benchmark].title,
    mode,
    score: { ...score(benchmark, mode, marked), ...(judge === null ? {} : { metric: judgedMetric(judge.model) }) },
    items: items.length,
    of,
    prompts: promptHash(items),
    aspect: isSquashed(benchmark) ? 'squash' : manifest.preprocessing.aspect,
    secondsPerItem: seconds / items.length,
    found,
    files,
    notes,
    differs,
    data,
    answers,
    judge,
    upload,
  };
}

/** "w8a8 (40), f16 (2)": matrices by how they are stored. */
export function precisionOf({ recipe }: Pick<Manifest, 'recipe'>): string {
  const counts = new Map<string, number>();
  for (const precision of Object.values(recipe)) counts.set(precision, (counts.get(precision) ?? 0) + 1);
  return [...counts].map(([precision, count]) => `${precision} (${count})`).join(', ');
}

/** Whether its number may stand beside a published one. */
export function isComparable({ benchmark, mode, items, of, score: { value }, differs }: BenchmarkReport): boolean {
  const isOther = benchmark === 'mm-vet' || benchmark === 'vizwiz-val' || benchmark === 'kitchen';
  return mode === 'paper' && value !== null && !isOther && items === of && differs.length === 0;
}

/** 62.10 %, or points. */
export function shown({ benchmark, score: { value } }: Pick<BenchmarkReport, 'benchmark' | 'score'>): string {
  if (value === null) return '–';
  return benchmark === 'mme' ? value.toFixed(1) : `${value.toFixed(2)} %`;
}
