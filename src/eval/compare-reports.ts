/** `--compare`: two folders of reports → comparisons of every benchmark that both have, and a page with the pictures of what flips. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawScene, makeScene } from '../camera/kitchen.js';
import { optionError } from '../errors.js';
import { makeFolder } from '../make-folder.js';
import { Answers } from './answers.js';
import { type Comparison, compare, type Flip } from './compare.js';
import { tasksOf } from './evaluate.js';
import type { Dataset, Picture } from './item.js';
import { judgedBefore, judgedMetric } from './judge.js';
import { pictureBytes } from './layouts/pictures.js';
import { escaped, markdown, page } from './page.js';
import type { BenchmarkReport, EvalReport } from './report.js';
import { type Marked, marksOf } from './score.js';
import { headline, type Table } from './tables.js';

export interface Compared {
  a: EvalReport;
  b: EvalReport;
  comparisons: Comparison[];
}

/** Throws ERR_OPTION where a folder has no report, or the two have nothing in common; and what reading the data throws. */
export async function compareReports(a: string, b: string): Promise<Compared> {
  const [first, second] = [await readReport(a), await readReport(b)];
  const comparisons: Comparison[] = [];
  for (const of of first.benchmarks) {
    const other = second.benchmarks.find(({ benchmark, mode }) => benchmark === of.benchmark && mode === of.mode);
    if (other === undefined) continue;
    if (other.prompts !== of.prompts)
      throw optionError('--compare', `the same questions of ${of.benchmark} in both`, `${of.prompts} and ${other.prompts}`);
    comparisons.push(await comparisonOf({ folder: a, report: of }, { folder: b, report: other }));
  }
  if (comparisons.length === 0) throw optionError('--compare', 'a benchmark that both have in the same mode', `${names(first)} and ${names(second)}`);
  return { a: first, b: second, comparisons };
}

interface Side {
  folder: string;
  report: BenchmarkReport;
}

/** By a judge's grades where both have those of the same one. */
async function comparisonOf(a: Side, b: Side): Promise<Comparison> {
  const { benchmark, mode, data, items } = a.report;
  const [task] = await tasksOf([benchmark], data, mode, items);
  const { dataset } = task as NonNullable<typeof task>;
  const [ofA, ofB] = [marksIn(a, dataset), marksIn(b, dataset)];
  const [judge, other] = [a.report.judge?.model, b.report.judge?.model];
  if (judge !== undefined && judge === other) {
    return { ...compare(dataset, mode, gradedIn(a, ofA), gradedIn(b, ofB)), metric: judgedMetric(judge) };
  }
  const comparison = compare(dataset, mode, ofA, ofB);
  if (judge === other) return comparison;
  return { ...comparison, metric: `${comparison.metric}; not the grades, of ${judge ?? 'no judge'} in A and ${other ?? 'no judge'} in B` };
}

function marksIn({ folder, report: { benchmark, mode, answers, data } }: Side, dataset: Dataset): Marked[] {
  const kept = Answers.kept(join(folder, answers as string));
  const said = dataset.items.flatMap((item) => {
    const answer = kept.get(item);
    return answer === undefined ? [] : [[item.id, answer] as const];
  });
  if (said.length < dataset.items.length) {
    throw optionError(
      '--compare',
      `answers to the ${dataset.items.length} questions of ${benchmark} that are in ${data ?? 'the kitchen'} now`,
      `${said.length} in ${folder}`,
    );
  }
  return marksOf(dataset, mode, new Map(said));
}

function gradedIn({ folder, report: { judge } }: Side, marked: readonly Marked[]): Marked[] {
  const path = join(folder, judge?.grades as string);
  const graded = judgedBefore(marked, Answers.kept(path));
  if (graded === undefined) throw optionError('--compare', `a grade of each of the ${marked.length} answers`, `fewer in ${path}`);
  return graded;
}

