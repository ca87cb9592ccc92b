/** The record's thread from the main thread's side. What runs in it is dist's. */
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import sharp from 'sharp';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import type { RecordLine } from '../../src/record/lines.js';
import type { RecorderTrouble } from '../../src/record/recorder.js';
import { RecordThread, type RecordThreadOptions } from '../../src/service/recording/thread.js';
import { answerLine, frameLine, MIB, newFolder, onDisk, readAll, START } from '../record/support.js';
import { until } from '../support/mosquitto.js';
import { canMount, mounted } from '../support/small-disk.js';

const CLOCK = { now: () => performance.now(), date: () => new Date() };
const program = new URL('./record-thread-faulty.mjs', import.meta.url);

async function openThread(folder: string, more: Partial<RecordThreadOptions> = {}): Promise<RecordThread> {
  const options = { folder, session: 'one', limits: { bytes: 64 * MIB, days: 14 }, quality: 80, ...more };
  const thread = await RecordThread.open(options);
  onTestFinished(async () => void (await thread.close(0)));
  return thread;
}

/** All of one level of gray, which tells which it is. */
function frameOf(number: number, width = 64, height = 48, format: Frame['format'] = 'rgb'): Frame {
  const data = new Uint8Array(width * height * (format === 'rgb' ? 3 : 1)).fill(number);
  return { id: `front-1-${number}`, monotonicMs: performance.now(), at: new Date(), width, height, format, data, content: number };
}

function see(thread: RecordThread, frame: Frame, watches = ['door']): void {
  const picture = thread.picture('front', frame);
  for (const watch of watches) {
    thread.frame(watch, frameLine(frame.content, CLOCK, { width: frame.width, height: frame.height }), picture);
    thread.line(watch, answerLine(frame.content, CLOCK));
  }
  frame.data.fill(255); // the camera uses its memory again
}

/** As many pictures as can be encoded at a time, and then the next. */
async function seeAll(thread: RecordThread, frames: Frame[], watches?: string[]): Promise<void> {
  for (const [index, frame] of frames.entries()) {
    see(thread, frame, watches);
    if (index % 4 === 3) await thread.flush();
  }
  await thread.flush();
}

async function levelOf(path: string): Promise<number> {
  const { channels } = await sharp(path).stats();
  return Math.round(channels[0]?.mean as number);
}

const threads = () => (process.report.getReport() as unknown as { workers: unknown[] }).workers.length;
const numbered = (count: number, of: (number: number) => Frame) => Array.from({ length: count }, (_, number) => of(number));

it('records each frame with its own picture, once for all watches, lines in order and on the clock of this thread', async () => {
  const folder = await newFolder();
  const thread = await openThread(folder);
  const begun = performance.now();
  for (const watch of ['door', 'yard']) thread.start(watch, START);
  await seeAll(
    thread,
    numbered(24, (number) => frameOf(number * 10)),
    ['door', 'yard'],
  );
  expect(thread.status()).toMatchObject({ trouble: null, queued: { lines: 0, bytes: 0 }, lost: {}, picturesDropped: 0, segments: 2 });
  expect(thread.status().bytes).toBeGreaterThan(24 * 2 * 4096);
  for (const watch of ['door', 'yard']) {
    const { all } = await readAll(folder, { watch });
    expect(all.map(({ line }) => line.kind)).toEqual(['start', ...Array.from({ length: 24 }, () => ['frame', 'answer']).flat()]);
    for (const { line, picture } of all) {
      if (line.kind === 'frame') expect(await levelOf(picture as string)).toBe(line.content);
      expect(line.mono_ms).toBeGreaterThanOrEqual(begun);
      expect(line.mono_ms).toBeLessThanOrEqual(performance.now());
    }
  }
});

