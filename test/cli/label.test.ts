import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLabels } from '../../src/record/labels.js';
import { Recorder } from '../../src/record/recorder.js';
import { answerLine, frameLine, jpeg, START, TestClock } from '../record/support.js';
import { mipha } from './in-process.js';

let folder = '';
let record = '';
let config = '';
let closeRecorder = async () => {};

/** A record that is being written: of a watch that says yes or no, of one that counts, and of one that chose and now says yes or no. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-label-'));
  record = join(folder, 'record');
  config = join(folder, 'mipha.yaml');
  await writeFile(config, 'node: n\nstate_dir: .\n');
  const clock = new TestClock();
  const recorder = await Recorder.open({ folder: record, session: 'one', limits: { bytes: 1 << 24, days: 1 }, clock });
  closeRecorder = async () => void (await recorder.close());
  const spec = (answer: object) => ({ ...START, spec: { question: 'What?', answer } });
  const door = recorder.watch('door', spec({ type: 'boolean' }));
  for (let n = 1; n <= 3; n++) {
    door.frame(frameLine(n, clock), jpeg(1000));
    door.line({ ...answerLine(n, clock), frame: frameLine(n, clock).id });
  }
  recorder.watch('balls', spec({ type: 'number', min: 0, max: 9, decimals: 0 })).line({ ...answerLine(7, clock), observed: 2, confidence: null });
  const lights = recorder.watch('lights', spec({ type: 'choice', choices: ['1', '2', '3'] }));
  lights.line({ ...answerLine(8, clock), observed: '1' });
  lights.start(spec({ type: 'boolean' }));
  lights.line(answerLine(9, clock));
  await recorder.flush();
});
afterAll(async () => {
  await closeRecorder();
  await rm(folder, { recursive: true, force: true });
});

const label = (...args: string[]) => mipha('label', ...args);
const refused = async (...args: string[]) => {
  const { code, stdout, stderr } = await label(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  return stderr;
};

describe('mipha label', () => {
  it('says what was right, by configuration or folder, beside whoever records', async () => {
    expect(await label('door', 'one-1', 'wrong', '--record', record)).toMatchObject({ code: 0, stdout: 'door: one-1 was wrong\n' });
    const right = await label('door', 'one-2', 'right', '--config', config, '--json');
    expect(JSON.parse(right.stdout)).toMatchObject({ watch: 'door', answer: 'one-2', verdict: 'right' });
    expect(await label('balls', 'one-7', 'wrong', '--value', '3', '--record', record)).toMatchObject({
      code: 0,
      stdout: 'balls: one-7 was wrong, 3 would have been right\n',
    });
    const { labels } = await readLabels(record, 'balls');
    expect([...labels.values()]).toEqual([{ answer: 'one-7', verdict: 'wrong', value: 3, at: expect.any(String) }]);
  });

  it('lists answers with their pictures and labels', async () => {
    const { stdout } = await label('door', '--list', '--record', record);
    expect(stdout.split('\n').map((line) => line.split('  ').slice(1))).toEqual([
      ['one-1', 'true', '0.90', 'wrong'],
      ['one-2', 'true', '0.90', 'right'],
      ['one-3', 'true', '0.90', ''],
      [],
    ]);
    const listed = JSON.parse((await label('door', '--list', '--record', record, '--json')).stdout);
    expect(listed).toHaveLength(3);
    expect((await readFile(listed[0].picture)).length).toBe(1000);
    expect(listed[0].label).toMatchObject({ verdict: 'wrong' });
    expect(await label('door', '--list', '--since', '2100-01-01', '--record', record)).toMatchObject({ stdout: 'there are no answers on record\n' });
  });

  it('exports and imports the same labels as CSV, and writes over nothing unasked', async () => {
    const csv = join(folder, 'door.csv');
    expect(await label('door', '--export', csv, '--record', record)).toMatchObject({ code: 0, stdout: `${csv}: 2 labels\n` });
    const before = await readLabels(record, 'door');
    expect(await refused('door', '--export', csv, '--record', record)).toContain('--force to write over one');
    await rm(join(record, 'door', 'labels.ndjson'));
    expect((await readLabels(record, 'door')).labels.size).toBe(0);
    expect(await label('door', '--import', csv, '--record', record)).toMatchObject({ code: 0, stdout: '2 labels added\n', stderr: '' });
    expect(await readLabels(record, 'door')).toEqual(before);
    expect((await label('door', '--export', csv, '--force', '--record', record)).code).toBe(0);
    await writeFile(csv, 'answer,verdict\none-3,right\ngone-9,wrong\n');
    const { stdout, stderr } = await label('door', '--import', csv, '--record', record);
    expect(stdout).toBe('1 labels added\n');
    expect(stderr).toContain('1 are about answers that are not on record (any more): gone-9');
    await writeFile(csv, 'answer,verdict\none-3,maybe\n');
    expect(await refused('door', '--import', csv, '--record', record)).toContain('line 2: verdict: expected right or wrong, received "maybe"');
  });

  it('imports values that the watch could have answered when it did, all or none', async () => {
    const csv = join(folder, 'values.csv');
    const imported = async (watch: string, ...rows: string[]) => {
      await writeFile(csv, ['answer,verdict,value', ...rows, ''].join('\n'));
      return ['--import', csv, '--record', record].concat(watch);
    };
    const labels = async (watch: string) => [...(await readLabels(record, watch)).labels.values()].map(({ answer, value }) => [answer, value]);
    expect(await label(...(await imported('lights', 'one-8,wrong,2', 'one-9,wrong,FALSE')))).toMatchObject({ code: 0, stdout: '2 labels added\n' });
    expect(await labels('lights')).toEqual([
      ['one-8', '2'], // a word of a choice
      ['one-9', false], // it said yes or no later
    ]);
    const wrong = await imported('lights', 'one-9,wrong,true', 'one-8,wrong,4');
    expect(await refused(...wrong)).toContain('line 3: value: expected one of 1, 2, 3, received "4"');
    expect(await refused(...(await imported('lights', 'one-8,wrong,1', 'one-9,wrong,2')))).toContain(
      'line 3: value: expected true or false, received "2"',
    );
    expect(await labels('lights')).toEqual([
      ['one-8', '2'],
      ['one-9', false],
    ]);
  });

  it.each([
    [['door', 'one-9', 'right'], 'answer: expected the id of a recorded answer of door'],
    [['door', 'one-1', 'maybe'], 'verdict: expected right or wrong'],
    [['door', 'one-1'], 'verdict: expected right or wrong'],
    [['door', 'one-1', 'wrong', '--value', 'no'], 'value: expected true or false'],
    [['door', 'one-1', 'right', '--value', 'true'], 'value: expected none with the verdict right'],
    [['balls', 'one-7', 'wrong', '--value', '10'], 'value: expected a whole number from 0 to 9'],
    [['dor', 'one-1', 'right'], 'watch: expected one of'],
    [['../record', 'one-1', 'right'], 'watch: expected one of'],
    [['door'], 'answer: expected one of: an answer'],
    [['door', '--list', '--export', 'x.csv'], 'answer: expected one of: an answer'],
    [['door', '--list', '--value', 'true'], 'value: expected an answer'],
    [['door', 'one-1', 'right', '--since', '1d'], 'since: expected --list'],
    [['door', '--import', '/does/not/exist.csv'], 'import: expected a file that can be read'],
  ])('refuses %j', async (args, words) => {
    expect(await refused(...args, '--record', record)).toContain(words);
  });

  it('needs to know where the record is', async () => {
    expect(await refused('door', '--list')).toContain('record: expected --record FOLDER or --config FILE, received "neither"');
    expect(await refused('door', '--list', '--record', join(folder, 'nowhere'))).toContain('record: expected a folder where a node has recorded');
    const bare = join(folder, 'bare.yaml');
    await writeFile(bare, 'node: n\n');
    const { code, stderr } = await label('door', '--list', '--config', bare);
    expect(code).toBe(1);
    expect(stderr).toContain('has neither recorder.folder nor state_dir');
  });
});
