/** Labels as a table: answer, verdict, value, at. */
import { MiphaError } from '../errors.js';
import { CsvError, parseCsv, writeCsv } from './csv.js';
import { addLabels, type Label, labelSchema, readLabels } from './labels.js';
import type { StartLine } from './lines.js';

const COLUMNS = ['answer', 'verdict', 'value', 'at'] as const;
type Column = (typeof COLUMNS)[number];

export async function exportLabels(folder: string, watch: string): Promise<string> {
  const { labels } = await readLabels(folder, watch);
  const rows = [...labels.values()].map(({ answer, verdict, value, at }) => [answer, verdict, writeCell(value), at]);
  return writeCsv([COLUMNS, ...rows]);
}

export interface ImportOptions {
  /** Whether a value, given as it reads and as it stands in the table, could have been an answer of a watch; in words what could, or the value that is meant. */
  accept: (spec: StartLine['spec'], value: unknown, cell: string) => { value: unknown } | { expected: string };
  now?: Date;
}

/** A label, and where it stands in the table. */
interface Row {
  label: Label;
  line: number;
  cell: string; // of the value
}

/**
 * Adds the labels of a table as exportLabels() writes it: columns in any order, `answer` and `verdict` at least; a row without a verdict is none. `at` is
 * now where it is missing. Nothing is added when anything is wrong: throws ERR_OPTION, which names the line. Gives how many were added, and the answers
 * that the record does not have, whose values nobody can check.
 */
export async function importLabels(
  folder: string,
  watch: string,
  csv: string,
  { accept, now = new Date() }: ImportOptions,
): Promise<{ added: number; unknown: string[] }> {
  try {
    const rows = new Map(rowsOf(csv, now.toISOString()).map((row) => [row.label, row]));
    const { unknown } = await addLabels(folder, watch, [...rows.keys()], (label, { spec }) => {
      if (label.value === undefined || spec === null) return label;
      const { line, cell } = rows.get(label) as Row;
      const found = accept(spec, label.value, cell);
      if ('expected' in found) throw new CsvError(line, `value: expected ${found.expected}, received ${JSON.stringify(cell)}`);
      return labelSchema.parse({ ...label, value: found.value });
    });
    return { added: rows.size - unknown.length, unknown };
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new MiphaError('ERR_OPTION', `Labels, ${cause.message}`, { details: { option: 'labels' }, cause });
  }
}

function rowsOf(csv: string, now: string): Row[] {
  const [header, ...rows] = parseCsv(csv);
  if (header === undefined) throw new CsvError(1, `expected the names of columns, ${COLUMNS.join(',')}, received nothing`);
  const names = header.cells.map((name) => name.trim().toLowerCase());
  const strange = names.find((name, at) => !COLUMNS.includes(name as Column) || names.indexOf(name) !== at);
  if (strange !== undefined)
    throw new CsvError(header.line, `expected the columns ${COLUMNS.join(', ')}, each once, received ${JSON.stringify(strange)}`);
  for (const name of ['answer', 'verdict']) if (!names.includes(name)) throw new CsvError(header.line, `expected a column ${name}, received none`);
  return rows.flatMap(({ line, cells }) => {
    if (cells.length !== names.length) throw new CsvError(line, `expected ${names.length} cells, received ${cells.length}`);
    const row = Object.fromEntries(names.map((name, at) => [name, cells[at] as string])) as Record<Column, string | undefined>;
    if (row.verdict === '') return [];
    const value = readCell(row.value);
    const parsed = labelSchema.safeParse({
      answer: row.answer,
      verdict: row.verdict?.trim().toLowerCase(),
      ...(value === undefined ? {} : { value }),
      at: row.at || now,
    });
    if (parsed.success) return [{ label: parsed.data, line, cell: row.value ?? '' }];
    const [issue] = parsed.error.issues;
    const column = String(issue?.path[0]) as Column;
    throw new CsvError(line, `${column}: expected ${EXPECTED[column] ?? issue?.message}, received ${JSON.stringify(row[column])}`);
  });
}

const EXPECTED: Partial<Record<Column, string>> = {
  answer: 'the id of an answer',
  verdict: 'right or wrong',
  at: 'a time as 2026-01-31T12:00:00Z',
};

/** Text as it is, unless it would be read as something else, here or, as a formula, in a spreadsheet; all else as JSON. */
function writeCell(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'string' && value !== '' && !/^[=+\-@\t\r]/.test(value) && readCell(value) === value) return value;
  return JSON.stringify(value);
}

/** Spreadsheets write TRUE and FALSE. */
function readCell(cell: string | undefined): unknown {
  if (cell === undefined || cell === '') return undefined;
  if (/^(true|false)$/i.test(cell)) return cell.toLowerCase() === 'true';
  try {
    return JSON.parse(cell);
  } catch {
    return cell;
  }
}
