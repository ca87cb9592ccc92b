/** A VLMEvalKit table → a dataset. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Dataset, dataError, type Item, type Picture } from '../item.js';
import { Row, rotationOf, TABLES, type TableBenchmark } from './cells.js';
import { checkItems } from './checks.js';
import { openTsv, type Place, type TsvRow } from './tsv.js';

export const TABLE_FILES: Record<TableBenchmark, readonly string[]> = {
  gqa: ['GQA_TestDev_Balanced'],
  'vizwiz-val': ['VizWiz'],
  scienceqa: ['ScienceQA_TEST'],
  textvqa: ['TextVQA_VAL'],
  pope: ['POPE'],
  mme: ['MME'],
  mmbench: ['MMBench_DEV_EN', 'MMBench_DEV_EN_V11', 'MMBench_TEST_EN', 'MMBench_TEST_EN_V11'],
  'mmbench-cn': ['MMBench_DEV_CN', 'MMBench_DEV_CN_V11', 'MMBench_TEST_CN', 'MMBench_TEST_CN_V11'],
  seed: ['SEEDBench_IMG'],
  'mm-vet': ['MMVet'],
};

/** Throws ERR_OPTION that names file and line. */
export async function readTable(benchmark: TableBenchmark, path: string): Promise<Dataset> {
  const table = TABLES[benchmark];
  const tsv = await openTsv(path, ['image']);
  const pictures = tsv.columns.includes('image') ? 'image' : 'image_path';
  for (const column of ['index', 'question', pictures, ...table.columns]) {
    if (!tsv.columns.includes(column)) throw dataError(`${path}:1`, `a column ${column}`, tsv.columns.join(', '));
  }
  const items: Item[] = [];
  const lines: number[] = [];
  const places = new Map<string, Place>(); // by index
  for await (const row of tsv.rows) {
    const cells = new Row(`${path}:${row.line}`, row);
    const index = cells.text('index');
    if (places.has(index)) throw dataError(`${path}:${row.line}: index`, 'each index once', `${index} again`);
    places.set(index, row.places.get('image') ?? { offset: 0, bytes: 0, sha1: '', text: null });
    const picture = pictures === 'image' ? UNRESOLVED : beside(path, cells);
    items.push({ id: index, picture, group: groupOf(benchmark, cells, row), ...table.read(cells) });
    lines.push(row.line);
  }
  if (pictures === 'image') {
    for (const [at, item] of items.entries()) item.picture = resolve(path, lines[at] as number, item.id, places);
  }
  if (benchmark === 'mme') pairByPicture(items);
  const { notes, differs } = checkItems(benchmark, items, path);
  if (benchmark === 'textvqa')
    differs.push('without OCR tokens, which the paper gives the model: its number is more than 10 points higher for that alone');
  return { benchmark, found: `table of VLMEvalKit, ${items.length} rows`, files: [{ path, md5: tsv.md5() }], items, notes, differs };
}

const UNRESOLVED: Picture = { key: '', name: '', path: '' };

function groupOf(benchmark: TableBenchmark, cells: Row, row: TsvRow): string {
  if (benchmark === 'mmbench' || benchmark === 'mmbench-cn') return rotationOf(cells);
  return benchmark === 'mme' ? (row.fields.get('image_path') ?? '') : cells.text('index');
}

/** A short cell names the row that has the picture. */
function resolve(path: string, line: number, index: string, places: ReadonlyMap<string, Place>): Picture {
  const where = `${path}:${line}: image`;
  const seen = [index];
  let place = places.get(index) as Place;
  while (place.text !== null && place.text !== '') {
    const next = place.text.trim().replace(/\.0$/, ''); // pandas makes floats of numbers in a column with gaps
    if (seen.includes(next)) throw dataError(where, 'a row with a picture', `rows that name each other: ${[...seen, next].join(', ')}`);
    const found = places.get(next);
    if (found === undefined) throw dataError(where, 'the index of a row that is there', JSON.stringify(place.text));
    seen.push(next);
    place = found;
  }
  if (place.bytes === 0) throw dataError(where, 'a picture', 'an empty cell');
  if (place.bytes % 4 !== 0) throw dataError(where, 'whole base64', `${place.bytes} letters of it: it is cut off`);
  return { key: place.sha1, name: `${basename(path)}, row ${index}`, tsv: path, offset: place.offset, bytes: place.bytes };
}

function beside(path: string, cells: Row): Picture {
  const cell = cells.text('image_path');
  const places = [cell, join(dirname(path), cell), join(dirname(path), 'images', basename(path, '.tsv'), cell)];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw dataError(`${cells.where}: image_path`, 'a picture that is there', cell);
  return { key: found, name: found, path: found };
}

/** Two pictures of a task may be the same; then its questions are pairs in their order. */
function pairByPicture(items: Item[]): void {
  const counts = new Map<string, number>();
  for (const item of items) {
    const key = `${item.categories[0]}/${item.group === '' ? item.picture.key : item.group}`;
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    item.group = `${key}/${Math.floor(count / 2)}`;
  }
}