async function readReport(folder: string): Promise<EvalReport> {
  try {
    return JSON.parse(await readFile(join(folder, 'report.json'), 'utf8')) as EvalReport;
  } catch {
    throw optionError('--compare', 'two folders that mipha eval --out has written', folder);
  }
}

function names({ benchmarks }: EvalReport): string {
  return benchmarks.map(({ benchmark, mode }) => `${benchmark} (${mode})`).join(', ');
}

/** A row per benchmark. */
export function comparisonTable({ comparisons }: Compared): Table {
  const number = (value: number | null) => (value === null ? '–' : value.toFixed(2));
  const rows = comparisons.map(({ benchmark, mode, items, a, b, different, flipped, test }) => [
    benchmark,
    mode,
    number(a),
    number(b),
    String(items),
    String(different),
    String(flipped),
    ...(test === null ? ['–', '–', '–'] : [String(test.onlyA), String(test.onlyB), test.p.toPrecision(3)]),
  ]);
  const head = ['benchmark', 'mode', 'A', 'B', 'items', 'other words', 'flips', 'A better', 'B better', 'p'];
  const scores = comparisons.map(({ benchmark, mode, metric }) => `${benchmark}, ${mode}: ${metric}`);
  const notes = [
    ...scores,
    "p: McNemar's test, exact and two-sided; the chance of such a division where both are equally good, a benchmark at a time",
  ];
  return { title: 'A and B on the same items', head, rows, notes };
}

export function comparisonWords({ a, b }: Compared): string {
  return `A: ${headline(a)}. B: ${headline(b)}.`;
}

/** compare.json, compare.md, and compare.html with the pictures beside it. */
export async function writeComparison(compared: Compared, out: string): Promise<void> {
  await makeFolder(join(out, 'pictures'));
  const table = comparisonTable(compared);
  const words = comparisonWords(compared);
  const sections: string[] = [];
  for (const { benchmark, mode, flipped, flips } of compared.comparisons) {
    const figures: string[] = [];
    for (const [index, flip] of flips.entries())
      figures.push(figure(flip, await writePicture(flip.item.picture, out, `${benchmark}-${mode}-${index}`)));
    const more = flipped > flips.length ? `<p>The first ${flips.length} are shown.</p>` : '';
    sections.push(`<h2>${escaped(`${benchmark}, ${mode}`)}: ${flipped} flips</h2>${more}\n<ul class="flips">${figures.join('\n')}</ul>\n`);
  }
  await writeFile(join(out, 'compare.html'), page('A and B', words, [table], sections.join('')));
  await writeFile(join(out, 'compare.md'), markdown('A and B', words, [table]));
  await writeFile(join(out, 'compare.json'), `${JSON.stringify(compared, null, 2)}\n`);
}

/** Path of the copy, from `out`. Browsers tell the kind of a picture by its bytes. */
async function writePicture(picture: Picture, out: string, name: string): Promise<string> {
  const isDrawn = 'seed' in picture;
  const path = `pictures/${name}.${isDrawn ? 'svg' : 'jpg'}`;
  await writeFile(join(out, path), isDrawn ? drawScene(makeScene(picture.seed)) : await pictureBytes(picture));
  return path;
}

function figure({ item, a, b }: Flip, picture: string): string {
  const side = (name: string, { text, score }: Flip['a']) => `${name}: ${escaped(text)}${score === null ? '' : ` (${Number(score.toFixed(2))})`}`;
  const truth = item.truth.length === 0 ? '' : `<br>true: ${escaped([...new Set(item.truth)].join(', '))}`;
  const words = `${escaped(item.question)}<br>${side('A', a)}<br>${side('B', b)}${truth}<br><small>${escaped(item.id)}</small>`;
  return `<li><figure><img src="${escaped(picture)}" alt="${escaped(item.picture.name)}" loading="lazy"><figcaption>${words}</figcaption></figure>`;
}
