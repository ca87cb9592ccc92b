/** Things to record, a disk that misbehaves, a clock that is set, and independent looks at what is on the disk. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { RecordClock } from '../../src/record/age.js';
import { type Disk, type DiskFile, systemDisk } from '../../src/record/disk.js';
import type { AnswerLine, FrameLine, RecordLine, Start } from '../../src/record/lines.js';
import { type Reading, type Recorded, readRecord } from '../../src/record/read.js';
import { Recorder, type RecorderOptions } from '../../src/record/recorder.js';

export const MIB = 1 << 20;
export const START: Start = { camera: 'front', spec: { question: 'Is the door open?' }, timezone: 'UTC', model: { name: 'nano', hash: 'abc' } };

export class TestClock implements RecordClock {
  ms = 1000;
  wallMs = Date.parse('2026-03-01T12:00:00Z');
  now(): number {
    return this.ms;
  }
  date(): Date {
    return new Date(this.wallMs);
  }
  pass(ms: number): void {
    this.ms += ms;
    this.wallMs += ms;
  }
  jump(ms: number): void {
    this.wallMs += ms;
  }
}

/** Bytes that begin and end as a JPEG does and say which they are. */
export function jpeg(bytes: number, which = 0): Buffer {
  const picture = Buffer.alloc(Math.max(bytes, 8), which & 0xff);
  picture.writeUInt16BE(0xffd8, 0);
  picture.writeUInt32BE(which, 2);
  picture.writeUInt16BE(0xffd9, picture.length - 2);
  return picture;
}

export function frameLine(number: number, clock: RecordClock, more: Partial<FrameLine> = {}): Omit<FrameLine, 'file' | 'bytes'> {
  const times = { at: clock.date().toISOString(), mono_ms: clock.now(), decided_ms: clock.now() + 1 };
  const content = { width: 1280, height: 720, content: number, share: null, against: null, asked: true, skipped: null, confirms: false };
  return { kind: 'frame', id: `front-1-${number}`, ...times, ...content, ...more };
}

export function answerLine(number: number, clock: RecordClock, text = 'yes', session = 'one'): AnswerLine {
  const times = { at: clock.date().toISOString(), mono_ms: clock.now() };
  return {
    kind: 'answer',
    id: `${session}-${number}`,
    frame: null,
    ...times,
    observed: true,
    confidence: 0.9,
    text,
    value: true,
    status: 'ok',
    error: null,
  };
}

export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mipha-record-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'record');
}

export async function openRecorder(options: Partial<RecorderOptions> & { folder: string }): Promise<Recorder> {
  const recorder = await Recorder.open({ session: 'one', limits: { bytes: 64 * MIB, days: 14 }, ...options });
  onTestFinished(async () => void (await recorder.close()));
  return recorder;
}

/** A frame with its picture and its answer each second, over several segments. */
export async function recorded(count: number, segmentBytes = 60_000) {
  const folder = await newFolder();
  const clock = new TestClock();
  const recorder = await openRecorder({ folder, clock, limits: { bytes: 64 * MIB, days: 14, segmentBytes } });
  const door = recorder.watch('door', START);
  for (let n = 0; n < count; n++) {
    door.frame(frameLine(n, clock), jpeg(10_000, n));
    door.line(answerLine(n, clock));
    clock.pass(1000);
  }
  await recorder.flush();
  return { folder, clock, recorder, door };
}

export async function readAll(
  folder: string,
  options: Partial<Parameters<typeof readRecord>[1]> = {},
): Promise<{ all: Recorded[]; reading: Reading }> {
  const reading = readRecord(folder, { watch: 'door', ...options });
  const all: Recorded[] = [];
  for await (const recorded of reading) all.push(recorded);
  return { all, reading };
}

/** Counted without the reader: every line parsed, every file looked at. */
export interface OnDisk {
  lines: RecordLine[];
  frames: number;
  answers: number;
  pictures: number;
  lostFrames: number;
  lostLines: number;
  /** Files of pictures that no line names. */
  orphans: string[];
  /** Pictures that a line names and that are not there, or not as long. */
  missing: string[];
}

