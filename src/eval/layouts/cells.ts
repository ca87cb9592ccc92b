/** A row of a VLMEvalKit table → an item. */
import { type AnswerKind, type Benchmark, dataError, type Item } from '../item.js';
import { letters } from '../parsers/letters.js';
import { bareQuestion, letterPrompt, refusablePrompt, scienceQaPrompt, shortPrompt, withoutYesOrNo } from '../prompts.js';
import { pythonList } from './python-list.js';
import type { TsvRow } from './tsv.js';

export type TableBenchmark = Exclude<Benchmark, 'vqav2' | 'vizwiz' | 'kitchen'>;
type Cells = Omit<Item, 'id' | 'picture' | 'group'>;

interface Table {
  /** Besides index, question and the picture. */
  columns: readonly string[];
  read(row: Row): Cells;
}

const TEXT: AnswerKind = { kind: 'text' };
const YES_NO: AnswerKind = { kind: 'yes-no' };
const ROTATION = 1e6;

export const TABLES: Record<TableBenchmark, Table> = {
  gqa: { columns: ['answer'], read: (row) => free(row, shortPrompt, [row.text('answer')]) },
  'vizwiz-val': { columns: ['answer'], read: (row) => free(row, refusablePrompt, row.people(2)) },
  textvqa: { columns: ['answer'], read: (row) => free(row, shortPrompt, row.people(10)) },
  'mm-vet': {
    columns: ['answer', 'category'],
    read: (row) => ({ ...free(row, (question) => question, [row.text('answer')]), categories: list(row.text('category')) }),
  },
  pope: { columns: ['answer', 'category'], read: (row) => yesNo(row, list(row.text('category'))) },
  mme: { columns: ['answer', 'category'], read: (row) => yesNo(row, [row.text('category')]) },
  seed: { columns: ['answer', 'category', 'A', 'B'], read: (row) => choice(row, [row.text('category')]) },
  scienceqa: {
    columns: ['answer', 'hint', 'A', 'B'],
    read: (row) => {
      const read = choice(row, []);
      return { ...read, prompt: scienceQaPrompt(read.question, row.options(), row.maybe('hint')) };
    },
  },
  mmbench: { columns: ['A', 'B', 'hint', 'category'], read: (row) => mmbench(row, false) },
  'mmbench-cn': { columns: ['A', 'B', 'hint', 'category'], read: (row) => mmbench(row, true) },
};

/** The question that a row of MMBench is a rotation of. Throws ERR_OPTION. */
export function rotationOf(row: Row): string {
  const index = Number(row.text('index'));
  if (!Number.isInteger(index) || index < 0) throw row.error('index', 'a whole number');
  return String(index % ROTATION);
}

/** The cells of one row; empty ones, and those that pandas writes for nothing, are missing. */
export class Row {
  constructor(
    readonly where: string,
    private readonly row: TsvRow,
  ) {}

  maybe(column: string): string {
    const cell = this.row.fields.get(column) ?? '';
    return /^(nan|none)?$/i.test(cell.trim()) ? '' : cell;
  }

  /** Throws ERR_OPTION where it is missing. "None" may be an answer. */
  text(column: string): string {
    const cell = this.row.fields.get(column) ?? '';
    if (cell.trim() === '') throw this.error(column, 'a text');
    return cell;
  }

  /** From A on, up to the first that is missing. */
  options(): string[] {
    const cells = ['A', 'B', 'C', 'D', 'E'].map((letter) => this.maybe(letter));
    const end = cells.indexOf('');
    const options = end < 0 ? cells : cells.slice(0, end);
    if (options.length < 2) throw this.error(options.length === 0 ? 'A' : 'B', 'at least two options');
    return options;
  }

  people(atLeast: number): string[] {
    const people = pythonList(this.text('answer'));
    if (people === null || people.length < atLeast) throw this.error('answer', `a list of ${atLeast === 10 ? '' : 'at least '}${atLeast} answers`);
    return people;
  }

  error(column: string, expected: string): Error {
    const cell = this.row.fields.get(column) ?? '';
    return dataError(`${this.where}: ${column}`, expected, JSON.stringify(cell.length > 60 ? `${cell.slice(0, 57)}...` : cell));
  }
}

function free(row: Row, prompt: (question: string) => string, truth: string[]): Cells {
  const question = bareQuestion(row.text('question'));
  return { question, prompt: prompt(question), answer: TEXT, truth, categories: [] };
}

function yesNo(row: Row, categories: string[]): Cells {
  const question = withoutYesOrNo(bareQuestion(row.text('question')));
  const truth = row.text('answer').trim().toLowerCase();
  if (truth !== 'yes' && truth !== 'no') throw row.error('answer', 'Yes or No');
  return { question, prompt: shortPrompt(question), answer: YES_NO, truth: [truth], categories };
}

function choice(row: Row, categories: string[]): Cells {
  const question = row.text('question');
  const options = row.options();
  const truth = row.maybe('answer').trim();
  if (truth !== '' && !letters(options.length).includes(truth)) throw row.error('answer', `a letter from A to ${letters(options.length).at(-1)}`);
  return {
    question,
    prompt: letterPrompt(question, options),
    answer: { kind: 'letter', options },
    truth: truth === '' ? [] : [truth],
    categories,
  };
}

function mmbench(row: Row, inChinese: boolean): Cells {
  const categories = [row.maybe('category'), row.maybe('l2-category')].filter((name) => name !== '');
  const read = choice(row, categories);
  return { ...read, prompt: letterPrompt(read.question, row.options(), { hint: row.maybe('hint'), inChinese }) };
}

function list(cell: string): string[] {
  return cell
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
