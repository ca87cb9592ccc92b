import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { FrameLine } from '../../src/record/lines.js';
import { counts } from '../support/counts.js';
import { describeWith } from '../support/programs.js';
import { Random } from '../support/random.js';
import { canMount, mounted } from '../support/small-disk.js';
import { answerLine, diskWith, frameLine, jpeg, MIB, newFolder, onDisk, openRecorder, readAll, START, TestClock } from './support.js';

const CHILD = resolve('test/record/child.mjs');

const canTest = canMount('recording on a small and on a read-only file system');

describe.skipIf(!canTest)('a small file system', () => {
  it('is never filled: the record becomes what fits, its oldest part makes room, the newest is there', async () => {
    await mounted(2 * MIB, async (disk) => {
      const folder = join(disk, 'record');
      const clock = new TestClock();
      const recorder = await openRecorder({ folder, limits: { bytes: 1024 * MIB, days: 14 }, clock });
      const door = recorder.watch('door', START);
      let least = Number.POSITIVE_INFINITY;
      for (let n = 0; n < 300; n++) {
        door.frame(frameLine(n, clock), jpeg(20_000, n));
        door.line(answerLine(n, clock));
        if (n % 10 === 0) await recorder.flush();
        const { bavail, bsize } = await statfs(disk);
        least = Math.min(least, bavail * bsize);
      }
      await recorder.flush();
      const { lines, orphans, missing, pictures, lostFrames } = await onDisk(folder);
      expect({ orphans, missing, lostFrames, lost: recorder.status().lost, trouble: recorder.status().trouble }).toEqual({
        orphans: [],
        missing: [],
        lostFrames: 0,
        lost: {},
        trouble: null,
      });
      expect(least).toBeGreaterThan(50_000);
      const frames = lines.filter((line): line is FrameLine => line.kind === 'frame').map(({ content }) => content);
      expect(frames).toEqual(Array.from({ length: frames.length }, (_, i) => 300 - frames.length + i));
      expect(pictures).toBe(frames.length);
      expect(pictures).toBeGreaterThan(50); // 1.0 of 2 MiB
    });
  });

  it('that others fill takes no pictures, then no lines, each counted; what is there stays; and it goes on when there is room', async () => {
    await mounted(2 * MIB, async (disk) => {
      const folder = join(disk, 'record');
      const clock = new TestClock();
      const troubles: unknown[] = [];
      const recorder = await openRecorder({
        folder,
        limits: { bytes: 1024 * MIB, days: 14 },
        clock,
        retryMs: 50,
        onTrouble: (trouble) => troubles.push(trouble && `${trouble.reason}, records ${trouble.records}`),
      });
      const door = recorder.watch('door', START);
      let given = 0;
      const record = (count: number) => {
        for (let n = 0; n < count; n++) {
          door.frame(frameLine(given, clock), jpeg(8000, given));
          door.line(answerLine(given++, clock));
        }
      };
      const fill = async (leave: number) => {
        const { bavail, bsize } = await statfs(disk);
        await writeFile(join(disk, `fill-${given}`), Buffer.alloc(bavail * bsize - leave));
        await pause(1100); // until it is looked at
      };
      record(20);
      await recorder.flush();
      await fill(90_000); // of a margin of 104 858
      record(10);
      await recorder.flush();
      expect(await onDisk(folder)).toMatchObject({ frames: 30, pictures: 20, answers: 30, lostFrames: 10 });
      await fill(0);
      record(10);
      await pause(500);
      expect((await onDisk(folder)).answers).toBe(30);
      for (const name of await readdir(disk)) if (name.startsWith('fill')) await rm(join(disk, name));
      await pause(1500);
      record(10);
      await recorder.flush();
      expect(await onDisk(folder)).toMatchObject({ frames: 50, pictures: 30, answers: 50, lostFrames: 20, lostLines: 0, orphans: [], missing: [] });
      expect(troubles).toEqual(['full, records lines', 'full, records nothing', null]);
    });
  });

  it('that becomes read-only keeps what it has; lines wait, pictures are counted; one that is so from the start is no error', async () => {
    await mounted(8 * MIB, async (disk, mount) => {
      const folder = join(disk, 'record');
      const clock = new TestClock();
      const recorder = await openRecorder({ folder, clock, retryMs: 50 });
      const door = recorder.watch('door', START);
      door.frame(frameLine(1, clock), jpeg(5000));
      await recorder.flush();
      await recorder.close();
      mount('remount,ro,');
      const again = await openRecorder({ folder, clock, retryMs: 50, session: 'two' });
      expect(again.status().trouble).toMatchObject({ reason: 'read_only', records: 'nothing' });
      const reopened = again.watch('door', START);
      for (let n = 2; n < 10; n++) {
        reopened.frame(frameLine(n, clock), jpeg(5000));
        reopened.line(answerLine(n, clock));
      }
      expect((await readAll(folder)).all).toHaveLength(2);
      mount('remount,rw,');
      await again.flush();
      expect(again.status()).toMatchObject({ trouble: null, lost: { read_only: { frames: 8, lines: 0 } } });
      expect(await onDisk(folder)).toMatchObject({ frames: 9, pictures: 1, answers: 8, lostFrames: 8, orphans: [], missing: [] });
    });
  });
});

