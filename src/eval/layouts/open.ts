/** Which layout a benchmark came in, found by the names of its files. */
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { optionError } from '../../errors.js';
import type { Benchmark, Dataset } from '../item.js';
import { TABLES, type TableBenchmark } from './cells.js';
import { QUESTION_FILES, readFolder } from './llava.js';
import { SOURCES } from './sources.js';
import { readTable, TABLE_FILES } from './vlmevalkit.js';

export type PublishedBenchmark = Exclude<Benchmark, 'kitchen'>;

interface Found {
  path: string; // table or question file
  folder: string | null; // null: a table
}

/**
 * `data`: a folder of tables, LLaVA's folder, the folder of one benchmark in it, or one table. Throws ERR_OPTION where there is none, or where there are
 * several, or where something in it is not as it should be.
 */
export async function openBenchmark(benchmark: PublishedBenchmark, data: string): Promise<Dataset> {
  const { path, folder } = find(benchmark, data);
  const isTable = path.endsWith('.tsv');
  const dataset = isTable ? await readTable(benchmark as TableBenchmark, path) : await readFolder(benchmark, folder as string, path);
  return { ...dataset, found: `${dataset.found}: ${path}` };
}

/** Which of them are there at all. */
export function benchmarksIn(data: string): PublishedBenchmark[] {
  return (Object.keys(SOURCES) as PublishedBenchmark[]).filter((benchmark) => candidates(benchmark, data).length > 0);
}

function find(benchmark: PublishedBenchmark, data: string): Found {
  if (!existsSync(data)) throw optionError('data', 'a folder or a table that is there', data);
  if (statSync(data).isFile()) {
    if (data.endsWith('.tsv') && benchmark in TABLES) return { path: data, folder: null };
    throw optionError('data', `a folder${benchmark in TABLES ? ', or a table (.tsv)' : ''} for ${benchmark}`, data);
  }
  const all = candidates(benchmark, data);
  const [found] = all;
  if (found === undefined) throw missing(benchmark, data);
  if (all.length > 1)
    throw optionError('data', `one ${benchmark} only; give the file or folder of the one that you mean`, all.map(({ path }) => path).join(' and '));
  return found;
}

function candidates(benchmark: PublishedBenchmark, data: string): Found[] {
  const tables = benchmark in TABLE_FILES ? TABLE_FILES[benchmark as TableBenchmark].map((name) => join(data, `${name}.tsv`)) : [];
  const { folders = [], questions = [] } = QUESTION_FILES[benchmark] ?? {};
  const below = folders.map((name) => join(data, name));
  const own = folders.includes(basename(data)) ? [data] : [];
  const lists = [...own, ...below].flatMap((folder) => questions.map((name) => ({ path: join(folder, name), folder })));
  return [...tables.map((path) => ({ path, folder: null })), ...lists].filter(({ path }) => existsSync(path));
}

function missing(benchmark: PublishedBenchmark, data: string): Error {
  const { title, from, licence } = SOURCES[benchmark];
  const tables = benchmark in TABLE_FILES ? TABLE_FILES[benchmark as TableBenchmark].map((name) => `${name}.tsv`) : [];
  const { folders = [], questions = [] } = QUESTION_FILES[benchmark] ?? {};
  const wanted = [...tables, ...questions.map((name) => join(folders[0] ?? '', name))];
  return optionError('data', `${wanted.join(' or ')} in it; ${title} (${licence}) comes from ${from}`, data);
}
