/** The files of the servers, exactly: their form, every id, normalized answers. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataset } from '../../src/eval/item.js';
import { openBenchmark } from '../../src/eval/layouts/open.js';
import { marksOf } from '../../src/eval/score.js';
import { writeUpload } from '../../src/eval/uploads/uploads.js';
import { workbook } from '../../src/eval/uploads/xlsx.js';
import { crc32 } from '../../src/eval/uploads/zip.js';
import { type Made, makeFolders } from './folders.js';

let root: string;
let made: Made;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'mipha-uploads-'));
  made = await makeFolders(root);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** All answers are the same. */
async function upload(dataset: Dataset, text: string): Promise<string | null> {
  const answers = new Map(dataset.items.map(({ id }) => [id, { text, confidence: null, ms: 1 }]));
  return await writeUpload(dataset, marksOf(dataset, 'paper', answers), root);
}
const written = (name: string | null) => readFileSync(join(root, name as string), 'utf8');

/** Files of an archive, by its directory, as a reader of ZIP goes about it. */
function unzip(archive: Buffer): Map<string, string> {
  const end = archive.lastIndexOf(Buffer.from('PK\x05\x06'));
  const files = new Map<string, string>();
  for (let at = archive.readUInt32LE(end + 16), left = archive.readUInt16LE(end + 10); left > 0; left--) {
    expect(archive.subarray(at, at + 4).toString('latin1')).toBe('PK\x01\x02');
    const [crc, packed, size, name] = [
      archive.readUInt32LE(at + 16),
      archive.readUInt32LE(at + 20),
      archive.readUInt32LE(at + 24),
      archive.readUInt16LE(at + 28),
    ];
    const local = archive.readUInt32LE(at + 42);
    const begin = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    const bytes = zlib.inflateRawSync(archive.subarray(begin, begin + packed));
    expect([bytes.length, crc32(bytes)]).toEqual([size, crc]);
    files.set(archive.toString('latin1', at + 46, at + 46 + name), bytes.toString());
    at += 46 + name + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  return files;
}

/** Cells by row: [reference, text]. */
function cells(archive: Buffer): [string, string][][] {
  const sheet = unzip(archive).get('xl/worksheets/sheet1.xml') as string;
  const text = (escaped: string) => escaped.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)));
  return [...sheet.matchAll(/<row r="\d+">(.*?)<\/row>/gs)].map(([, row = '']) =>
    [...row.matchAll(/<c r="([A-Z]+\d+)"(?: t="inlineStr")?>(?:<is><t xml:space="preserve">|<v>)(.*?)<\//gs)].map(
      ([, at = '', value = '']): [string, string] => [at, text(value)],
    ),
  );
}

describe('JSON', () => {
  it('of VQAv2 has every question of the test, with the ids of the file', async () => {
    const name = await upload(await openBenchmark('vqav2', made.folder), 'The two Cats.');
    expect(written(name)).toBe(
      `${JSON.stringify([99, 100, 101, 102].map((question_id) => ({ question_id, answer: question_id === 99 ? '' : '2 cats' })))}\n`,
    );
    const missing = await openBenchmark('vqav2', made.folder);
    missing.files[0] = { path: join(root, 'elsewhere/x.jsonl'), md5: '' };
    await expect(upload(missing, 'x')).rejects.toThrow(
      'expected all questions of the test in llava_vqav2_mscoco_test2015.jsonl, received none of them',
    );
  });

  it('of VizWiz names pictures, that of GQA questions, that of MM-Vet its own ids', async () => {
    expect(JSON.parse(written(await upload(await openBenchmark('vizwiz', made.folder), 'A dog.')))[2]).toEqual({
      image: 'VizWiz_test_2.jpg',
      answer: 'dog',
    });
    expect(JSON.parse(written(await upload(await openBenchmark('gqa', made.folder), 'Dog.')))[0]).toEqual({ questionId: '200', prediction: 'dog' });
    for (const data of [made.folder, made.tables]) {
      expect(JSON.parse(written(await upload(await openBenchmark('mm-vet', data), 'A dog.')))).toEqual({ v1_0: 'A dog.', v1_1: 'A dog.' });
    }
    expect(await upload(await openBenchmark('mme', made.tables), 'Yes')).toBeNull();
  });
});

describe('a workbook', () => {
  it('of MMBench has the columns of the table without what the server knows, the answer the seventh', async () => {
    const name = await upload(await openBenchmark('mmbench', made.folder), 'B <&> "x"');
    const rows = cells(readFileSync(join(root, name as string)));
    expect(rows.map((row) => row.length)).toEqual([9, ...Array(4).fill(9), ...Array(2).fill(7), ...Array(3).fill(8)]);
    expect(rows[0]?.map(([, text]) => text)).toEqual(['index', 'question', 'A', 'B', 'C', 'D', 'prediction', 'answer', 'split']);
    expect(rows[1]).toEqual([
      ['A2', '1'],
      ['B2', 'Which thing is left?'],
      ['C2', 'Cup'],
      ['D2', 'Box'],
      ['E2', 'Ball'],
      ['F2', 'Cone'],
      ['G2', 'B <&> "x"'],
      ['H2', 'A'],
      ['I2', 'dev'],
    ]);
    expect(rows[6]?.map(([at, text]) => [at, text])).toEqual([
      ['A7', '1000002'],
      ['B7', 'What is it made of?'],
      ['C7', 'Stone'],
      ['D7', 'Wood'],
      ['G7', 'B <&> "x"'],
      ['H7', 'A'],
      ['I7', 'dev'],
    ]);
  });

  it('has any text, any number of columns, and the same bytes each time', () => {
    const row = Array.from({ length: 60 }, (_, i) => (i === 0 ? 'a\0\x07\n"é漢_x0041_' : i));
    const archive = workbook([row]);
    expect(workbook([row]).equals(archive)).toBe(true);
    expect([...unzip(archive).keys()]).toEqual([
      '[Content_Types].xml',
      '_rels/.rels',
      'xl/workbook.xml',
      'xl/_rels/workbook.xml.rels',
      'xl/worksheets/sheet1.xml',
    ]);
    const [read] = cells(archive);
    expect(read?.[0]).toEqual(['A1', 'a_x0000__x0007_\n"é漢_x005F_x0041_']);
    expect(read?.filter((_, i) => [25, 26, 27, 51, 52, 59].includes(i)).map(([at]) => at)).toEqual(['Z1', 'AA1', 'AB1', 'AZ1', 'BA1', 'BH1']);
  });

  it('has the checksums of ZIP', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926);
    writeFileSync(join(root, 'empty.xlsx'), workbook([]));
    expect(crc32(new Uint8Array())).toBe(0);
  });
});