it('takes frames of any size and format, one after the other: larger, much smaller, gray', async () => {
  const folder = await newFolder();
  const thread = await openThread(folder);
  thread.start('door', START);
  const sizes = [
    [64, 48],
    [1280, 720],
    [33, 7],
    [1920, 1080],
    [1, 1],
  ] as const;
  const frames = numbered(20, (number) => frameOf(number * 12, ...(sizes[number % 5] as [number, number]), number % 3 === 0 ? 'gray' : 'rgb'));
  await seeAll(thread, frames);
  const { all } = await readAll(folder);
  const found: unknown[] = [];
  for (const { line, picture } of all) {
    if (line.kind !== 'frame') continue;
    const { width, height } = await sharp(picture as string).metadata();
    found.push([await levelOf(picture as string), width, height]);
  }
  expect(found).toEqual(frames.map(({ content, width, height }) => [content, width, height]));
});

it('drops pictures where too many come at once, never lines, and counts them', async () => {
  const folder = await newFolder();
  const thread = await openThread(folder);
  thread.start('door', START);
  for (let number = 0; number < 20; number++) see(thread, frameOf(number, 1280, 720));
  await thread.flush();
  const { frames, answers, pictures } = await onDisk(folder);
  expect([frames, answers, pictures]).toEqual([20, 20, 4]);
  expect(thread.status()).toMatchObject({ lost: {}, picturesDropped: 16 });
});

it('a picture that is withdrawn is not recorded, its line is; a watch that is stopped is not recorded any more', async () => {
  const folder = await newFolder();
  const thread = await openThread(folder);
  for (const watch of ['door', 'yard']) thread.start(watch, START);
  see(thread, frameOf(1, 1280, 720), ['door', 'yard']);
  thread.withdraw();
  thread.stop('yard');
  see(thread, frameOf(2, 1280, 720));
  await thread.flush();
  const { all } = await readAll(folder);
  expect(all.flatMap(({ line }) => (line.kind === 'frame' ? [[line.content, line.file !== null]] : []))).toEqual([
    [1, false],
    [2, true],
  ]);
  expect((await onDisk(folder, 'yard')).lines.map(({ kind }) => kind)).toEqual(['start']);
  expect(thread.status()).toMatchObject({ lost: {}, picturesDropped: 1 });
});

it('leaves nothing behind, writes what it has at the end, and lets the next one record there', async () => {
  const before = threads();
  const folder = await newFolder();
  const thread = await openThread(folder);
  thread.start('door', START);
  for (let number = 0; number < 3; number++) see(thread, frameOf(number, 1280, 720));
  expect(threads()).toBeGreaterThan(before);
  expect(await thread.close(10_000)).toMatchObject({ lost: {}, picturesDropped: 0, queued: { lines: 0 } });
  expect(threads()).toBe(before);
  thread.line('door', answerLine(9, CLOCK)); // nothing happens
  expect(thread.status().lost).toEqual({ error: { frames: 0, lines: 1 } });
  expect(await onDisk(folder)).toMatchObject({ frames: 3, pictures: 3, answers: 3 });
  expect((await openThread(folder, { session: 'two' })).status().trouble).toBeNull();
});

describe.each(['exits', 'throws'])('a thread that %s', (fault) => {
  it('is begun anew: what it held is counted and told, answers go on, nothing is recorded twice', async () => {
    const outer = await newFolder();
    const folder = join(outer, 'record');
    const flag = `${folder}.${fault}`;
    const troubles: (RecorderTrouble | null)[] = [];
    const thread = await openThread(folder, { program, onTrouble: (trouble) => troubles.push(trouble) });
    thread.start('door', START);
    let number = 0;
    const record = async (count: number) => {
      for (const end = number + count; number < end; await pause(2)) see(thread, frameOf(number++));
    };
    for (let round = 0; round < 2; round++) {
      await record(40);
      await thread.flush();
      await record(20);
      await writeFile(flag, '');
      await until('the end of the thread', () => thread.status().trouble !== null);
      await rm(flag);
      await record(20); // between two threads
      await until('another thread', () => thread.status().trouble === null, 10_000);
    }
    await record(40);
    await thread.flush();
    expect(troubles.map((trouble) => trouble?.reason ?? null)).toEqual(['error', null, 'error', null]);
    expect(troubles[0]?.message).toContain(
      `${folder}: the thread that records has ended, it is begun anew: ${fault === 'throws' ? 'a bug of the thread' : 'it ended'}`,
    );
    const there = await onDisk(folder);
    expect(there).toMatchObject({ orphans: [], missing: [] });
    const answers = there.lines.flatMap((line) => (line.kind === 'answer' ? [Number(line.id.split('-')[1])] : []));
    expect(answers).toEqual([...new Set(answers)].sort((a, b) => a - b));
    expect(answers.at(-1)).toBe(number - 1);
    const missing = 2 * number - there.answers - there.frames;
    expect(missing).toBeGreaterThanOrEqual(2 * 2 * 20);
    expect(there.lostLines).toBeGreaterThanOrEqual(missing);
    expect(there.lostLines).toBeLessThan(missing + 2 * 64); // of two threads, what was being written
    expect(thread.status().lost).toEqual({ error: { frames: there.lostFrames, lines: there.lostLines } });
    // each begins with what is true, in the segment that the one before left
    expect(there.lines.filter((line: RecordLine) => line.kind === 'start').length).toBeGreaterThanOrEqual(3);
  });
});

