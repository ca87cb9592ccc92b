/** Comma-separated values as RFC 4180 has them; a bare line feed ends a row too, and a byte order mark is passed over: spreadsheets write both. */

export interface CsvRow {
  /** Of the text, from 1: where it begins. */
  line: number;
  cells: string[];
}

export class CsvError extends Error {
  override readonly name = 'CsvError';

  constructor(
    readonly line: number,
    readonly problem: string,
  ) {
    super(`line ${line}: ${problem}`);
  }
}

/** Rows of one cell that is empty are blank lines and left out. Throws CsvError. */
export function parseCsv(text: string): CsvRow[] {
  const rows: CsvRow[] = [];
  let line = 1;
  let row: CsvRow = { line, cells: [] };
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  cell.lastIndex = text.startsWith('\ufeff') ? 1 : 0;
  for (let ended = cell.lastIndex === text.length; !ended; ) {
    const at = cell.lastIndex;
    const match = cell.exec(text);
    if (match === null) {
      const problem =
        text[at] === '"'
          ? 'a quoted cell that ends at a comma or the end of its line, with its quotes inside doubled'
          : 'a cell without quotes or line ends in it';
      throw new CsvError(line, `expected ${problem}, received ${JSON.stringify(text.slice(at, at + 30))}`);
    }
    const [, quoted, plain = '', end = ''] = match;
    row.cells.push(quoted?.replaceAll('""', '"') ?? plain);
    line += (quoted?.match(/\n/g)?.length ?? 0) + (end.endsWith('\n') ? 1 : 0);
    if (end === ',') continue;
    ended = cell.lastIndex === text.length;
    if (row.cells.length > 1 || row.cells[0] !== '') rows.push(row);
    row = { line, cells: [] };
  }
  return rows;
}

export function writeCsv(rows: readonly (readonly string[])[]): string {
  return rows.map((cells) => `${cells.map(quote).join(',')}\r\n`).join('');
}

function quote(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
