/**
 * A recorder against a count of what it was given: whatever is recorded, fails, waits, ends and begins again in whatever order. Everything is on the disk,
 * in order, or counted as lost, exactly; the index says what is there; the budget holds at every moment.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { it } from 'vitest';
import { systemDisk } from '../../src/record/disk.js';
import type { RecordLine } from '../../src/record/lines.js';
import { Recorder, type RecorderStatus } from '../../src/record/recorder.js';
import { survey } from '../../src/record/survey.js';
import { counts } from '../support/counts.js';
import { type Dice, runSequences } from '../support/sequences.js';
import { answerLine, diskError, diskUsage, diskWith, frameLine, jpeg, MIB, onDisk, readAll, START, TestClock } from './support.js';

type Operation =
  | { do: 'record'; watch: string; frames: number; bytes: number; text: number }
  | { do: 'start'; watch: string }
  | { do: 'flush' }
  | { do: 'fail'; calls: number; every: number; code: string; half: boolean }
  | { do: 'hang' }
  | { do: 'release' }
  | { do: 'pass'; ms: number }
  | { do: 'jump'; ms: number }
  | { do: 'reopen'; index: 'kept' | 'missing' | 'torn' };

const WATCHES = ['door', 'yard'];
const YEARS = 365 * 86_400_000;

function make({ below, oneOf, weighted }: Dice): Operation[] {
  const one = (): Operation => {
    const kind = weighted({ record: 40, start: 3, flush: 15, fail: 8, hang: 3, release: 6, pass: 5, jump: 3, reopen: 6 });
    switch (kind) {
      case 'record':
        return {
          do: kind,
          watch: oneOf(WATCHES),
          frames: below(12),
          bytes: oneOf([8, 3000, 20_000, 90_000]),
          text: oneOf([1, 500, 20_000, 120_000]),
        };
      case 'start':
        return { do: kind, watch: oneOf(WATCHES) };
      case 'fail':
        return { do: kind, calls: 1 + below(4), every: 1 + below(3), code: oneOf(['ENOSPC', 'EIO', 'EROFS', 'EACCES']), half: below(2) === 0 };
      case 'pass':
        return { do: kind, ms: oneOf([10, 2000, 61_000, 3_600_000]) };
      case 'jump':
        return { do: kind, ms: oneOf([-50 * YEARS, -1000, 1000, 20 * YEARS]) };
      case 'reopen':
        return { do: kind, index: oneOf(['kept', 'missing', 'torn']) };
      default:
        return { do: kind };
    }
  };
  return Array.from({ length: 3 + below(25) }, one);
}

function must(rule: string, holds: boolean, more: unknown = ''): void {
  if (!holds) throw new Error(`${rule} ${more === '' ? '' : JSON.stringify(more)}`);
}

/** `budget`: small enough that segments are deleted; then what is on the disk is the newest of what was not lost. */
async function run(operations: readonly Operation[], budget: number): Promise<void> {
  const outer = await mkdtemp(join(tmpdir(), 'mipha-model-'));
  const folder = join(outer, 'record');
  const clock = new TestClock();
  let failing: { half: boolean; left: number; every: number; error: () => Error; seen: number } | null = null;
  let hanging: { released: Promise<void>; release: () => void } | null = null;
  let most = 0;
  const disk = diskWith(async (call) => {
    await hanging?.released;
    if (budget < 64 * MIB && ['mkdir', 'writeFile', 'write'].includes(call)) most = Math.max(most, await diskUsage(folder));
    if (failing === null || ['readdir', 'readFile', 'read', 'stat', 'statfs'].includes(call)) return;
    if (failing.seen++ % failing.every !== 0) return;
    if (--failing.left <= 0) {
      const { error } = failing;
      failing = null;
      throw error();
    }
    throw failing.error();
  });
  const open = (session: string) => Recorder.open({ folder, session, limits: { bytes: budget, days: 14 }, clock, disk, retryMs: 5 });
  const release = () => {
    hanging?.release();
    hanging = null;
  };
  const given: Record<string, number[]> = { door: [], yard: [] }; // numbers of answers and frames, in order
  let [lines, pictures, number, session] = [0, 0, 0, 1];
  const lost = { lines: 0, frames: 0 };
  const addLost = (status: RecorderStatus) => {
    for (const { lines: lostLines, frames } of Object.values(status.lost)) {
      lost.lines += lostLines;
      lost.frames += frames;
    }
  };
  let recorder = await open('s1');
  const record = (watch: string) => recorder.watch(watch, START);
  let handles = Object.fromEntries(WATCHES.map((watch) => [watch, record(watch)]));
  try {
    for (const operation of [...operations, { do: 'release' } as const, { do: 'flush' } as const]) {
      switch (operation.do) {
        case 'record':
          for (let n = 0; n < operation.frames; n++) {
            const handle = handles[operation.watch];
            handle?.frame(frameLine(++number, clock, { skipped: 'x'.repeat(operation.text) }), jpeg(operation.bytes, number));
            handle?.line(answerLine(++number, clock));
            given[operation.watch]?.push(number - 1, number);
            lines += 2;
            pictures++;
          }
          break;
        case 'start':
          handles[operation.watch]?.start(START);
          break;
        case 'flush':
          if (hanging === null) await recorder.flush();
          break;
        case 'fail':
          failing = {
            half: operation.half,
            left: operation.calls,
            every: operation.every,
            error: () => diskError(operation.code, operation.half),
            seen: 0,
          };
          break;
        case 'hang':
          if (hanging === null) {
            let let_: () => void = () => {};
            hanging = { released: new Promise((resolve) => (let_ = resolve)), release: () => let_() };
          }
          break;
        case 'release':
          release();
          break;
        case 'pass':
          clock.pass(operation.ms);
          break;
        case 'jump':
          clock.jump(operation.ms);
          break;
        case 'reopen':
          release();
          if (failing?.half) failing = null; // half a batch that could not be cut off would be on the disk and counted as lost
          addLost(await recorder.close(20_000));
          failing = null;
          for (const watch of operation.index === 'kept' ? [] : WATCHES) {
            const path = join(folder, watch, 'index.json');
            const text = await readFile(path, 'utf8').catch(() => '');
            await rm(path, { force: true });
            if (text !== '' && operation.index === 'torn') await systemDisk.writeFile(path, text.slice(0, text.length >> 1));
          }
          recorder = await open(`s${++session}`);
          handles = Object.fromEntries(WATCHES.map((watch) => [watch, record(watch)]));
          break;
      }
    }
    failing = null;
    const status = await recorder.close(20_000);
    addLost(status);
    must('all is well at the end', status.trouble === null, status);
    const found = { lines: 0, pictures: 0 };
    for (const watch of WATCHES) {
      const path = join(folder, watch);
      const mayHaveOrphans = operations.some((operation) => operation.do === 'fail'); // of a disk that takes nothing away either
      if (!mayHaveOrphans) must('no picture without a line', (await onDisk(folder, watch)).orphans.length === 0);
      const indexed = await survey(systemDisk, path);
      const there = await onDisk(folder, watch);
      must('no picture without a line', there.orphans.length === 0, there.orphans);
      must('no line without its picture', there.missing.length === 0, there.missing);
      const numbers = there.lines.map(numberOf).filter((n) => n !== null);
      must('each once, in order', numbers.every((n, i) => n > (numbers[i - 1] ?? 0)) && numbers.every((n) => given[watch]?.includes(n)));
      found.lines += numbers.length;
      found.pictures += there.pictures;
      const { all, reading } = await readAll(folder, { watch });
      const read = all.map(({ line }) => numberOf(line)).filter((n) => n !== null);
      must('the reader reads the same', JSON.stringify(read) === JSON.stringify(numbers) && reading.damaged === 0 && reading.missingPictures === 0);
      await rm(join(path, 'index.json'));
      const rebuilt = await survey(systemDisk, path);
      must('the index is what can be counted', isDeepStrictEqual(indexed.segments, rebuilt.segments), [indexed.segments, rebuilt.segments]);
      must('and was believed', indexed.segments.length < 2 || !rebuilt.indexIsTrue);
    }
    if (budget < 64 * MIB) {
      must('the budget holds', Math.max(most, await diskUsage(folder)) <= budget, { most, budget });
      must('the budget is used', lost.lines === lines || found.lines > 0, { found, lost, lines });
    } else {
      must('lines: written = on the disk + lost', found.lines + lost.lines === lines, { found, lost, lines });
      must('pictures: written = on the disk + lost', found.pictures + lost.frames === pictures, { found, lost, pictures });
    }
  } finally {
    release();
    await recorder.close(1000);
    await rm(outer, { recursive: true, force: true });
  }
}

function numberOf(line: RecordLine): number | null {
  return line.kind === 'frame' ? line.content : line.kind === 'answer' ? Number(line.id.split('-')[1]) : null;
}

it('has everything on the disk or counted as lost, in any order of events', async () => {
  await runSequences(counts(25, 150), { make, run: (operations) => run(operations, 1024 * MIB) });
}, 900_000);

it('never takes more than its budget, in any order of events', async () => {
  await runSequences(counts(8, 60), { make, run: (operations) => run(operations, MIB) });
}, 900_000);
