/**
 * Lines to a descriptor whose reader may be slow, stalled or gone, without ever waiting for it: what does not fit into the pipe is held in memory,
 * what does not fit there is dropped and counted.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';

const CAPACITY_BYTES = 1 << 20;
const FIRST_RETRY_MS = 5;
const MOST_RETRY_MS = 100;
const FLUSH_MS = 250; // without progress; a reader that reads gets ten times that in all

export interface LineWriterOptions {
  /** Writes some of the bytes now and returns how many; throws with code EAGAIN when it would have to wait. */
  write: (bytes: Buffer) => number;
  capacityBytes?: number;
}

interface Held {
  bytes: Buffer;
  /** Dropped lines that this one tells of; 0: an ordinary line. */
  tells: number;
}

export class LineWriter {
  /** The line that tells, once the reader reads again, how many were dropped in between. */
  notice: (lines: number) => string = (lines) => `${droppedLines(lines)}\n`;
  private readonly held: Held[] = [];
  private heldBytes = 0;
  private begun = 0; // bytes of the first held line that are written
  private gap = 0; // lines dropped since the last notice
  private total = 0;
  private timer: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;

  constructor(private readonly options: LineWriterOptions) {}

  /** Lines dropped so far. */
  get dropped(): number {
    return this.total;
  }

  /** Never throws and never waits. Once a line was dropped, all are until the reader has read what is held: the gap is in one place. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    const { capacityBytes = CAPACITY_BYTES } = this.options;
    const room = this.held.length === 0 ? bytes.length <= capacityBytes : this.gap === 0 && this.heldBytes + bytes.length <= capacityBytes;
    if (!room) {
      this.drop(1);
      return;
    }
    if (this.gap > 0) this.holdNotice();
    this.hold(bytes, 0);
    if (this.timer === undefined) this.pump();
  }

  /** For the end of a process: what the reader takes within a moment. Waits, for 250 ms without progress and 2.5 s in all at most. */
  flushSync(): void {
    const end = performance.now() + 10 * FLUSH_MS;
    let progressAt = performance.now();
    for (let before = this.left(); before > 0; ) {
      this.pump();
      const now = performance.now();
      const after = this.left();
      if (after < before) progressAt = now;
      before = after;
      if (after === 0 || now > end || now - progressAt > FLUSH_MS) break;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FIRST_RETRY_MS);
    }
  }

  /** Writes until all is written, the reader is slow, or it is gone. */
  private pump(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    try {
      for (let first = this.held[0]; first !== undefined; first = this.held[0]) {
        this.begun += this.options.write(first.bytes.subarray(this.begun));
        this.retryMs = FIRST_RETRY_MS;
        if (this.begun < first.bytes.length) continue;
        this.held.shift();
        this.heldBytes -= first.bytes.length;
        this.begun = 0;
        if (this.held.length === 0 && this.gap > 0) this.holdNotice();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') this.retryLater();
      else this.dropHeld(); // the reader is gone, or the disk is full; the next line is tried again
    }
  }

  private retryLater(): void {
    this.timer = setTimeout(() => this.pump(), this.retryMs).unref();
    this.retryMs = Math.min(MOST_RETRY_MS, this.retryMs * 2);
  }

  private hold(bytes: Buffer, tells: number): void {
    this.held.push({ bytes, tells });
    this.heldBytes += bytes.length;
  }

  private holdNotice(): void {
    this.hold(Buffer.from(this.notice(this.gap)), this.gap);
    this.gap = 0;
  }

  private drop(lines: number): void {
    this.gap += lines;
    this.total += lines;
  }

  private dropHeld(): void {
    for (const { tells } of this.held.splice(0)) {
      if (tells > 0) this.gap += tells;
      else this.drop(1);
    }
    this.heldBytes = 0;
    this.begun = 0;
  }

  private left(): number {
    return this.heldBytes - this.begun;
  }
}

export function droppedLines(lines: number): string {
  return lines === 1 ? '1 line was dropped while nobody read the log' : `${lines} lines were dropped while nobody read the log`;
}

let stdout: LineWriter | undefined;

/** The one writer of this process's stdout. What is held when the process ends by itself is flushed. */
export function stdoutWriter(): LineWriter {
  if (stdout !== undefined) return stdout;
  const descriptor = withoutWaiting(1);
  const writer = new LineWriter({ write: (bytes) => writeSync(descriptor, bytes) });
  process.on('exit', () => writer.flushSync());
  stdout = writer;
  return writer;
}

/** A descriptor for the same file as `fd` on which a write never waits. Disks are fast enough; they have no such thing anyway. */
function withoutWaiting(fd: 1 | 2): number {
  const status = fstatSync(fd);
  if (status.isFIFO() || status.isCharacterDevice()) {
    try {
      // an open file of its own: a shell that shares this pipe or terminal must not find it changed
      return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch {
      // of another user
    }
  }
  // libuv makes pipes and sockets non-blocking as soon as there is a stream for them
  if (status.isFIFO() || status.isSocket()) void (fd === 1 ? process.stdout : process.stderr);
  return fd;
}
