/** Labels as a table: answer, verdict, value, at, by. */
import { MiphaError } from '../errors.js';
import { CsvError, parseCsv, writeCsv } from './csv.js';
import { addLabels, type Label, labelSchema, readLabels } from './labels.js';

const COLUMNS = ['answer', 'verdict', 'value', 'at', 'by'] as const;
type Column = (typeof COLUMNS)[number];

export async function exportLabels(folder: string, watch: string): Promise<string> {
  const { labels } = await readLabels(folder, watch);
  const rows = [...labels.values()].map(({ answer, verdict, value, at, by }) => [answer, verdict, writeCell(value), at, writeCell(by)]);
  return writeCsv([COLUMNS, ...rows]);
}

/**
 * Adds the labels of a table as exportLabels() writes it: columns in any order, `answer` and `verdict` at least; a row without a verdict is none. `at` is
 * now where it is missing. Nothing is added when anything is wrong: throws ERR_OPTION, which names the line. Gives how many were added, and the answers
 * that the record does not have.
 */
export async function importLabels(
  folder: string,
  watch: string,
  csv: string,
  now: Date = new Date(),
): Promise<{ added: number; unknown: string[] }> {
  let labels: Label[];
  try {
    labels = labelsOf(csv, now.toISOString());
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new MiphaError('ERR_OPTION', `Labels, ${cause.message}`, { details: { option: 'labels' }, cause });
  }
  const { unknown } = await addLabels(folder, watch, labels);
  return { added: labels.length - unknown.length, unknown };
}

function labelsOf(csv: string, now: string): Label[] {
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
    const [value, by] = [readCell(row.value), readCell(row.by)];
    const parsed = labelSchema.safeParse({
      answer: row.answer,
      verdict: row.verdict?.trim().toLowerCase(),
      ...(value === undefined ? {} : { value }),
      at: row.at || now,
      ...(by === undefined ? {} : { by: String(by) }),
    });
    if (parsed.success) return [parsed.data];
    const [issue] = parsed.error.issues;
    const column = String(issue?.path[0]) as Column;
    throw new CsvError(line, `${column}: expected ${EXPECTED[column] ?? issue?.message}, received ${JSON.stringify(row[column])}`);
  });
}

const EXPECTED: Partial<Record<Column, string>> = {
  answer: 'the id of an answer',
  verdict: 'right or wrong',
  at: 'a time as 2026-01-31T12:00:00Z',
  by: 'at most 200 characters',
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
