/** All marks of a benchmark → the number of the paper's table, and those below it. */
import type { Benchmark, Dataset, Item } from './item.js';
import { POPE_SPLITS } from './layouts/checks.js';
import { type Mark, type Mode, mark } from './mark.js';
import { accuracy, circularAccuracy } from './metrics/accuracy.js';
import { type CalibrationFigures, calibrationFigures } from './metrics/calibration.js';
import { mmeFigures } from './metrics/mme.js';
import { yesNoFigures } from './metrics/yes-no.js';

export interface Answered {
  text: string;
  /** Of a typed answer. */
  confidence: number | null;
  ms: number;
}

export interface Score {
  /** What `value` is, in words. */
  metric: string;
  /** In percent, or in points of MME; null where only a server knows. */
  value: number | null;
  parts: { name: string; value: number }[];
  /** Items with an answer and a truth. */
  scored: number;
  /** Answers in which the parser found nothing, or only its default. */
  unparsable: number;
  /** Of the confidence of typed answers. */
  calibration: CalibrationFigures | null;
}

export interface Marked {
  item: Item;
  answer: Answered;
  mark: Mark;
}

/** Throws where an answer is missing: a number of a part is never that of the whole. */
export function marksOf({ benchmark, items }: Pick<Dataset, 'benchmark' | 'items'>, mode: Mode, answers: ReadonlyMap<string, Answered>): Marked[] {
  return items.map((item) => {
    const answer = answers.get(item.id);
    if (answer === undefined) throw new Error(`no answer to ${item.id}`);
    return { item, answer, mark: mark(benchmark, mode, item, answer.text) };
  });
}

export function score(benchmark: Benchmark, mode: Mode, marked: readonly Marked[]): Score {
  const labelled = marked.filter((each): each is Marked & { mark: { score: number } } => each.mark.score !== null);
  const figures = labelled.length === 0 ? { metric: 'answers for the server', value: null, parts: [] } : FIGURES[benchmark](labelled);
  const sure = labelled.flatMap(({ answer, mark: { score: right } }) =>
    answer.confidence === null ? [] : [{ confidence: answer.confidence, right }],
  );
  return {
    ...figures,
    scored: labelled.length,
    unparsable: marked.filter(({ mark: { isClear } }) => !isClear).length,
    calibration: mode === 'constrained' && sure.length > 0 ? calibrationFigures(sure) : null,
  };
}

type Labelled = Marked & { mark: { score: number } };
type Figures = Pick<Score, 'metric' | 'value' | 'parts'>;

const vqa = (marked: readonly Labelled[]) => mean('VQA accuracy', marked);
const choices = (marked: readonly Labelled[]) => byCategory('accuracy', marked);

const FIGURES: Record<Benchmark, (marked: readonly Labelled[]) => Figures> = {
  vqav2: vqa,
  vizwiz: vqa,
  'vizwiz-val': vqa,
  textvqa: vqa,
  gqa: choices,
  scienceqa: (marked) => byCategory('accuracy of items with a picture', marked),
  seed: choices,
  kitchen: (marked) => byCategory('whole answers right', marked),
  'mm-vet': (marked) => mean('containment of AND/OR elements, a lower bound of our own that no judge gave', marked),
  pope,
  mme,
  mmbench,
  'mmbench-cn': mmbench,
};

/** Of graded scores, all and by category. */
function mean(metric: string, marked: readonly Labelled[]): Figures {
  const of = (some: readonly Labelled[]) => (100 * some.reduce((sum, { mark: { score: right } }) => sum + right, 0)) / some.length;
  const names = [...new Set(marked.flatMap(({ item }) => item.categories))];
  const parts = names.map((name) => ({ name, value: of(marked.filter(({ item }) => item.categories.includes(name))) }));
  return { metric, value: of(marked), parts };
}

function byCategory(metric: string, marked: readonly Labelled[]): Figures {
  const { total, categories } = accuracy(marked.map(({ item, mark: { score: right } }) => ({ right: right === 1, categories: item.categories })));
  return { metric, value: 100 * total, parts: percents(categories) };
}

function mmbench(marked: readonly Labelled[]): Figures {
  const rows = marked.map(({ item, mark: { score: right } }) => ({ question: item.group, right: right === 1, categories: item.categories }));
  const { total, categories } = circularAccuracy(rows);
  const isCircular = new Set(rows.map(({ question }) => question)).size < rows.length;
  const plain = { name: 'rows alone, not circular', value: 100 * accuracy(rows).total };
  return { metric: isCircular ? 'circular accuracy' : 'accuracy, not circular', value: 100 * total, parts: [plain, ...percents(categories)] };
}

function pope(marked: readonly Labelled[]): Figures {
  const splits = POPE_SPLITS.map((name) => ({ name, of: marked.filter(({ item }) => item.categories.includes(name)) })).filter(
    ({ of }) => of.length > 0,
  );
  const figures = splits.map(({ name, of }) => ({
    name,
    ...yesNoFigures(of.map(({ item, mark: { said } }) => ({ said: said === 'yes', truth: item.truth[0] === 'yes' }))),
  }));
  const average = (of: (figure: (typeof figures)[number]) => number) => (100 * figures.reduce((sum, figure) => sum + of(figure), 0)) / figures.length;
  const parts = figures.flatMap(({ name, f1, accuracy: right, precision, recall, yesRatio }) =>
    Object.entries({ F1: f1, accuracy: right, precision, recall, 'yes ratio': yesRatio }).map(([kind, value]) => ({
      name: `${name}: ${kind}`,
      value: 100 * value,
    })),
  );
  return {
    metric: `mean F1 of ${figures.length} splits`,
    value: average(({ f1 }) => f1),
    parts: [{ name: 'mean accuracy', value: average(({ accuracy: right }) => right) }, ...parts],
  };
}

function mme(marked: readonly Labelled[]): Figures {
  const answers = marked.map(({ item, mark: { score: right } }) => ({ task: item.categories[0] as string, picture: item.group, right: right === 1 }));
  const { perception, cognition, tasks } = mmeFigures(answers);
  const parts = [{ name: 'cognition', value: cognition }, ...[...tasks].map(([name, value]) => ({ name, value }))];
  return { metric: 'perception, of 2000 points', value: perception, parts };
}

function percents(categories: ReadonlyMap<string, number>): Score['parts'] {
  return [...categories].map(([name, value]) => ({ name, value: 100 * value }));
}
