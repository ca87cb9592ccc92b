import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readRecord } from '../../src/record/read.js';
import { timelines } from '../../src/replay/timeline.js';
import { answerLine, jpeg, onDisk, openRecorder, readAll, recorded, START, TestClock } from './support.js';

const log = (folder: string, segment: number) => join(folder, 'door', String(segment).padStart(8, '0'), 'log.ndjson');

it('gives a span of time, with what was true then, and reads no more than it must', async () => {
  const { folder, recorder } = await recorded(30);
  const base = new TestClock().wallMs;
  const span = { since: new Date(base + 12_000), until: new Date(base + 15_000) };
  const expected = ['start', ...[12, 13, 14].flatMap((n) => [`front-1-${n}`, `one-${n}`])];
  const given = async () => (await readAll(folder, span)).all.map(({ line }) => ('id' in line ? line.id : line.kind));
  expect(await given()).toEqual(expected);
  await recorder.close();
  expect(await given()).toEqual(expected);
  await writeFile(log(folder, 1), (await readFile(log(folder, 1), 'utf8')).replace(/^/, 'x').slice(0, -1)); // not asked about: not read
  expect((await readAll(folder, span)).reading.damaged).toBe(0);
  expect((await readAll(folder)).reading.damaged).toBe(2); // its first line and its last
});

it('gives what was true once, in however many segments it stands, and again when it began anew', async () => {
  const { folder, clock, recorder } = await recorded(30);
  recorder.watch('door', START);
  recorder.watch('door', { ...START, camera: 'back' }).line(answerLine(99, clock));
  await recorder.close();
  const { all } = await readAll(folder);
  expect(new Set(all.map(({ segment }) => segment)).size).toBeGreaterThan(4);
  expect((await onDisk(folder)).lines.filter(({ kind }) => kind === 'start').length).toBeGreaterThan(6);
  const starts = all.flatMap(({ line }) => (line.kind === 'start' ? [line.camera] : []));
  expect(starts).toEqual(['front', 'back']);
  const lives: number[] = [];
  for await (const life of timelines(readRecord(folder, { watch: 'door' }))) {
    let lines = 0;
    while ((await life.next()) !== null) lines++;
    lives.push(lines);
  }
  expect(lives).toEqual([60, 1]);
});

it('reads beside a writer, and a segment that is deleted meanwhile', async () => {
  const { folder, clock, door, recorder } = await recorded(30);
  let seen = 0;
  const reading = readRecord(folder, { watch: 'door' });
  for await (const { line } of reading) {
    if (line.kind === 'frame') seen++;
    if (seen === 2) await rm(join(folder, 'door', '00000003'), { recursive: true, force: true });
    door.line(answerLine(1000 + seen, clock));
  }
  expect(seen).toBeGreaterThan(15);
  expect(reading).toMatchObject({ damaged: 0, gone: 1 });
  await recorder.flush();
});

it('ends where a last line is half, and names every other line that is none', async () => {
  const { folder, recorder } = await recorded(12);
  await recorder.close();
  const lines = (await readFile(log(folder, 1), 'utf8')).split('\n');
  lines.splice(2, 0, 'hello', '{"kind":"frame"}', '[]', `"${'x'.repeat(300_000)}"`);
  await writeFile(log(folder, 1), lines.join('\n').slice(0, -5));
  await appendFile(log(folder, 2), Buffer.from('\xff\xfe\n{"kind":"ans', 'latin1'));
  await appendFile(log(folder, 3), '{"kind":"ans');
  const { all, reading } = await readAll(folder);
  expect(reading.damaged).toBe(7);
  expect(reading.damage.map(({ segment, number, problem }) => [Number(segment), number, problem.split(':')[0]])).toEqual([
    [1, 3, 'no JSON'],
    [1, 4, 'at'],
    [1, 5, expect.anything()],
    [1, 6, 'too long'],
    [1, expect.anything(), 'cut off'],
    [2, expect.anything(), 'no UTF-8'],
    [2, expect.anything(), 'cut off'],
  ]);
  expect(all.filter(({ line }) => line.kind === 'frame')).toHaveLength(12);
});

it('gives no picture that is missing, short, or outside the segment', async () => {
  const { folder, recorder } = await recorded(5, 1_000_000);
  await recorder.close();
  const path = (n: number) => join(folder, 'door', '00000001', `00000${n}.jpg`);
  await rm(path(1));
  await writeFile(path(2), jpeg(500));
  const text = await readFile(log(folder, 1), 'utf8');
  await writeFile(join(folder, 'door', 'x.jpg'), jpeg(10_000));
  await writeFile(log(folder, 1), text.replace('000003.jpg', '../x.jpg'));
  const { all, reading } = await readAll(folder);
  const pictures = all.filter(({ line }) => line.kind === 'frame').map(({ picture }) => picture);
  expect(pictures).toEqual([null, null, null, path(4), path(5)]);
  expect(reading.missingPictures).toBe(3);
});

it('opens what power left: half a line, zeros, pictures without a line; and leaves the rest as it is', async () => {
  const { folder, recorder } = await recorded(6, 1_000_000);
  await recorder.close();
  const whole = await readFile(log(folder, 1));
  const path = (n: number) => join(folder, 'door', '00000001', `00000${n}.jpg`);
  await appendFile(log(folder, 1), Buffer.concat([Buffer.alloc(1000), Buffer.from('\n{"kind":"answer","id')]));
  await writeFile(path(7), jpeg(1000)); // no line has it
  await writeFile(path(2), jpeg(500)); // short
  await writeFile(path(3), Buffer.alloc(10_000)); // long enough, never written
  await writeFile(join(folder, 'door', '00000001', 'notes.txt'), 'mine');
  const again = await openRecorder({ folder, session: 'two' });
  expect((await readFile(log(folder, 1))).equals(whole)).toBe(true);
  again.watch('door', START);
  await again.flush();
  const { all, reading } = await readAll(folder);
  expect(reading).toMatchObject({ damaged: 0, missingPictures: 2 });
  expect(all.at(-1)?.line).toMatchObject({ kind: 'lost', reason: 'torn', frames: 2, lines: 0 });
  await expect(readFile(path(7))).rejects.toThrow('ENOENT');
  expect(await readFile(join(folder, 'door', '00000001', 'notes.txt'), 'utf8')).toBe('mine');
});
