/** What is true about the questions of LLaVA's folder: in files beside them, each with its own form and its own way to say which question it means. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Dataset, dataError, type Item } from '../item.js';
import { letters } from '../parsers/letters.js';
import { withoutYesOrNo } from '../prompts.js';
import { TASKS } from './checks.js';
import { type JsonFile, readJson, readJsonLines } from './json-files.js';
import { fileIn } from './places.js';

type Files = Dataset['files'];
const id = z.union([z.string(), z.number()]).transform(String);

const gqaSchema = z.record(z.string(), z.object({ answer: z.string() }));
const textVqaSchema = z.object({ data: z.array(z.object({ image_id: z.string(), question: z.string(), answers: z.array(z.string()).length(10) })) });
const popeSchema = z.object({ image: z.string(), text: z.string(), label: z.enum(['yes', 'no']) });
const seedSchema = z.object({
  questions: z.array(z.object({ question_id: id, data_type: z.string(), question_type_id: z.number(), answer: z.enum(['A', 'B', 'C', 'D']) })),
  question_type: z.record(z.string(), z.number()),
});
const mmVetSchema = z.record(z.string(), z.object({ answer: z.string(), capability: z.array(z.string()) }));

/** Fills in `truth`, and `categories` where they stand with it; returns the files that were read. Throws ERR_OPTION. */
export type Labels = (folder: string, items: Item[]) => Promise<Files>;

export const gqaLabels: Labels = async (folder, items) => {
  const file = await readJson(fileIn(folder, GQA, 'its answers'), gqaSchema);
  for (const item of items) item.truth = [known(file, file.value[item.id], `question ${item.id}`).answer];
  allAsked(
    file,
    Object.keys(file.value),
    items.map((item) => item.id),
  );
  return [file];
};
const GQA = ['testdev_balanced_questions.json', 'data/testdev_balanced_questions.json', 'data/questions1.2/testdev_balanced_questions.json'];

/** By picture and lower-case question, as the evaluator does; of two alike the last counts. */
export const textVqaLabels: Labels = async (folder, items) => {
  const file = await readJson(fileIn(folder, ['TextVQA_0.5.1_val.json'], 'its answers'), textVqaSchema);
  const key = (image: string, question: string) => JSON.stringify([image, question.toLowerCase()]);
  const answers = new Map(file.value.data.map(({ image_id, question, answers: people }) => [key(image_id, question), people]));
  const asked: string[] = [];
  for (const item of items) {
    const lines = item.prompt.split('\n');
    if (lines.length !== 2 && lines.length !== 3) {
      throw dataError(`question ${item.id} of TextVQA`, 'a prompt of 2 or 3 lines', `${lines.length}`);
    }
    const [question = ''] = lines;
    item.truth = known(file, answers.get(key(imageId(item), question)), `${JSON.stringify(question)} about ${imageId(item)}`);
    item.question = question;
    asked.push(key(imageId(item), question));
  }
  allAsked(file, [...answers.keys()], asked);
  return [file];
};

/** The questions of TextVQA have their picture's name for an id. */
function imageId(item: Item): string {
  return item.id.replace(/#\d+$/, '');
}

/** By picture and question within a split: the published script goes by their order, which a resorted file would break unseen. */
export const popeLabels: Labels = async (folder, items) => {
  const files: Files = [];
  for (const split of new Set(items.map(({ categories }) => categories[0] as string))) {
    const name = `coco_pope_${split}.json`;
    const file = await readJsonLines(fileIn(folder, [name, `coco/${name}`], `the answers of ${split}`), popeSchema);
    files.push(file);
    const key = (image: string, question: string) => JSON.stringify([image, question.trim()]);
    const labels = new Map<string, string[]>();
    for (const { line, value } of file.value) {
      const of = labels.get(key(value.image, value.text)) ?? [];
      if (of.some((label) => label !== value.label))
        throw dataError(`${file.path}:${line}`, 'one answer to a question', `yes and no to ${value.text}`);
      labels.set(key(value.image, value.text), [...of, value.label]);
    }
    for (const item of items.filter(({ categories }) => categories[0] === split)) {
      const of = known(file, labels.get(key(imageOf(item), item.question)), `${JSON.stringify(item.question)} about ${imageOf(item)}`);
      const label = of.pop();
      if (label === undefined) throw dataError(`question ${item.id} of POPE`, `each question as often as in ${file.path}`, 'it once more');
      item.truth = [label];
    }
    const left = [...labels].find(([, of]) => of.length > 0);
    if (left !== undefined) throw dataError(file.path, 'a question to every answer', `none to ${left[0]}`);
  }
  return files;
};

/** In the folder of the task, or in a folder beside that of its pictures: `question<TAB>Yes` a line. */
export const mmeLabels: Labels = async (folder, items) => {
  const root = fileIn(folder, ['MME_Benchmark_release_version', 'MME_Benchmark'], 'its pictures and answers');
  const answers = new Map<string, ReadonlyMap<string, string>>(); // by task and picture
  for (const item of items) {
    const task = item.categories[0] as string;
    const stem = (imageOf(item).split('/').at(-1) as string).replace(/\.\w+$/, '');
    const key = `${task}/${stem}`;
    if (!answers.has(key))
      answers.set(key, await mmeAnswers(fileIn(join(root, task), [`questions_answers_YN/${stem}.txt`, `${stem}.txt`], 'answers')));
    const answer = answers.get(key)?.get(item.question);
    if (answer === undefined)
      throw dataError(`question ${item.id} of MME`, `one of ${[...(answers.get(key)?.keys() ?? [])].join(' ')}`, item.question);
    item.truth = [answer];
  }
  for (const task of TASKS) {
    const pictures = await answeredPictures(join(root, task));
    const absent = pictures.filter((stem) => !answers.has(`${task}/${stem}`));
    if (absent.length > 0) throw dataError(folder, `questions about all ${pictures.length} pictures of ${task}`, `none about ${absent.join(', ')}`);
  }
  return [];
};

/** Names of the pictures that a task has answers to; none where there is no such folder. */
async function answeredPictures(folder: string): Promise<string[]> {
  const names = async (path: string) => (existsSync(path) ? await readdir(path) : []);
  const files = [...(await names(folder)), ...(await names(join(folder, 'questions_answers_YN')))];
  return files.filter((name) => name.endsWith('.txt')).map((name) => name.replace(/\.txt$/, ''));
}

async function mmeAnswers(path: string): Promise<Map<string, string>> {
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/).filter((line) => line.trim() !== '');
  const answers = lines.map((line): [string, string] => {
    const [question = '', answer = '', more] = line.split('\t');
    const label = answer.trim().toLowerCase();
    if (more !== undefined || (label !== 'yes' && label !== 'no')) throw dataError(path, 'question, a tab, and Yes or No', JSON.stringify(line));
    return [withoutYesOrNo(question), label];
  });
  if (answers.length !== 2) throw dataError(path, 'two questions', `${answers.length}`);
  return new Map(answers);
}