it('a thread that hangs costs the caller nothing, holds a bounded number of lines, and is left where it does not come back', async () => {
  const outer = await newFolder();
  const folder = join(outer, 'record');
  const flag = `${folder}.hangs`;
  const thread = await openThread(folder, { program });
  thread.start('door', START);
  await thread.flush();
  await writeFile(flag, '');
  await pause(100);
  for (let number = 0; number < 3000; number++) thread.line('door', answerLine(number, CLOCK, 'x'.repeat(10_000)));
  const { queued, lost, trouble } = thread.status();
  expect(trouble).toMatchObject({ reason: 'slow', records: 'nothing' });
  expect(queued.bytes).toBeLessThanOrEqual(16 * MIB);
  expect(queued.lines + (lost.slow?.lines ?? 0)).toBe(3000);
  await rm(flag);
  await thread.flush();
  await thread.flush(); // what was told of the losses comes after them
  const there = await onDisk(folder);
  expect(there.lostLines).toBeGreaterThanOrEqual(lost.slow?.lines as number);
  expect(there.answers + there.lostLines).toBe(3000);
  expect(thread.status().lost).toEqual({ slow: { frames: 0, lines: there.lostLines } });

  await writeFile(flag, '');
  await pause(100);
  for (let number = 0; number < 10; number++) thread.line('door', answerLine(number, CLOCK));
  const begun = performance.now();
  expect((await thread.close(300)).lost.error).toEqual({ frames: 0, lines: 10 });
  expect(performance.now() - begun).toBeLessThan(3000);
  await rm(flag);
});

it('that cannot begin is trouble, in words, and no error', async () => {
  const folder = await newFolder();
  const thread = await openThread(folder, { program: new URL('./no-such-file.mjs', import.meta.url) });
  expect(thread.status().trouble).toMatchObject({ reason: 'error', records: 'nothing', message: expect.stringContaining('no-such-file.mjs') });
  thread.start('door', START);
  see(thread, frameOf(1));
  expect(thread.status()).toMatchObject({ lost: { error: { frames: 0, lines: 2 } }, picturesDropped: 1 });
  const begun = performance.now();
  await thread.close(5000);
  expect(performance.now() - begun).toBeLessThan(1000);
});

describe.skipIf(!canMount('the end of the record on a full disk'))('a full disk', () => {
  it('does not hold up the end, and all that is not written is counted', async () => {
    await mounted(2 * MIB, async (disk) => {
      const folder = join(disk, 'record');
      await mkdir(folder);
      const { bavail, bsize } = await statfs(disk);
      await writeFile(join(disk, 'filler'), Buffer.alloc(bavail * bsize));
      const before = threads();
      const thread = await openThread(folder);
      thread.start('door', START);
      for (let number = 0; number < 4; number++) see(thread, frameOf(number, 640, 480));
      await until('trouble', () => thread.status().trouble?.reason === 'full');
      const begun = performance.now();
      const { lost, queued, picturesDropped } = await thread.close(1500);
      expect(performance.now() - begun).toBeLessThan(4000);
      expect({ lines: lost.full?.lines, frames: (lost.full?.frames ?? 0) + picturesDropped, queued: queued.lines }).toEqual({
        lines: 8,
        frames: 4,
        queued: 0,
      });
      expect(threads()).toBe(before);
    });
  });
});
