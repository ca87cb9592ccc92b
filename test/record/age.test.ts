import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { expired, WallClock } from '../../src/record/age.js';
import type { Recorder, WatchRecord } from '../../src/record/recorder.js';
import { newSegment, type Segment } from '../../src/record/segment.js';
import { counts } from '../support/counts.js';
import { answerLine, frameLine, jpeg, MIB, newFolder, onDisk, openRecorder, START, TestClock, unsyncedDisk } from './support.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** Of a session that ran from so many milliseconds of its clock to so many. */
function segment(session: string, from: number, to: number, latest: string): Segment {
  const times = { earliest: latest, latest, ran_ms: to - from, first: { session, mono_ms: from }, last: { session, mono_ms: to } };
  return { ...newSegment('00000001'), lines: 2, sessions: [session], ...times };
}

it('counts the time that was recorded since, whatever the wall clock says', () => {
  const segments = [
    segment('a', 0, DAY, '2099-01-01T00:00:00Z'),
    segment('a', DAY, 3 * DAY, '1970-01-01T00:00:00Z'),
    segment('b', 0, DAY, '2026-03-01T00:00:00Z'),
  ];
  const at = (ms: number) => expired(segments, 3, { session: 'b', nowMs: ms, openedMs: 0, wallMs: null });
  expect([at(DAY - 1), at(DAY + 1), at(3 * DAY), at(3 * DAY + 1), at(4 * DAY + 1)]).toEqual([0, 1, 1, 2, 3]);
});

it('counts time in which nothing ran by a wall clock that can be believed, and never against what was recorded later', () => {
  const segments = [
    segment('a', 0, HOUR, '2026-01-01T00:00:00Z'),
    segment('a', HOUR, 2 * HOUR, '1970-01-01T00:00:00Z'),
    segment('b', 0, HOUR, '2026-01-01T00:00:00Z'),
  ];
  const at = (wall: string | null) =>
    expired(segments, 14, { session: 'b', nowMs: 2 * HOUR, openedMs: 0, wallMs: wall === null ? null : Date.parse(wall) });
  expect([at(null), at('2026-01-14T00:00:00Z'), at('2026-01-16T00:00:00Z'), at('2050-01-01T00:00:00Z')]).toEqual([0, 0, 2, 2]); // b is this session
});

it('believes a wall clock after a day without a jump', () => {
  const clock = new TestClock();
  const wall = new WallClock(clock);
  const after = (ms: number) => {
    for (let left = ms; left > 0; left -= 60_000) {
      clock.pass(Math.min(left, 60_000));
      clock.jump(1); // it is adjusted all the time
      wall.look();
    }
    return wall.look();
  };
  expect(after(DAY - HOUR)).toBeNull();
  expect(after(HOUR)).toBe(clock.wallMs);
  clock.jump(20 * YEAR);
  expect(wall.look()).toBeNull();
  expect(after(DAY - HOUR)).toBeNull();
  clock.jump(-20 * YEAR);
  expect(after(HOUR)).toBeNull();
  expect(after(DAY)).toBe(clock.wallMs);
});

/** So much time, in steps of a minute; some are recorded. */
async function run(recorder: Recorder, door: WatchRecord, clock: TestClock, days: number, everyMinutes: number, pictureBytes = 0): Promise<number> {
  let given = 0;
  for (let minute = 0; minute < days * 1440; minute += everyMinutes) {
    clock.pass(everyMinutes * 60_000);
    if (pictureBytes > 0) door.frame(frameLine(given, clock), jpeg(pictureBytes, given));
    door.line(answerLine(given++, clock));
    if (given % 20 === 0) await recorder.flush();
  }
  await recorder.flush();
  return given;
}

const daysOnDisk = async (folder: string) => {
  const { lines } = await onDisk(folder);
  const times = lines.flatMap((line) => (line.kind === 'answer' ? [line.mono_ms] : []));
  return (Math.max(...times) - Math.min(...times)) / DAY;
};

it('keeps its days through jumps of the wall clock in both directions', async () => {
  const folder = await newFolder();
  const clock = new TestClock();
  const recorder = await openRecorder({ folder, clock, limits: { bytes: 64 * MIB, days: 3 } });
  const door = recorder.watch('door', START);
  await run(recorder, door, clock, 2, 30);
  for (const jump of [30 * YEAR, -60 * YEAR, 30 * YEAR]) {
    clock.jump(jump);
    await run(recorder, door, clock, 0.5, 30);
  }
  expect(await daysOnDisk(folder)).toBeGreaterThan(3.4);
  await run(recorder, door, clock, 4, 30);
  const days = await daysOnDisk(folder);
  expect(days).toBeGreaterThan(2.9);
  expect(days).toBeLessThan(4.2); // a segment is a day
});

it('loses nothing to a device that boots in another century, and lets go of a winter in which it was off once the clock is right for a day', async () => {
  const folder = await newFolder();
  const limits = { bytes: 64 * MIB, days: 14, segmentBytes: 4000 };
  const first = new TestClock();
  const recorder = await openRecorder({ folder, clock: first, limits });
  await run(recorder, recorder.watch('door', START), first, 1, 30);
  await recorder.close();
  const segments = async () => (await readdir(join(folder, 'door'))).filter((name) => /^\d+$/.test(name)).length;
  const before = await segments();
  const clock = new TestClock();
  clock.jump(73 * YEAR);
  const booted = await openRecorder({ folder, clock, session: 'two', limits });
  const door = booted.watch('door', START);
  await run(booted, door, clock, 0.1, 30);
  clock.jump(-73 * YEAR + 100 * DAY); // the network tells the time: it was a winter
  await run(booted, door, clock, 0.8, 30);
  expect(await segments()).toBeGreaterThan(before);
  await run(booted, door, clock, 1.5, 30);
  const { lines } = await onDisk(folder);
  expect(new Set(lines.flatMap((line) => (line.kind === 'start' ? [line.session] : [])))).toEqual(new Set(['two']));
});

it('takes no more memory and disk after a month than after days', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const folder = await newFolder();
  const clock = new TestClock();
  const days = counts(3, 30);
  const recorder = await openRecorder({ folder, clock, disk: unsyncedDisk, limits: { bytes: 2 * MIB, days: 14 } });
  const door = recorder.watch('door', START);
  const heaps: number[] = [];
  for (let day = 0; day < days; day++) {
    await run(recorder, door, clock, 1, 1, 6000);
    collect();
    heaps.push(process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers);
    expect(recorder.status().bytes).toBeLessThanOrEqual(2 * MIB);
  }
  expect(recorder.status()).toMatchObject({ trouble: null, lost: {}, queued: { lines: 0, bytes: 0 } });
  expect((heaps.at(-1) as number) - (heaps[1] as number)).toBeLessThan(3 * MIB);
}, 900_000);
