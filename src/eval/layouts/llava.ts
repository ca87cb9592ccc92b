/** LLaVA's folder `playground/data/eval` → a dataset: prompts as the paper's own files have them. */
import { join } from 'node:path';
import { z } from 'zod';
import { type AnswerKind, type Benchmark, type Dataset, dataError, type Item, type Picture } from '../item.js';
import { letters } from '../parsers/letters.js';
import { bareQuestion, LETTER, refusablePrompt, withoutYesOrNo } from '../prompts.js';
import { checkItems } from './checks.js';
import { readJson, readJsonLines } from './json-files.js';
import { gqaLabels, type Labels, mmeLabels, mmVetLabels, noLabels, popeLabels, readProblems, seedLabels, textVqaLabels } from './llava-labels.js';
import { firstIn } from './places.js';

interface Folder {
  /** Where the shell scripts and the documents put it. */
  folders: readonly string[];
  questions: readonly string[];
  /** Folders of pictures. */
  pictures: readonly string[];
  answer: (item: { prompt: string }) => AnswerKind;
  labels: Labels;
}

const text = (): AnswerKind => ({ kind: 'text' });
const yesNo = (): AnswerKind => ({ kind: 'yes-no' });

/** Those that are a list of questions; the others have readers of their own below. */
const LISTS: Partial<Record<Benchmark, Folder>> = {
  vqav2: {
    folders: ['vqav2'],
    questions: ['llava_vqav2_mscoco_test-dev2015.jsonl'],
    pictures: ['test2015'],
    answer: text,
    labels: noLabels,
  },
  gqa: {
    folders: ['gqa'],
    questions: ['llava_gqa_testdev_balanced.jsonl'],
    pictures: ['images', 'data/images'],
    answer: text,
    labels: gqaLabels,
  },
  vizwiz: { folders: ['vizwiz'], questions: ['llava_test.jsonl'], pictures: ['test'], answer: text, labels: noLabels },
  textvqa: {
    folders: ['textvqa'],
    questions: ['llava_textvqa_val_v051_ocr.jsonl'],
    pictures: ['train_images'],
    answer: text,
    labels: textVqaLabels,
  },
  pope: { folders: ['pope'], questions: ['llava_pope_test.jsonl'], pictures: ['val2014'], answer: yesNo, labels: popeLabels },
  mme: {
    folders: ['MME', 'mme'],
    questions: ['llava_mme.jsonl'],
    pictures: ['MME_Benchmark_release_version', 'MME_Benchmark'],
    answer: yesNo,
    labels: mmeLabels,
  },
  seed: {
    folders: ['seed_bench', 'seed'],
    questions: ['llava-seed-bench.jsonl'],
    pictures: ['', 'SEED-Bench-image'],
    answer: ({ prompt }) => ({ kind: 'letter', options: optionsOf(prompt) }),
    labels: seedLabels,
  },
  'mm-vet': { folders: ['mm-vet', 'mmvet'], questions: ['llava-mm-vet.jsonl'], pictures: ['images'], answer: text, labels: mmVetLabels },
};

/** Folder and question file of each, for whoever looks for it. */
export const QUESTION_FILES: Partial<Record<Benchmark, Pick<Folder, 'folders' | 'questions'>>> = {
  ...LISTS,
  scienceqa: { folders: ['scienceqa', 'ScienceQA'], questions: ['llava_test_CQM-A.json'] },
  'vizwiz-val': { folders: ['vizwiz'], questions: ['val.json', 'Annotations/val.json'] },
  mmbench: { folders: ['mmbench'], questions: ['mmbench_dev_20230712.tsv'] },
  'mmbench-cn': { folders: ['mmbench_cn', 'mmbench'], questions: ['mmbench_dev_cn_20231003.tsv'] },
};

const id = z.union([z.string().min(1), z.number()]).transform(String);
const questionSchema = z.object({ question_id: id, image: z.string().min(1), text: z.string().min(1), category: z.string().optional() });
const scienceSchema = z.array(
  z.object({ id, image: z.string().optional(), conversations: z.array(z.object({ from: z.string(), value: z.string() })) }),
);
const vizwizSchema = z.array(z.object({ image: z.string(), question: z.string(), answers: z.array(z.object({ answer: z.string() })).min(2) }));

/** `folder`: that of the benchmark; `path`: its question file, which is no table. Throws ERR_OPTION that names file and line. */
export async function readFolder(benchmark: Benchmark, folder: string, path: string): Promise<Dataset> {
  const read = benchmark === 'scienceqa' ? readScience : benchmark === 'vizwiz-val' ? readVizwizVal : readList;
  const { items, files } = await read(folder, path, benchmark);
  const { notes, differs } = checkItems(benchmark, items, path);
  if (benchmark === 'textvqa') {
    const withTokens = items.filter(({ prompt }) => prompt.split('\n').length === 3).length;
    if (withTokens === items.length) notes.push('with OCR tokens, as in the paper');
    else differs.push(`${withTokens} of ${items.length} questions with OCR tokens`);
  }
  return { benchmark, found: `folder of LLaVA, ${items.length} questions`, files, items, notes, differs };
}