export async function onDisk(folder: string, watch = 'door'): Promise<OnDisk> {
  const found: OnDisk = { lines: [], frames: 0, answers: 0, pictures: 0, lostFrames: 0, lostLines: 0, orphans: [], missing: [] };
  const path = join(folder, watch);
  for (const segment of (await readdir(path)).filter((name) => /^\d+$/.test(name)).sort()) {
    const files = new Set((await readdir(join(path, segment))).filter((name) => name !== 'log.ndjson'));
    const text = await readFile(join(path, segment, 'log.ndjson'), 'utf8');
    if (text !== '' && !text.endsWith('\n')) throw new Error(`${segment} ends in half a line`);
    const lines = text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as RecordLine);
    if (lines.length > 0 && lines[0]?.kind !== 'start') throw new Error(`${segment} does not begin with a start`);
    for (const line of lines) {
      found.lines.push(line);
      if (line.kind === 'answer') found.answers++;
      if (line.kind === 'lost') found.lostFrames += line.frames;
      if (line.kind === 'lost') found.lostLines += line.lines;
      if (line.kind !== 'frame') continue;
      found.frames++;
      if (line.file === null) continue;
      const size = files.has(line.file) ? (await stat(join(path, segment, line.file))).size : -1;
      files.delete(line.file);
      if (size === line.bytes) found.pictures++;
      else found.missing.push(`${segment}/${line.file}`);
    }
    found.orphans.push(...[...files].map((file) => `${segment}/${file}`));
  }
  return found;
}

/** What a folder takes on a disk with blocks of 4 KiB. */
export async function diskUsage(folder: string): Promise<number> {
  let sum = 4096;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    try {
      sum += entry.isDirectory() ? await diskUsage(path) : Math.ceil((await stat(path)).size / 4096) * 4096;
    } catch {
      // gone meanwhile
    }
  }
  return sum;
}

/**
 * What happens before a call to the disk: `write`, `writeFile`, `rename`, ...; it may wait, or throw as the disk would. What is thrown with `half` comes after
 * half of the bytes were written.
 */
export type Mishap = (call: string, path: string) => void | Promise<void>;

export function diskWith(mishap: Mishap): Disk {
  const guarded =
    (call: string, path: string | null, work: (...args: unknown[]) => Promise<unknown>, bytesAt: number) =>
    async (...args: unknown[]): Promise<unknown> => {
      try {
        await mishap(call, path ?? String(args[0]));
      } catch (error) {
        const bytes = args[bytesAt];
        if ((error as { half?: boolean }).half && bytes instanceof Buffer) await work(...args.with(bytesAt, bytes.subarray(0, bytes.length >> 1)));
        throw error;
      }
      return await work(...args);
    };
  const of = <K extends keyof Disk>(call: K): Disk[K] => guarded(call, null, systemDisk[call] as never, 1) as never;
  const open = async (...args: Parameters<Disk['open']>): Promise<DiskFile> => {
    const path = String(args[0]);
    await mishap('open', path);
    const file = await systemDisk.open(...args);
    for (const call of ['write', 'datasync', 'sync', 'truncate', 'read'] as const) {
      Object.assign(file, { [call]: guarded(call, path, (file[call] as (...given: unknown[]) => Promise<unknown>).bind(file), 0) });
    }
    return file;
  };
  const [mkdir, readdir, readFile, rename] = [of('mkdir'), of('readdir'), of('readFile'), of('rename')];
  return { open, mkdir, readdir, readFile, rename, rm: of('rm'), stat: of('stat'), statfs: of('statfs'), writeFile: of('writeFile') };
}

export function diskError(code: string, half = false): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: as the test wants it`), { code, half });
}

/** Everything but syncing, which takes most of the time of a simulation. */
export const unsyncedDisk: Disk = {
  ...systemDisk,
  open: async (...args: Parameters<Disk['open']>) =>
    Object.assign(await systemDisk.open(...args), { sync: async () => {}, datasync: async () => {} }),
};
