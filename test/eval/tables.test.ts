/** Tables of tab-separated values, read as pandas wrote them. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonList } from '../../src/eval/layouts/python-list.js';
import { openTsv } from '../../src/eval/layouts/tsv.js';
import { Random } from '../support/random.js';
import { tsv } from './folders.js';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'mipha-tables-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** By this process. */
function timesOpen(path: string): number {
  const opened = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the folder itself, closed by now
    }
  };
  return readdirSync('/proc/self/fd').filter((fd) => opened(fd) === path).length;
}

describe('tables', () => {
  it('that nobody reads to the end hold no file', async () => {
    const path = join(root, 'two.tsv');
    writeFileSync(path, 'index\timage\n1\tabc\n2\tdef\n');
    const table = await openTsv(path, ['image']);
    expect(timesOpen(path)).toBe(0);
    for await (const _ of table.rows) {
      expect(timesOpen(path)).toBe(1);
      break;
    }
    expect(timesOpen(path)).toBe(0);
  });

  it('of 200 kinds are read as they were written, wherever a chunk ends', async () => {
    const parts = ['a', 'é', '"', '\t', '\n', '\r\n', ' ', '0', '漢', 'x'.repeat(70)];
    for (let seed = 1; seed <= 200; seed++) {
      const rand = new Random(seed);
      const columns = ['index', 'image', 'a', 'b'];
      const rows = Array.from({ length: 1 + rand.below(6) }, (_, index) => ({
        index,
        image: 'A'.repeat(rand.pick([1, 64, 65, 3000])),
        a: rand.text(parts, 0, 6),
        b: `${rand.text(parts, 0, 6)}.`,
      }));
      if (seed % 20 === 0) rows.push({ index: 99, image: 'B'.repeat((1 << 20) - rand.below(400)), a: 'é'.repeat(rand.below(400)), b: '"' });
      rows.push({ index: 100, image: 'C', a: 'last\n', b: 'c' });
      const path = join(root, 'any.tsv');
      const text = tsv(columns, rows);
      writeFileSync(path, text);
      const table = await openTsv(path, ['image']);
      const read = [];
      for await (const { fields, places } of table.rows) read.push({ ...Object.fromEntries(fields), place: places.get('image') });
      expect(read.map(({ place, ...fields }) => fields)).toEqual(rows.map(({ image, ...fields }) => ({ ...fields, index: String(fields.index) })));
      const bytes = Buffer.from(text);
      for (const [i, { place }] of read.entries())
        expect(bytes.subarray(place?.offset, (place?.offset ?? 0) + (place?.bytes ?? 0)).toString() === rows[i]?.image).toBe(true);
    }
  });

  it('may end their lines as Windows does, and begin with a mark', async () => {
    const path = join(root, 'crlf.tsv');
    writeFileSync(path, '\ufeffindex\timage\r\n1\tabc\r\n\r\n2\t"d""e"\r\n');
    const table = await openTsv(path, ['image']);
    const read = [];
    for await (const { line, fields, places } of table.rows) read.push([line, fields.get('index'), places.get('image')?.text]);
    expect([table.columns, read]).toEqual([
      ['index', 'image'],
      [
        [2, '1', 'abc'],
        [4, '2', 'd"e'],
      ],
    ]);
  });

  it.each([
    ["['a', 'b']", ['a', 'b']],
    [`['it\\'s', "it's", '\\x41\\u00e9\\n']`, ["it's", "it's", 'Aé\n']],
    ['[]', []],
    ["['a, b']", ['a, b']],
    ["'a'", null],
    ["['a' 'b']", null],
    ['[1, 2]', null],
    ["['a]", null],
  ])('have lists in cells: %s', (cell, list) => expect(pythonList(cell)).toEqual(list));
});