/** Only pictures are asked about: questions about films are left out of `items`, as the paper does. */
export const seedLabels: Labels = async (folder, items) => {
  const file = await readJson(fileIn(folder, ['SEED-Bench.json'], 'its answers'), seedSchema);
  const types = new Map(Object.entries(file.value.question_type).map(([name, number]) => [number, name]));
  const labels = new Map(file.value.questions.map((question) => [question.question_id, question]));
  const pictures = items.filter((item) => known(file, labels.get(item.id), `question ${item.id}`).data_type === 'image');
  for (const item of pictures) {
    const { answer, question_type_id } = labels.get(item.id) as { answer: string; question_type_id: number };
    item.truth = [answer];
    item.categories = [types.get(question_type_id) ?? String(question_type_id)];
  }
  const asked = new Set(pictures.map((item) => item.id));
  const absent = file.value.questions.filter(({ question_id, data_type }) => data_type === 'image' && !asked.has(question_id));
  if (absent.length > 0)
    throw dataError(folder, `all questions about pictures of ${file.path}`, `${absent.length} fewer, as ${absent[0]?.question_id}`);
  items.splice(0, items.length, ...pictures);
  return [file];
};

export const mmVetLabels: Labels = async (folder, items) => {
  const file = await readJson(fileIn(folder, ['mm-vet.json', 'mm-vet/mm-vet.json'], 'its answers'), mmVetSchema);
  for (const item of items) {
    const { answer, capability } = known(file, file.value[`v1_${item.id}`] ?? file.value[item.id], `question ${item.id}`);
    item.truth = [answer];
    item.categories = capability;
  }
  allAsked(
    file,
    Object.keys(file.value),
    items.map(({ id: own }) => `v1_${own.replace(/^v1_/, '')}`),
  );
  return [file];
};

export const noLabels: Labels = async () => [];

/** Throws ERR_OPTION where answers are left over: the questions are cut off. */
function allAsked({ path }: { path: string }, answered: readonly string[], asked: readonly string[]): void {
  const known = new Set(asked);
  const left = answered.filter((key) => !known.has(key));
  if (left.length > 0) throw dataError(path, 'a question to every answer', `none to ${left.length}, as ${left[0]}`);
}

function known<T, V>(file: JsonFile<V>, found: T | undefined, what: string): T {
  if (found === undefined) throw dataError(file.path, `an answer to ${what}`, 'none');
  return found;
}

/** As the question file names it. */
function imageOf({ picture }: Item): string {
  return picture.name;
}

const problemsSchema = z.record(z.string(), z.object({ choices: z.array(z.string()).min(2).max(5), answer: z.int().min(0), question: z.string() }));
const splitsSchema = z.object({ test: z.array(id) });

/** ScienceQA has question, options and answer in one file, the list of the test's questions in another. */
export async function readProblems(folder: string): Promise<{ files: Files; test: ReadonlySet<string>; problem: (id: string) => Problem }> {
  const file = await readJson(fileIn(folder, ['problems.json', 'data/scienceqa/problems.json'], 'its questions'), problemsSchema);
  const splits = await readJson(fileIn(folder, ['pid_splits.json', 'data/scienceqa/pid_splits.json'], 'its splits'), splitsSchema);
  const problem = (question: string): Problem => {
    const { choices, answer, question: text } = known(file, file.value[question], `question ${question}`);
    const truth = letters(choices.length)[answer];
    if (truth === undefined) throw dataError(`${file.path}: ${question}`, `an answer below ${choices.length}`, String(answer));
    return { question: text, options: choices, truth };
  };
  return { files: [file, splits], test: new Set(splits.value.test), problem };
}

export interface Problem {
  question: string;
  options: string[];
  truth: string;
}
