import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseCsv, writeCsv } from '../../src/record/csv.js';
import { addLabels, type Label, readLabels } from '../../src/record/labels.js';
import { exportLabels, importLabels } from '../../src/record/labels-csv.js';
import { counts } from '../support/counts.js';
import { dice } from '../support/sequences.js';
import { answerLine, frameLine, jpeg, MIB, newFolder, openRecorder, START, TestClock } from './support.js';

const AT = '2026-03-01T12:00:00.000Z';
const right = (answer: string, more: Partial<Label> = {}): Label => ({ answer, verdict: 'right', at: AT, ...more });

/** Any value could be an answer; numbers alone could. */
const ANY = { accept: (_: object, value: unknown) => ({ value }) };
const NUMBERS = { accept: (_: object, value: unknown) => (typeof value === 'number' ? { value } : { expected: 'a number' }) };

/** A record with the answers one-0 to one-99. */
async function recorded() {
  const folder = await newFolder();
  const clock = new TestClock();
  const recorder = await openRecorder({ folder });
  const door = recorder.watch('door', START);
  for (let n = 0; n < 100; n++) door.line(answerLine(n, clock));
  await recorder.flush();
  return { folder, clock, recorder, door };
}

it('keeps the last label of an answer, and says which answers there are not', async () => {
  const { folder } = await recorded();
  expect(await addLabels(folder, 'door', [right('one-1'), right('one-2'), right('two-1')])).toEqual({ unknown: ['two-1'] });
  const wrong: Label = { answer: 'one-1', verdict: 'wrong', value: { count: 2 }, at: AT };
  expect(await addLabels(folder, 'door', [wrong])).toEqual({ unknown: [] });
  const { labels, damaged } = await readLabels(folder, 'door');
  expect([...labels.values()]).toEqual([right('one-2'), wrong]);
  expect(damaged).toBe(0);
  expect((await readLabels(folder, 'none')).labels.size).toBe(0);
  expect(await addLabels(folder, 'none', [right('one-1')])).toEqual({ unknown: ['one-1'] });
});

it('loses no label when many are added at once, beside a recorder', async () => {
  const { folder } = await recorded();
  await Promise.all(Array.from({ length: 10 }, (_, n) => addLabels(folder, 'door', [right(`one-${n}`)])));
  expect((await readLabels(folder, 'door')).labels.size).toBe(10);
});

it('passes over half a label, and counts what is none', async () => {
  const { folder } = await recorded();
  await addLabels(folder, 'door', [right('one-1')]);
  await appendFile(join(folder, 'door', 'labels.ndjson'), '{"answer":"one-5","verd');
  expect(await readLabels(folder, 'door')).toMatchObject({ damaged: 0 });
  await addLabels(folder, 'door', [right('one-2')]);
  const { labels, damaged } = await readLabels(folder, 'door');
  expect([[...labels.keys()], damaged]).toEqual([['one-1', 'one-2'], 1]);
});

it('drops labels whose answers are gone, and what was said before', async () => {
  const { folder, recorder, door, clock } = await recorded();
  await addLabels(folder, 'door', [right('one-1'), right('one-2'), right('one-1', { verdict: 'wrong' })]);
  await recorder.close();
  const small = await openRecorder({ folder, limits: { bytes: MIB, days: 14 } });
  expect((await readFile(join(folder, 'door', 'labels.ndjson'), 'utf8')).trim().split('\n')).toHaveLength(2);
  const again = small.watch('door', START);
  for (let n = 100; n < 140; n++) {
    again.frame(frameLine(n, clock), jpeg(60_000));
    again.line(answerLine(n, clock));
  }
  await small.flush();
  await addLabels(folder, 'door', [right('one-139')]);
  await small.close();
  expect([...(await readLabels(folder, 'door')).labels.keys()]).toEqual(['one-139']);
  expect(door).toBeDefined();
});

it('writes a table and reads it back, whatever the values are', async () => {
  const { folder } = await recorded();
  const values = [
    'left',
    'say "hi"',
    'a,b',
    'two\nlines',
    '',
    'true',
    'TRUE',
    '17',
    '=1+1',
    '-3',
    ' blank ',
    'null',
    '"',
    true,
    false,
    null,
    3.5,
    [1, 'a'],
    {},
  ];
  const labels = values.map((value, n) => right(`one-${n}`, { verdict: n % 2 === 0 ? 'right' : 'wrong', value }));
  await addLabels(folder, 'door', labels);
  const csv = await exportLabels(folder, 'door');
  expect(csv.split('\r\n')[0]).toBe('answer,verdict,value,at');
  expect(csv).not.toMatch(/(^|,)[=+@]/m);
  await writeFile(join(folder, 'door', 'labels.ndjson'), '');
  expect(await importLabels(folder, 'door', csv, ANY)).toEqual({ added: values.length, unknown: [] });
  expect([...(await readLabels(folder, 'door')).labels.values()]).toEqual(labels);
});

it('reads what a spreadsheet makes of a table', async () => {
  const { folder } = await recorded();
  const csv = '\ufeffVerdict,answer,value\nRight,one-1,TRUE\n,one-2,\n\nwrong,one-3,"left, far"\nright,gone-1,\n';
  expect(await importLabels(folder, 'door', csv, { ...ANY, now: new Date(AT) })).toEqual({ added: 2, unknown: ['gone-1'] });
  expect([...(await readLabels(folder, 'door')).labels.values()]).toEqual([
    right('one-1', { value: true }),
    right('one-3', { verdict: 'wrong', value: 'left, far' }),
  ]);
});

it.each([
  ['', 'line 1: expected the names of columns'],
  ['answer,value\n', 'line 1: expected a column verdict'],
  ['answer,verdict,colour\n', 'line 1: expected the columns answer, verdict, value, at, each once, received "colour"'],
  ['answer,verdict,verdict\n', 'line 1: expected the columns'],
  ['answer,verdict\none-1,right\none-2,perhaps\n', 'line 3: verdict: expected right or wrong, received "perhaps"'],
  ['answer,verdict\n"one-\n1",right\none-2\n', 'line 4: expected 2 cells, received 1'],
  ['answer,verdict\none-1,"right', 'line 2: expected a quoted cell'],
  ['answer,verdict\none-1,ri"ght', 'line 2: expected a cell without quotes'],
  ['answer,verdict,at\none-1,right,yesterday\n', 'line 2: at: expected a time as'],
  ['answer,verdict,value\none-1,wrong,3\n"one-\n2",right,\none-3,wrong,many\n', 'line 5: value: expected a number, received "many"'],
])('refuses a table that is wrong, naming the line, and adds nothing: %j', async (csv, problem) => {
  const { folder } = await recorded();
  await expect(importLabels(folder, 'door', csv, NUMBERS)).rejects.toMatchObject({ code: 'ERR_OPTION', message: expect.stringContaining(problem) });
  expect((await readLabels(folder, 'door')).labels.size).toBe(0);
});

it('reads every table it writes', () => {
  for (let seed = 1; seed <= counts(500, 20_000); seed++) {
    const { below, oneOf } = dice(seed);
    const cell = () => Array.from({ length: below(6) }, () => oneOf(['a', ',', '"', '\n', '\r', '\r\n', ' ', 'ä', '\u{1f600}', ';', '\t'])).join('');
    const columns = 2 + below(4);
    const rows = Array.from({ length: below(6) }, () => Array.from({ length: columns }, cell));
    const csv = writeCsv(rows);
    expect(parseCsv(csv).map(({ cells }) => cells)).toEqual(rows);
    expect(parseCsv(csv.slice(0, -2)).map(({ cells }) => cells)).toEqual(rows);
  }
});
