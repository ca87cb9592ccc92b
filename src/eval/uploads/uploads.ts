/** The answers of a whole run → the file that a benchmark's server or script takes. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Dataset } from '../item.js';
import { readJsonLines } from '../layouts/json-files.js';
import { fileIn } from '../layouts/places.js';
import { openTsv } from '../layouts/tsv.js';
import { vqaText } from '../metrics/vqa-text.js';
import { gqaAnswer } from '../parsers/gqa.js';
import type { Marked } from '../score.js';
import { workbook } from './xlsx.js';

/** Name of the file that was written to `out`; null: this benchmark has none. `marked`: every item, in paper mode. */
export async function writeUpload(dataset: Dataset, marked: readonly Marked[], out: string): Promise<string | null> {
  const write = async (name: string, content: string | Buffer) => {
    await writeFile(join(out, name), content);
    return name;
  };
  const json = (value: unknown) => `${JSON.stringify(value)}\n`;
  const { benchmark, files } = dataset;
  switch (benchmark) {
    case 'vqav2':
      return await write('vqav2-upload.json', json(await allQuestions(files[0]?.path as string, marked)));
    case 'vizwiz':
      return await write('vizwiz-upload.json', json(marked.map(({ item, answer }) => ({ image: item.picture.name, answer: vqaText(answer.text) }))));
    case 'gqa':
      return await write(
        'gqa-predictions.json',
        json(marked.map(({ item, answer }) => ({ questionId: item.id, prediction: gqaAnswer(answer.text) }))),
      );
    case 'mm-vet':
      return await write(
        'mm-vet-answers.json',
        json(Object.fromEntries(marked.map(({ item, answer }) => [`v1_${item.id.replace(/^v1_/, '')}`, answer.text]))),
      );
    case 'mmbench':
    case 'mmbench-cn':
      return await write(`${benchmark}-upload.xlsx`, workbook(await predictions(files[0]?.path as string, marked)));
    default:
      return null;
  }
}

const idSchema = z.object({ question_id: z.union([z.string(), z.number()]) });

/** The server wants all questions of test2015; those outside of test-dev have an empty answer. */
async function allQuestions(path: string, marked: readonly Marked[]): Promise<{ question_id: string | number; answer: string }[]> {
  const all = await readJsonLines(fileIn(dirname(path), ['llava_vqav2_mscoco_test2015.jsonl'], 'all questions of the test'), idSchema);
  const answers = new Map(marked.map(({ item, answer }) => [item.id, vqaText(answer.text)]));
  return all.value.map(({ value: { question_id } }) => ({ question_id, answer: answers.get(String(question_id)) ?? '' }));
}

const LEFT_OUT = ['hint', 'category', 'source', 'image', 'comment', 'l2-category'];
const PREDICTION = 6; // place of its column

/** The table once more, without what the server knows, and with a column of answers. */
async function predictions(path: string, marked: readonly Marked[]): Promise<(string | number)[][]> {
  const answers = new Map(marked.map(({ item, answer }) => [item.id, answer.text]));
  const tsv = await openTsv(path, ['image']);
  const columns = tsv.columns.filter((column) => !LEFT_OUT.includes(column));
  const withPrediction = <T>(cells: readonly T[], prediction: T) => [...cells.slice(0, PREDICTION), prediction, ...cells.slice(PREDICTION)];
  const rows: (string | number)[][] = [withPrediction(columns, 'prediction')];
  for await (const { fields } of tsv.rows) {
    const cells = columns.map((column) => (column === 'index' ? Number(fields.get(column)) : (fields.get(column) ?? '')));
    rows.push(withPrediction<string | number>(cells, answers.get(fields.get('index') as string) ?? ''));
  }
  return rows;
}
