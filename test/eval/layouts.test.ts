/** Tables and folders as people have them: read right in both layouts, and every way in which they are broken is named. */
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Item } from '../../src/eval/item.js';
import { benchmarksIn, openBenchmark, type PublishedBenchmark } from '../../src/eval/layouts/open.js';
import { pixelsOf } from '../../src/eval/layouts/pictures.js';
import { LETTER, type Made, MMBENCH_COLUMNS, makeFolders, SHORT, tsv } from './folders.js';

let root: string;
let made: Made;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'mipha-layouts-'));
  made = await makeFolders(join(root, 'whole'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const IN_TABLES: PublishedBenchmark[] = ['gqa', 'vizwiz-val', 'scienceqa', 'textvqa', 'pope', 'mme', 'mmbench', 'mmbench-cn', 'seed', 'mm-vet'];
const ALL: PublishedBenchmark[] = ['vqav2', 'vizwiz', ...IN_TABLES];

describe('both layouts', () => {
  it('are found by the names of their files', async () => {
    expect(benchmarksIn(made.tables).sort()).toEqual([...IN_TABLES].sort());
    expect(benchmarksIn(made.folder).sort()).toEqual([...ALL].sort());
    expect((await openBenchmark('mme', made.tables)).found).toBe(`table of VLMEvalKit, 6 rows: ${join(made.tables, 'MME.tsv')}`);
    expect((await openBenchmark('gqa', made.folder)).found).toBe(
      `folder of LLaVA, 3 questions: ${join(made.folder, 'gqa/llava_gqa_testdev_balanced.jsonl')}`,
    );
    expect((await openBenchmark('gqa', join(made.folder, 'gqa'))).items).toHaveLength(3);
    expect((await openBenchmark('gqa', join(made.tables, 'GQA_TestDev_Balanced.tsv'))).items).toHaveLength(3);
  });

  /** What must be the same of an item wherever it was read. */
  const sameOf = (items: readonly Item[]) =>
    items.map(({ question, answer, truth, categories }) => ({ question: question.replace(/\s+/g, ' '), answer, truth, categories }));
  const inOrder = (items: readonly unknown[]) => items.map((item) => JSON.stringify(item)).sort();

  it.each(IN_TABLES.filter((name) => name !== 'pope'))('say the same of %s', async (benchmark) => {
    const [table, folder] = [await openBenchmark(benchmark, made.tables), await openBenchmark(benchmark, made.folder)];
    expect(table.items.length).toBeGreaterThan(1);
    expect(inOrder(sameOf(table.items))).toEqual(inOrder(sameOf(folder.items)));
    const prompts = ({ items }: { items: readonly Item[] }) => items.map(({ prompt }) => prompt).sort();
    if (benchmark !== 'textvqa') expect(prompts(table)).toEqual(prompts(folder));
    for (const { picture } of table.items) expect((await pixelsOf(picture)).width).toBe(320);
  });

  it('count a question of POPE in each of its splits', async () => {
    const bySplit = async (data: string) => {
      const { items } = await openBenchmark('pope', data);
      return ['random', 'popular', 'adversarial'].map((split) =>
        inOrder(items.filter(({ categories }) => categories.includes(split)).map(({ question, truth }) => ({ question, truth }))),
      );
    };
    const [tables, folder] = [await bySplit(made.tables), await bySplit(made.folder)];
    expect(tables.map((split) => split.length)).toEqual([3, 3, 3]);
    expect(tables).toEqual(folder);
  });
});

describe('two questions about each of two equal pictures', () => {
  it('are pairs in their order', async () => {
    const copy = mkdtempSync(join(root, 'equal-'));
    const rows = ['a', 'b', 'c', 'd'].map((question, index) => ({ index, image: 'AAAA'.repeat(20), question, answer: 'No', category: 'OCR' }));
    writeFileSync(join(copy, 'MME.tsv'), tsv(['index', 'image', 'question', 'answer', 'category'], rows));
    const { items } = await openBenchmark('mme', copy);
    expect(items.map(({ group }) => group === items[0]?.group)).toEqual([true, true, false, false]);
  });
});

describe('prompts', () => {
  const prompts = async (benchmark: PublishedBenchmark, data = made.tables) =>
    (await openBenchmark(benchmark, data)).items.map(({ prompt }) => prompt);

  it('are those of the paper', async () => {
    expect((await prompts('gqa'))[0]).toBe(`Is the door open?\n${SHORT}`);
    expect((await prompts('pope'))[0]).toBe(`Is there a cup in the image?\n${SHORT}`);
    expect((await prompts('mme')).sort()[0]).toBe(`Is a C++ code shown?\n${SHORT}`);
    expect((await prompts('vizwiz-val'))[0]).toBe(
      `What color is the cup?\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n${SHORT}`,
    );
    expect((await prompts('textvqa', made.folder))[0]).toBe(`What color is the cup?\nReference OCR token: STOP, 12\n${SHORT}`);
    expect((await prompts('mmbench')).filter((prompt) => prompt.startsWith('It is hard.')).sort()).toEqual([
      `It is hard.\nWhat is it made of?\nA. Stone\nB. Wood\n${LETTER}`,
      `It is hard.\nWhat is it made of?\nA. Wood\nB. Stone\n${LETTER}`,
    ]);
    expect((await prompts('mmbench-cn'))[0]).toMatch(/\n请直接回答选项字母。$/);
    expect((await prompts('scienceqa'))[2]).toBe(`Context: A story\nof two lines.\nWhat comes next?\nA. Sun\nB. Rain\nC. Snow\n${LETTER}`);
    expect((await prompts('mm-vet'))[0]).toBe('What is x in the equation?');
  });

  it('are said to be with or without OCR tokens', async () => {
    expect((await openBenchmark('textvqa', made.tables)).differs.join()).toMatch(/without OCR tokens/);
    expect((await openBenchmark('textvqa', made.folder)).notes).toEqual(['with OCR tokens, as in the paper']);
  });
});

describe('pictures', () => {
  it('are shared by rows that name another row, and by equal ones', async () => {
    const keys = (items: readonly Item[]) => new Set(items.map(({ picture }) => picture.key)).size;
    expect(keys((await openBenchmark('textvqa', made.tables)).items)).toBe(2);
    expect(keys((await openBenchmark('mme', made.tables)).items)).toBe(3);
    expect(keys((await openBenchmark('mmbench', made.tables)).items)).toBe(3);
  });
});

describe('a broken', () => {
  /** A copy of one file, changed. */
  async function broken(benchmark: PublishedBenchmark, name: string, change: (text: string) => string, data = made.tables): Promise<string> {
    const copy = join(mkdtempSync(join(root, 'broken-')), 'data');
    mkdirSync(dirname(join(copy, name)), { recursive: true });
    if (data === made.folder) (await import('node:fs')).cpSync(join(data, dirname(name)), join(copy, dirname(name)), { recursive: true });
    writeFileSync(join(copy, name), change(readFileSync(join(data, name), 'utf8')));
    return await openBenchmark(benchmark, copy).then(
      () => 'nothing',
      (error: Error & { code?: string }) => {
        expect(error.code).toBe('ERR_OPTION');
        return error.message.replaceAll(copy, 'DATA');
      },
    );
  }
  const lines = (change: (lines: string[]) => string[]) => (text: string) => `${change(text.trimEnd().split('\n')).join('\n')}\n`;
  const cells = (row: number, change: (cells: string[]) => string[]) =>
    lines((all) => all.map((line, i) => (i === row ? change(line.split('\t')).join('\t') : line)));

  it.each<[string, PublishedBenchmark, string, (text: string) => string, string]>([
    [
      'row that is cut off',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      (text) => text.slice(0, -3),
      'DATA/GQA_TestDev_Balanced.tsv:4: expected a line feed behind the last row, received the end of the file: it is cut off',
    ],
    [
      'picture that is cut off',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      (text) => text.slice(0, 3001),
      'DATA/GQA_TestDev_Balanced.tsv:2: expected a line feed behind the last row, received the end of the file: it is cut off',
    ],
    [
      'quotation',
      'scienceqa',
      'ScienceQA_TEST.tsv',
      (text) => text.replace('of two lines."', 'of two lines.'),
      'DATA/ScienceQA_TEST.tsv:4: expected a quotation mark that ends the field, received the end of the file: it is cut off',
    ],
    [
      'end of a quotation',
      'scienceqa',
      'ScienceQA_TEST.tsv',
      (text) => text.replace('of two lines."', 'of two lines."x'),
      'DATA/ScienceQA_TEST.tsv:4: expected a tab or the end of the row behind a quotation mark, received "x"',
    ],
    [
      'row with a column less',
      'pope',
      'POPE.tsv',
      cells(2, (row) => row.slice(1)),
      'DATA/POPE.tsv:3: expected 5 columns, as in the header, received 4',
    ],
    [
      'row with a column more',
      'pope',
      'POPE.tsv',
      cells(2, (row) => [...row, 'x']),
      'DATA/POPE.tsv:3: expected 5 columns, as in the header, received 6',
    ],
    [
      'header',
      'mme',
      'MME.tsv',
      (text) => text.replace('category', 'kind'),
      'DATA/MME.tsv:1: expected a column category, received index, image, question, answer, kind',
    ],
    [
      'header with a name twice',
      'mme',
      'MME.tsv',
      (text) => text.replace('category', 'answer'),
      'DATA/MME.tsv:1: expected columns of different names, received answer twice',
    ],
    [
      'index that is there twice',
      'seed',
      'SEEDBench_IMG.tsv',
      cells(2, ([, ...rest]) => ['0', ...rest]),
      'DATA/SEEDBench_IMG.tsv:3: index: expected each index once, received 0 again',
    ],
    [
      'reference to no row',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      cells(3, ([index, , ...rest]) => [index as string, '77', ...rest]),
      'DATA/GQA_TestDev_Balanced.tsv:4: image: expected the index of a row that is there, received "77"',
    ],
    [
      'circle of references',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      lines((all) => all.map((line, i) => (i === 1 ? line.replace(/^0\t[^\t]+/, '0\t2') : line))),
      'DATA/GQA_TestDev_Balanced.tsv:2: image: expected a row with a picture, received rows that name each other: 0, 2, 0',
    ],
    [
      'picture of base64',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      cells(1, ([index, image, ...rest]) => [index as string, (image as string).slice(0, 999), ...rest]),
      'DATA/GQA_TestDev_Balanced.tsv:2: image: expected whole base64, received 999 letters of it: it is cut off',
    ],
    [
      'empty picture',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      cells(1, ([index, , ...rest]) => [index as string, '', ...rest]),
      'DATA/GQA_TestDev_Balanced.tsv:2: image: expected a picture, received an empty cell',
    ],
    [
      'answer of MME',
      'mme',
      'MME.tsv',
      (text) => text.replace('\tYes\t', '\tMaybe\t'),
      'DATA/MME.tsv:5: answer: expected Yes or No, received "Maybe"',
    ],
    [
      'pair of MME',
      'mme',
      'MME.tsv',
      lines((all) => all.slice(0, -1)),
      'DATA/MME.tsv: expected two questions about each picture, received 1 about MME.tsv, row 2',
    ],
    [
      'task of MME',
      'mme',
      'MME.tsv',
      (text) => text.replaceAll('posters', 'poster'),
      'DATA/MME.tsv: 1: expected a task of MME (existence, count, position, color, posters, celebrity, scene, landmark, artwork, OCR, commonsense_reasoning, numerical_calculation, text_translation, code_reasoning), received poster',
    ],
    [
      'split of POPE',
      'pope',
      'POPE.tsv',
      (text) => text.replace('\trandom\n', '\trand\n'),
      'DATA/POPE.tsv: 1: expected random, popular, adversarial, received rand',
    ],
    [
      'letter',
      'seed',
      'SEEDBench_IMG.tsv',
      (text) => text.replace('\tA\tSpatial', '\tE\tSpatial'),
      'DATA/SEEDBench_IMG.tsv:2: answer: expected a letter from A to D, received "E"',
    ],
    [
      'letter that is missing',
      'seed',
      'SEEDBench_IMG.tsv',
      (text) => text.replace('\tA\tSpatial', '\t\tSpatial'),
      'DATA/SEEDBench_IMG.tsv: expected an answer to every question or to none, received none to 0, and 2 others',
    ],
    [
      'list of answers',
      'textvqa',
      'TextVQA_VAL.tsv',
      (text) => text.replace("'yellow', ", ''),
      `DATA/TextVQA_VAL.tsv:2: answer: expected a list of 10 answers, received "['yellow', 'yellow', 'yellow', 'yellow', 'yellow', 'yello..."`,
    ],
    [
      'rotation',
      'mmbench',
      'MMBench_DEV_EN.tsv',
      lines((all) => all.filter((line) => !line.startsWith('2\t'))),
      'DATA/MMBench_DEV_EN.tsv:4: image: expected the index of a row that is there, received "2"',
    ],
    [
      'option',
      'mmbench',
      'MMBench_DEV_EN.tsv',
      (text) => text.replaceAll('\tStone\t', '\tnan\t').replaceAll('\tWood\t', '\tnan\t'),
      'DATA/MMBench_DEV_EN.tsv:4: A: expected at least two options, received "nan"',
    ],
    ['empty table', 'gqa', 'GQA_TestDev_Balanced.tsv', () => '', 'DATA/GQA_TestDev_Balanced.tsv: expected a header and rows, received an empty file'],
    [
      'table of a header',
      'gqa',
      'GQA_TestDev_Balanced.tsv',
      (text) => `${text.split('\n')[0]}\n`,
      'DATA/GQA_TestDev_Balanced.tsv: expected questions, received none',
    ],
  ])('table: %s', async (_, benchmark, name, change, message) => {
    expect(await broken(benchmark, name, change)).toBe(message);
  });

  it.each<[string, PublishedBenchmark, string, (text: string) => string, string]>([
    [
      'line that is cut off',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      (text) => text.slice(0, -9),
      'DATA/gqa/llava_gqa_testdev_balanced.jsonl:3: expected JSON, received',
    ],
    [
      'question without a picture',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      (text) => text.replace('"image"', '"img"'),
      'DATA/gqa/llava_gqa_testdev_balanced.jsonl:1: image: expected what this file has, received',
    ],
    [
      'question that is there twice',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      lines((all) => [...all, all[0] as string]),
      'DATA/gqa/llava_gqa_testdev_balanced.jsonl:4: question_id: expected each question once, received 200 again',
    ],
    [
      'picture that is missing',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      (text) => text.replace('n1.jpg', 'n9.jpg'),
      'DATA/gqa/llava_gqa_testdev_balanced.jsonl:2: expected a picture DATA/gqa/images/n9.jpg or DATA/gqa/data/images/n9.jpg, received none',
    ],
    [
      'answer that is missing',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      (text) => text.replace('"202"', '"999"'),
      'DATA/gqa/data/testdev_balanced_questions.json: expected an answer to question 999, received none',
    ],
    [
      'empty list',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      () => '\n',
      'DATA/gqa/llava_gqa_testdev_balanced.jsonl: expected a JSON object a line, received an empty file',
    ],
    [
      'prompt of TextVQA',
      'textvqa',
      'textvqa/llava_textvqa_val_v051_ocr.jsonl',
      (text) => text.replace('OCR token: STOP', 'OCR\\ntoken: STOP'),
      'question p0#1 of TextVQA: expected a prompt of 2 or 3 lines, received 4',
    ],
    [
      'question of TextVQA',
      'textvqa',
      'textvqa/llava_textvqa_val_v051_ocr.jsonl',
      (text) => text.replace('the cup', 'a cup'),
      'DATA/textvqa/TextVQA_0.5.1_val.json: expected an answer to "What color is a cup?" about p0, received none',
    ],
    [
      'ten people',
      'textvqa',
      'textvqa/TextVQA_0.5.1_val.json',
      (text) => text.replace('"yellow",', ''),
      'DATA/textvqa/TextVQA_0.5.1_val.json: data.2.answers: expected what this file has, received',
    ],
    [
      'list of POPE that is shorter than its answers',
      'pope',
      'pope/llava_pope_test.jsonl',
      lines((all) => all.slice(1)),
      'DATA/pope/coco/coco_pope_adversarial.json: expected a question to every answer, received none to ["COCO_val2014_0.jpg","Is there a cup in the image?"]',
    ],
    [
      'list of POPE with a question twice',
      'pope',
      'pope/llava_pope_test.jsonl',
      lines((all) => [...all, (all[0] as string).replace('"question_id":0', '"question_id":99')]),
      'question 99 of POPE: expected each question as often as in DATA/pope/coco/coco_pope_adversarial.json, received it once more',
    ],
    [
      'list of MME',
      'mme',
      'MME/llava_mme.jsonl',
      lines((all) => all.slice(1)),
      'DATA/MME/llava_mme.jsonl: expected two questions about each picture, received 1 about existence/0.jpg',
    ],
    [
      'list of MME without a task',
      'mme',
      'MME/llava_mme.jsonl',
      lines((all) => all.slice(2)),
      'DATA/MME: expected questions about all 1 pictures of existence, received none about 0',
    ],
    [
      'question of MME',
      'mme',
      'MME/llava_mme.jsonl',
      (text) => text.replace('a cup', 'one cup'),
      'question existence/0.jpg#1 of MME: expected one of Is there a cup in this image? Is there a dog in this image?, received Is there one cup in this image?',
    ],
    [
      'list of SEED that is short',
      'seed',
      'seed_bench/llava-seed-bench.jsonl',
      lines((all) => all.slice(1)),
      'DATA/seed_bench: expected all questions about pictures of DATA/seed_bench/SEED-Bench.json, received 1 fewer, as 0',
    ],
    [
      'list of ScienceQA that is short',
      'scienceqa',
      'scienceqa/pid_splits.json',
      (text) => text.replace('"77"', '"77","78"'),
      'DATA/scienceqa/llava_test_CQM-A.json: expected all questions of the test, received 1 fewer, as 78',
    ],
    [
      'answer of ScienceQA',
      'scienceqa',
      'scienceqa/problems.json',
      (text) => text.replace('"Stone"],"answer":1', '"Stone"],"answer":2'),
      'DATA/scienceqa/problems.json: 1: expected an answer below 2, received 2',
    ],
    [
      'list of GQA that is short',
      'gqa',
      'gqa/llava_gqa_testdev_balanced.jsonl',
      lines((all) => all.slice(1)),
      'DATA/gqa/data/testdev_balanced_questions.json: expected a question to every answer, received none to 1, as 200',
    ],
    [
      'list of TextVQA that is short',
      'textvqa',
      'textvqa/llava_textvqa_val_v051_ocr.jsonl',
      lines((all) => all.slice(0, 2)),
      'DATA/textvqa/TextVQA_0.5.1_val.json: expected a question to every answer, received none to 1, as ["p1",',
    ],
    [
      'list of MM-Vet that is short',
      'mm-vet',
      'mm-vet/llava-mm-vet.jsonl',
      lines((all) => all.slice(1)),
      'DATA/mm-vet/mm-vet.json: expected a question to every answer, received none to 1, as v1_0',
    ],
    [
      'question of MM-Vet',
      'mm-vet',
      'mm-vet/mm-vet.json',
      (text) => text.replace('v1_1":', 'v1_9":'),
      'DATA/mm-vet/mm-vet.json: expected an answer to question 1, received none',
    ],
  ])('folder: %s', async (_, benchmark, name, change, message) => {
    const said = await broken(benchmark, name, change, made.folder);
    expect(said.slice(0, message.length)).toBe(message);
  });

  it('text that is not UTF-8 is named with its place', async () => {
    const copy = mkdtempSync(join(root, 'broken-'));
    const path = join(copy, 'MMVet.tsv');
    copyFileSync(join(made.tables, 'MMVet.tsv'), path);
    appendFileSync(path, Buffer.from([0x33, 9, 0x30, 9, 0xe4, 9, 0x61, 9, 0x72, 10]));
    await expect(openBenchmark('mm-vet', copy)).rejects.toThrow(`${path}:4: expected UTF-8, received the byte 0xE4 at offset 0`);
  });

  it('picture is named when it is looked at', async () => {
    const copy = mkdtempSync(join(root, 'broken-'));
    const text = readFileSync(join(made.tables, 'GQA_TestDev_Balanced.tsv'), 'utf8');
    writeFileSync(
      join(copy, 'GQA_TestDev_Balanced.tsv'),
      text.replace(/\/9j\/[A-Za-z0-9+/]{400}/, (base64) => `!!!!${base64.slice(4)}`),
    );
    const { items } = await openBenchmark('gqa', copy);
    await expect(pixelsOf((items[0] as Item).picture)).rejects.toMatchObject({
      code: 'ERR_IMAGE',
      message: 'GQA_TestDev_Balanced.tsv, row 0: expected base64, received something else',
    });
  });
});

describe('what is not there', () => {
  it('is named with where people get it and its licence', async () => {
    await expect(openBenchmark('vqav2', made.tables)).rejects.toThrow(
      /llava_vqav2_mscoco_test-dev2015\.jsonl in it; VQAv2 test-dev \(CC BY 4\.0; .*\) comes from LLaVA's eval\.zip/,
    );
    await expect(openBenchmark('mme', join(root, 'none'))).rejects.toThrow('expected a folder or a table that is there');
    await expect(openBenchmark('vqav2', join(made.tables, 'MME.tsv'))).rejects.toThrow('Option data: expected a folder for vqav2, received');
  });

  it('is asked for where there are two', async () => {
    const copy = mkdtempSync(join(root, 'two-'));
    for (const name of ['MMBench_DEV_EN', 'MMBench_DEV_EN_V11']) copyFileSync(join(made.tables, 'MMBench_DEV_EN.tsv'), join(copy, `${name}.tsv`));
    await expect(openBenchmark('mmbench', copy)).rejects.toThrow(
      /expected one mmbench only; give the file or folder of the one that you mean, received/,
    );
    renameSync(join(copy, 'MMBench_DEV_EN_V11.tsv'), join(copy, 'other.tsv'));
    expect((await openBenchmark('mmbench', copy)).items).toHaveLength(9);
  });

  it('is said of rotations and tasks', async () => {
    const copy = mkdtempSync(join(root, 'notes-'));
    const path = join(copy, 'MMBench_DEV_EN.tsv');
    const table = readFileSync(join(made.tables, 'MMBench_DEV_EN.tsv'), 'utf8');
    writeFileSync(path, table);
    expect((await openBenchmark('mmbench', copy)).notes).toEqual([]);
    const rows = [1, 2].map((index) => ({
      index,
      question: 'Q',
      hint: '',
      A: 'x',
      B: 'y',
      answer: 'A',
      image: index === 1 ? 'AAAA'.repeat(20) : '1',
    }));
    writeFileSync(path, tsv(MMBENCH_COLUMNS, rows));
    expect((await openBenchmark('mmbench', copy)).differs).toEqual([
      'no rotations in this table: the accuracy is not circular, and higher for it',
      '2 questions, of 4329 that were published',
    ]);
    writeFileSync(
      path,
      tsv(MMBENCH_COLUMNS, [...rows, { ...rows[1], index: 1_000_002 }, { ...rows[1], index: 2_000_002 }] as Record<string, string | number>[]),
    );
    expect((await openBenchmark('mmbench', copy)).notes).toEqual(['1 of 2 questions have fewer rotations than options']);
    writeFileSync(path, tsv(MMBENCH_COLUMNS, [rows[0] as Record<string, string | number>, { ...rows[0], index: 1_000_002 }]));
    await expect(openBenchmark('mmbench', copy)).rejects.toThrow(`${path}: expected row 2, whose rotations are there, received only 1000002`);
    expect((await openBenchmark('mme', made.tables)).differs).toEqual([
      expect.stringMatching(/^without the tasks count, position/),
      '6 questions, of 2374 that were published',
    ]);
    expect((await openBenchmark('pope', made.tables)).differs).toEqual(['9 questions, of 8910 that were published']);
  });
});
