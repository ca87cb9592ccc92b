import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Recorder } from '../../src/record/recorder.js';
import { answerLine, frameLine, jpeg, MIB, newFolder, onDisk, openRecorder, readAll, START, TestClock } from './support.js';

it('records lines and pictures in order', async () => {
  const folder = await newFolder();
  const recorder = await openRecorder({ folder });
  const clock = new TestClock();
  const door = recorder.watch('door', START);
  for (let n = 0; n < 100; n++) {
    door.frame(frameLine(n, clock), n % 3 === 0 ? null : jpeg(1000 + n, n));
    door.line(answerLine(n, clock));
    clock.pass(100);
  }
  await recorder.flush();
  const { all, reading } = await readAll(folder);
  expect(reading.damaged).toBe(0);
  expect(all.map(({ line }) => line.kind)).toEqual(['start', ...Array.from({ length: 100 }, () => ['frame', 'answer']).flat()]);
  expect(all[0]?.line).toMatchObject({ v: 1, session: 'one', watch: 'door', ...START });
  for (const { line, picture } of all) {
    if (line.kind !== 'frame') continue;
    expect(picture === null).toBe(line.content % 3 === 0);
    if (picture !== null) expect((await readFile(picture)).equals(jpeg(1000 + line.content, line.content))).toBe(true);
  }
  expect(recorder.status()).toMatchObject({ trouble: null, queued: { lines: 0, bytes: 0 }, lost: {}, segments: 1 });
});

it('begins a line with what is true from then on, in its place', async () => {
  const folder = await newFolder();
  const recorder = await openRecorder({ folder });
  const clock = new TestClock();
  const door = recorder.watch('door', START);
  door.line(answerLine(1, clock));
  door.start({ ...START, camera: 'back' });
  door.line(answerLine(2, clock));
  recorder.watch('door', { ...START, camera: 'side' }).line(answerLine(3, clock));
  await recorder.flush();
  const lines = (await readAll(folder)).all.map(({ line }) => (line.kind === 'start' ? line.camera : line.kind));
  expect(lines).toEqual(['front', 'answer', 'back', 'answer', 'side', 'answer']);
});

it('begins every segment with what is true, and goes on in the last one', async () => {
  const folder = await newFolder();
  const clock = new TestClock();
  const limits = { bytes: 8 * MIB, days: 14, segmentBytes: 50_000 };
  const recorder = await openRecorder({ folder, limits });
  const door = recorder.watch('door', START);
  for (let n = 0; n < 42; n++) door.frame(frameLine(n, clock), jpeg(8000, n));
  await recorder.flush();
  await recorder.close();
  const segments = (await readdir(join(folder, 'door'))).filter((name) => /^\d+$/.test(name));
  expect(segments.length).toBeGreaterThan(5);
  expect((await onDisk(folder)).frames).toBe(42); // which looks at every first line
  const again = await openRecorder({ folder, limits, session: 'two' });
  again.watch('door', START).line(answerLine(1, clock));
  await again.flush();
  expect((await readdir(join(folder, 'door'))).filter((name) => /^\d+$/.test(name))).toEqual(segments);
  const { all } = await readAll(folder);
  expect(all.at(-2)?.line).toMatchObject({ kind: 'start', session: 'two' });
  expect(all.at(-1)?.line.kind).toBe('answer');
});

it('is for one process at a time', async () => {
  const folder = await newFolder();
  const recorder = await openRecorder({ folder });
  const clock = new TestClock();
  const waiting = await openRecorder({ folder, session: 'two', retryMs: 20 });
  const trouble = { reason: 'locked', records: 'nothing', message: `${folder}: process ${process.pid} records into this folder` };
  expect(waiting.status()).toMatchObject({ trouble, bytes: 0, segments: 0 });
  const record = waiting.watch('door', START);
  record.line(answerLine(1, clock));
  record.frame(frameLine(2, clock), jpeg(1000));
  await recorder.close();
  await waiting.flush();
  expect(waiting.status()).toMatchObject({ trouble: null, lost: { locked: { frames: 1, lines: 0 } } });
  const { all } = await readAll(folder);
  expect(all.map(({ line }) => line.kind)).toEqual(['start', 'answer', 'frame', 'lost']);
});

it('refuses limits and names that cannot be', async () => {
  const folder = await newFolder();
  const refused = (limits: object) => expect(openRecorder({ folder, limits: { bytes: MIB, days: 1, ...limits } })).rejects;
  await refused({ bytes: 1000 }).toMatchObject({ code: 'ERR_OPTION', message: expect.stringContaining('limits.bytes') });
  await refused({ bytes: Number.NaN }).toMatchObject({ code: 'ERR_OPTION' });
  await refused({ days: 0 }).toMatchObject({ message: expect.stringContaining('limits.days') });
  const recorder = await openRecorder({ folder });
  expect(() => recorder.watch('../door', START)).toThrow('watch: expected a name');
});

it('counts what is too large for a line or for the budget, and records the rest', async () => {
  const folder = await newFolder();
  const clock = new TestClock();
  const recorder = await openRecorder({ folder, limits: { bytes: MIB, days: 1 } });
  const door = recorder.watch('door', START);
  door.line(answerLine(1, clock, 'x'.repeat(300_000)));
  door.frame(frameLine(2, clock), jpeg(200_000));
  door.line(answerLine(3, clock));
  await recorder.flush();
  expect(await onDisk(folder)).toMatchObject({ frames: 1, pictures: 0, answers: 1, lostFrames: 1, lostLines: 1 });
  expect(recorder.status()).toMatchObject({ lost: { budget: { frames: 1, lines: 1 } }, trouble: null });
});

it('goes on when somebody removes what it writes to', async () => {
  const folder = await newFolder();
  const clock = new TestClock();
  const recorder = await openRecorder({ folder });
  const door = recorder.watch('door', START);
  door.frame(frameLine(1, clock), jpeg(5000));
  await recorder.flush();
  await rm(folder, { recursive: true });
  door.frame(frameLine(2, clock), jpeg(5000)); // this one finds out
  await recorder.flush();
  door.frame(frameLine(3, clock), jpeg(5000));
  await recorder.flush();
  const { frames, pictures, lostFrames } = await onDisk(folder);
  expect({ frames, pictures, lostFrames }).toEqual({ frames: 2, pictures: 1, lostFrames: 1 });
});

it('leaves alone what is not its own, and counts folders of watches that are not recorded any more', async () => {
  const folder = await newFolder();
  const clock = new TestClock();
  const recorder = await openRecorder({ folder });
  recorder.watch('old', START).frame(frameLine(1, clock), jpeg(100_000));
  await recorder.flush();
  await recorder.close();
  await writeFile(join(folder, 'notes.txt'), 'mine');
  await writeFile(join(folder, 'old', 'notes.txt'), 'mine');
  const again = await Recorder.open({ folder, session: 'two', limits: { bytes: MIB, days: 1 } });
  const door = again.watch('door', START);
  for (let n = 0; n < 30; n++) door.frame(frameLine(n, clock), jpeg(60_000));
  await again.flush();
  expect((await again.close()).bytes).toBeLessThanOrEqual(MIB);
  expect((await readAll(folder, { watch: 'old' })).all).toEqual([]);
  expect(await readFile(join(folder, 'notes.txt'), 'utf8')).toBe('mine');
  expect(await readFile(join(folder, 'old', 'notes.txt'), 'utf8')).toBe('mine');
});
