/** A report as tables, for whatever shows them. */
import { CAUTION, PUBLISHED } from './published.js';
import { type BenchmarkReport, type EvalReport, isComparable, shown } from './report.js';

export interface Table {
  title: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
  notes: readonly string[];
}

export function tables(report: EvalReport): Table[] {
  return [overview(report), ...report.benchmarks.flatMap((benchmark) => [details(benchmark), ...parts(benchmark), ...reliability(benchmark)])];
}

export function headline({ package: { name, revision, precision, imageSize }, backend }: EvalReport): string {
  return `${name} ${revision} on ${backend}; matrices ${precision}; pictures of ${imageSize} px`;
}

/** A row per benchmark, published models beside those that may be compared. */
function overview({ benchmarks }: EvalReport): Table {
  const comparable = benchmarks.filter(isComparable);
  const models = Object.keys(PUBLISHED).filter((name) => comparable.some(({ benchmark }) => PUBLISHED[name]?.[benchmark] !== undefined));
  const rows = benchmarks.map((each) => {
    const published = models.map((name) => (isComparable(each) ? (PUBLISHED[name]?.[each.benchmark]?.toFixed(1) ?? '–') : ''));
    return [each.benchmark, each.mode, shown(each), asked(each), ...published];
  });
  const cautions = comparable.flatMap(({ benchmark }) => (CAUTION[benchmark] === undefined ? [] : [`${benchmark}: ${CAUTION[benchmark]}`]));
  const others = benchmarks.filter((each) => !isComparable(each) && each.score.value !== null);
  const reasons = others.map((each) => `${each.benchmark}, ${each.mode}: ${reason(each)}`);
  return { title: 'Scores', head: ['benchmark', 'mode', 'here', 'items', ...models], rows, notes: [...cautions, ...reasons] };
}

function reason({ benchmark, mode, items, of, differs }: BenchmarkReport): string {
  if (mode === 'constrained') return 'typed answers, which nobody publishes';
  if (benchmark === 'mm-vet') return 'not by the published judge: for comparing packages with each other';
  if (benchmark === 'kitchen') return 'our own; nothing published is of it';
  if (benchmark === 'vizwiz-val') return 'val is not the test that is published';
  return items < of ? 'a part of the data is compared with nothing published' : differs.join('; ');
}

function asked({ items, of }: BenchmarkReport): string {
  return items < of ? `first ${items} of ${of}` : String(items);
}

function details(report: BenchmarkReport): Table {
  const { title, mode, score, prompts, aspect, secondsPerItem, found, files, notes, differs, upload } = report;
  return {
    title: `${title}, ${mode}`,
    head: ['', ''],
    rows: [
      [score.metric, shown(report)],
      ['scored', `${score.scored} of ${asked(report)}, ${score.unparsable} unparsable`],
      ['prompts', prompts],
      ['pictures', aspect],
      ['seconds an item', secondsPerItem.toPrecision(3)],
      ['data', found],
      ...(upload === null ? [] : [['to upload', upload]]),
      ...files.map(({ path, md5 }) => ['md5', `${md5} ${path}`]),
    ],
    notes: [...differs, ...notes],
  };
}

function parts({ benchmark, title, score: { parts: all } }: BenchmarkReport): Table[] {
  if (all.length === 0) return [];
  const unit = benchmark === 'mme' ? 'points' : 'percent';
  return [{ title: `${title}: parts`, head: ['part', unit], rows: all.map(({ name, value }) => [name, value.toFixed(2)]), notes: [] }];
}

/** How sure typed answers were, and how right. */
function reliability({ title, score: { calibration } }: BenchmarkReport): Table[] {
  if (calibration === null) return [];
  const rows = calibration.bins
    .filter(({ count }) => count > 0)
    .map(({ from, to, count, confidence, right }) => [
      `${from.toFixed(1)} to ${to.toFixed(1)}`,
      String(count),
      confidence.toFixed(3),
      right.toFixed(3),
    ]);
  const notes = [`expected calibration error ${calibration.error.toFixed(4)}`];
  return [{ title: `${title}: confidence`, head: ['confidence', 'answers', 'mean', 'right'], rows, notes }];
}