type Read = Pick<Dataset, 'items' | 'files'>;

async function readList(folder: string, path: string, benchmark: Benchmark): Promise<Read> {
  const { pictures, answer, labels } = LISTS[benchmark] as Folder;
  const file = await readJsonLines(path, questionSchema);
  const shared = benchmark === 'mme' || benchmark === 'textvqa'; // several questions have the id of their picture
  const seen = new Map<string, number>();
  const items = file.value.map(({ line, value }): Item => {
    const count = (seen.get(value.question_id) ?? 0) + 1;
    seen.set(value.question_id, count);
    if (count > 1 && !shared) throw dataError(`${path}:${line}: question_id`, 'each question once', `${value.question_id} again`);
    if (value.category === undefined && answer === yesNo) throw dataError(`${path}:${line}`, 'a category', 'none');
    const bare = bareQuestion(value.text);
    return {
      id: shared ? `${value.question_id}#${count}` : value.question_id,
      picture: pictureIn(folder, pictures, value.image, `${path}:${line}`),
      question: answer === yesNo ? withoutYesOrNo(bare) : (bare.split('\nA. ')[0] as string),
      prompt: value.text,
      answer: answer({ prompt: value.text }),
      truth: [],
      categories: value.category === undefined ? [] : [value.category],
      group: benchmark === 'mme' ? `${value.category}/${value.image}` : value.question_id,
    };
  });
  const more = await labels(folder, items);
  return { items, files: [file, ...more].map(({ path: name, md5 }) => ({ path: name, md5 })) };
}

/** Only items with a picture: the paper's number is of those. */
async function readScience(folder: string, path: string): Promise<Read> {
  const file = await readJson(path, scienceSchema);
  const { files, test, problem } = await readProblems(folder);
  const items: Item[] = [];
  const asked = new Set(file.value.map((question) => question.id));
  const absent = [...test].filter((question) => !asked.has(question));
  if (absent.length > 0) throw dataError(path, 'all questions of the test', `${absent.length} fewer, as ${absent[0]}`);
  for (const { id: question, image, conversations } of file.value) {
    if (image === undefined) continue;
    if (!test.has(question)) throw dataError(`${path}: ${question}`, 'questions of the test', 'another');
    const human = conversations.find(({ from }) => from === 'human');
    if (human === undefined) throw dataError(`${path}: ${question}`, 'a turn of "human"', 'none');
    const { question: words, options, truth } = problem(question);
    const prompt = `${human.value.replaceAll('<image>', '').trim()}\n${LETTER}`;
    const picture = pictureIn(folder, [`images/test/${question}`, 'images/test', `test/${question}`], image, `${path}: ${question}`);
    items.push({
      id: question,
      picture,
      question: words,
      prompt,
      answer: { kind: 'letter', options },
      truth: [truth],
      categories: [],
      group: question,
    });
  }
  return { items, files: [file, ...files].map(({ path: name, md5 }) => ({ path: name, md5 })) };
}

/** The annotations of its makers, which are all that scoring on the device needs. */
async function readVizwizVal(folder: string, path: string): Promise<Read> {
  const file = await readJson(path, vizwizSchema);
  const items = file.value.map(({ image, question, answers }): Item => {
    const picture = pictureIn(folder, ['val'], image, `${path}: ${image}`);
    const truth = answers.map(({ answer }) => answer);
    return { id: image, picture, question, prompt: refusablePrompt(question), answer: { kind: 'text' }, truth, categories: [], group: image };
  });
  return { items, files: [{ path, md5: file.md5 }] };
}

function pictureIn(folder: string, pictures: readonly string[], image: string, where: string): Picture {
  const path = firstIn(
    folder,
    pictures.map((name) => join(name, image)),
  );
  if (path === undefined) throw dataError(where, `a picture ${pictures.map((name) => join(folder, name, image)).join(' or ')}`, 'none');
  return { key: path, name: image, path };
}

/** The lines `A. …` of a prompt, as far as they go on. */
function optionsOf(prompt: string): string[] {
  const options: string[] = [];
  for (const line of prompt.split('\n')) {
    const [, letter, option = ''] = /^([A-Z])\. ?(.*)$/.exec(line) ?? [];
    if (letter !== undefined && letter === letters(26)[options.length]) options.push(option);
  }
  return options;
}
