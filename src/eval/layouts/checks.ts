/** What must hold of all items of a benchmark together. */
import { type Benchmark, type Dataset, dataError, type Item } from '../item.js';
import { COGNITION, PERCEPTION } from '../metrics/mme.js';
import { SOURCES } from './sources.js';

export const TASKS: readonly string[] = [...PERCEPTION, ...COGNITION];
export const POPE_SPLITS = ['random', 'popular', 'adversarial'];

export type Remarks = Pick<Dataset, 'notes' | 'differs'>;

/** Returns what a reader must know though it is no error. Throws ERR_OPTION. */
export function checkItems(benchmark: Benchmark, items: readonly Item[], path: string): Remarks {
  const { notes, differs } = remarksOf(benchmark, items, path);
  const asked = benchmark === 'pope' ? items.reduce((sum, { categories }) => sum + categories.length, 0) : items.length; // in several splits: several
  const published = benchmark === 'kitchen' ? undefined : SOURCES[benchmark].questions;
  if (published !== undefined && asked < published) differs.push(`${asked} questions, of ${published} that were published`);
  return { notes, differs };
}

function remarksOf(benchmark: Benchmark, items: readonly Item[], path: string): Remarks {
  if (items.length === 0) throw dataError(path, 'questions', 'none');
  const ids = new Set<string>();
  for (const { id } of items) {
    if (ids.has(id)) throw dataError(path, 'each question once', `${id} again`);
    ids.add(id);
  }
  const labelled = items.filter(({ truth }) => truth.length > 0).length;
  if (labelled > 0 && labelled < items.length) {
    const { id } = items.find(({ truth }) => truth.length === 0) as Item;
    throw dataError(path, 'an answer to every question or to none', `none to ${id}, and ${labelled} others`);
  }
  switch (benchmark) {
    case 'mme':
      return mme(items, path);
    case 'pope':
      return pope(items, path);
    case 'mmbench':
    case 'mmbench-cn':
      return mmbench(items, path);
    default:
      return { notes: [], differs: [] };
  }
}

function mme(items: readonly Item[], path: string): Remarks {
  for (const [group, of] of groups(items)) {
    if (of.length !== 2) throw dataError(path, 'two questions about each picture', `${of.length} about ${of[0]?.picture.name ?? group}`);
  }
  for (const { id, categories } of items) {
    if (!TASKS.includes(categories[0] ?? '')) throw dataError(`${path}: ${id}`, `a task of MME (${TASKS.join(', ')})`, categories[0] ?? 'none');
  }
  return { notes: [], differs: missing(TASKS, items, 'tasks') };
}

function pope(items: readonly Item[], path: string): Remarks {
  for (const { id, categories } of items) {
    const stranger = categories.find((name) => !POPE_SPLITS.includes(name));
    if (stranger !== undefined || categories.length === 0) throw dataError(`${path}: ${id}`, POPE_SPLITS.join(', '), stranger ?? 'none');
  }
  return { notes: [], differs: missing(POPE_SPLITS, items, 'splits') };
}

function mmbench(items: readonly Item[], path: string): Remarks {
  const all = groups(items);
  let [short, rotated] = [0, 0];
  for (const [group, of] of all) {
    if (!of.some(({ id }) => id === group))
      throw dataError(path, `row ${group}, whose rotations are there`, `only ${of.map(({ id }) => id).join(', ')}`);
    if (of.length > 1) rotated++;
    const { answer } = of[0] as Item;
    if (answer.kind === 'letter' && of.length < answer.options.length) short++;
  }
  if (rotated === 0) return { notes: [], differs: ['no rotations in this table: the accuracy is not circular, and higher for it'] };
  return { notes: short === 0 ? [] : [`${short} of ${all.size} questions have fewer rotations than options`], differs: [] };
}

function missing(wanted: readonly string[], items: readonly Item[], what: string): string[] {
  const there = new Set(items.flatMap(({ categories }) => categories));
  const absent = wanted.filter((name) => !there.has(name));
  return absent.length === 0 ? [] : [`without the ${what} ${absent.join(', ')}`];
}

export function groups(items: readonly Item[]): Map<string, Item[]> {
  const all = new Map<string, Item[]>();
  for (const item of items) {
    const of = all.get(item.group);
    if (of === undefined) all.set(item.group, [item]);
    else of.push(item);
  }
  return all;
}