describe('a process that is killed', () => {
  it('leaves everything it had confirmed, and a record that can be read and goes on, whenever it happens', async () => {
    const folder = await newFolder();
    const random = new Random(7);
    const rounds = counts(10, 200);
    const confirmed: Record<string, number> = {};
    let mostConfirmed = 0;
    for (let round = 0; round < rounds; round++) {
      const session = `s${round}`;
      const child = spawn(process.execPath, [CHILD, 'endless', folder, session], { stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (more: string) => {
        text += more;
      });
      const closed = once(child, 'close'); // whatever it has said is read then
      while (!text.includes('\n') && round % 4 !== 0) await pause(5); // some die while they open the record
      await pause(random.below(round % 4 === 0 ? 200 : 150));
      child.kill('SIGKILL');
      await closed;
      confirmed[session] = Math.max(0, ...(text.match(/\d+(?=\n)/g) ?? []).map(Number));
      mostConfirmed = Math.max(mostConfirmed, confirmed[session]);
      const { reading } = await readAll(folder); // as it was left
      expect(reading).toMatchObject({ damaged: 0, missingPictures: 0 });
    }
    await (await openRecorder({ folder, session: 'last', limits: { bytes: 1024 * MIB, days: 14 } })).close();
    const there = await onDisk(folder);
    expect(there).toMatchObject({ orphans: [], missing: [], lostFrames: 0, lostLines: 0 });
    const numbers: Record<string, number[]> = {};
    const seen = new Set<string>();
    for (const line of there.lines) {
      if (line.kind === 'frame') {
        const [session = '', number] = line.id.split('-');
        numbers[session] = [...(numbers[session] ?? []), Number(number)];
        seen.add(line.id);
      }
      if (line.kind === 'answer') expect(seen.has(line.id)).toBe(true); // its frame comes first
    }
    for (const [session, least] of Object.entries(confirmed)) {
      const recorded = numbers[session] ?? [];
      expect(recorded).toEqual(Array.from({ length: recorded.length }, (_, i) => i)); // nothing is missing in between
      expect(recorded.length).toBeGreaterThanOrEqual(least);
    }
    expect(mostConfirmed).toBeGreaterThan(20);
  }, 900_000);
});

describe('a disk that stands still', () => {
  it('costs pictures once the memory for them is full, counted, and no line', async () => {
    const folder = await newFolder();
    const clock = new TestClock();
    let release: () => void = () => {};
    const released = new Promise<void>((done) => {
      release = done;
    });
    let isStanding = false;
    const disk = diskWith(async () => (isStanding ? await released : undefined));
    const recorder = await openRecorder({ folder, clock, disk, limits: { bytes: 1024 * MIB, days: 14 } });
    const watches = ['door', 'yard'].map((name) => recorder.watch(name, START));
    isStanding = true;
    for (let n = 0; n < 1000; n++) {
      for (const watch of watches) {
        watch.frame(frameLine(n, clock), jpeg(40_000, n));
        watch.line(answerLine(n, clock, 'x'.repeat(1000)));
      }
    }
    await pause(counts(1000, 10_000));
    expect(recorder.status()).toMatchObject({ trouble: { reason: 'slow' }, queued: { lines: 4002 } });
    expect(recorder.status().queued.bytes).toBeLessThan(32 * MIB);
    isStanding = false;
    release();
    await recorder.flush();
    const lost = recorder.status().lost.slow?.frames ?? 0;
    expect(lost).toBeGreaterThan(1000);
    const [door, yard] = [await onDisk(folder), await onDisk(folder, 'yard')];
    expect([door.frames, yard.frames, door.answers, yard.answers]).toEqual([1000, 1000, 1000, 1000]);
    expect([door.pictures + yard.pictures + lost, door.lostFrames + yard.lostFrames]).toEqual([2000, lost]);
    expect(recorder.status()).toMatchObject({ trouble: null, queued: { lines: 0, bytes: 0 } });
  });

  it('costs lines once the memory for them is full, counted; and whoever closes waits no longer than asked', async () => {
    const folder = await newFolder();
    const clock = new TestClock();
    let isStanding = false;
    let release: () => void = () => {};
    const released = new Promise<void>((done) => {
      release = done;
    });
    const recorder = await openRecorder({ folder, clock, disk: diskWith(async () => (isStanding ? await released : undefined)) });
    const door = recorder.watch('door', START);
    isStanding = true;
    for (let n = 0; n < 3000; n++) door.line(answerLine(n, clock, 'x'.repeat(10_000)));
    const { queued, lost } = recorder.status();
    expect(queued.bytes).toBeLessThanOrEqual(16 * MIB);
    expect(queued.lines + (lost.slow?.lines ?? 0)).toBe(3001); // and a start
    const begun = performance.now();
    const closed = await recorder.close(200);
    expect(performance.now() - begun).toBeLessThan(2000);
    expect(closed.lost.slow).toEqual({ frames: 0, lines: 3000 });
    release();
  });

  describeWith(['gcc'], 'below the system calls', () => {
    it('holds up neither the caller nor other work of the thread pool', async () => {
      const outer = await mkdtemp(join(tmpdir(), 'mipha-block-'));
      try {
        const [library, flag, folder] = [join(outer, 'block.so'), join(outer, 'flag'), join(outer, 'disk', 'record')];
        await mkdir(join(outer, 'disk'));
        const { status, stderr } = spawnSync('gcc', ['-shared', '-fPIC', '-o', library, resolve('test/record/block.c'), '-ldl'], {
          encoding: 'utf8',
        });
        expect([status, stderr]).toEqual([0, '']);
        const env = { ...process.env, LD_PRELOAD: library, BLOCK_WHILE: flag, BLOCK_BELOW: join(outer, 'disk') };
        const args = [CHILD, 'blocked', folder, 'one', flag, String(counts(3000, 10_000))];
        const child: ChildProcess = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout?.setEncoding('utf8').on('data', (more: string) => {
          text += more;
        });
        await once(child, 'close');
        const { number, longestCallMs, longestOtherMs, trouble, queued, lost } = JSON.parse(text);
        expect(queued.lines).toBeGreaterThan(100); // it did stand still
        expect(longestCallMs).toBeLessThan(250); // of a machine that others use too
        expect(longestOtherMs).toBeLessThan(1000);
        const dropped = lost.slow?.frames ?? 0;
        expect(trouble?.reason === 'slow').toBe(dropped > 0);
        const there = await onDisk(folder);
        expect(there).toMatchObject({ frames: number, answers: number, pictures: number - dropped, lostFrames: dropped, orphans: [], missing: [] });
      } finally {
        await rm(outer, { recursive: true, force: true });
      }
    });
  });
});
