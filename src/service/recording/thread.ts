/**
 * A recorder in a thread of its own, as the main thread sees it: nothing here waits for a disk or an encoder. Frames are copied once, for all watches. A
 * thread that dies is begun anew; what it held is counted as lost, and told in the record by the next one.
 */
import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { Backoff } from '../../backoff.js';
import type { Frame } from '../../camera/frame.js';
import { loadEncoder } from '../../camera/jpeg.js';
import { frameItem, lineItem, type NewFrame, type NewLine, startItem } from '../../record/items.js';
import type { LossReason, Start } from '../../record/lines.js';
import type { Loss } from '../../record/losses.js';
import { type Item, LINE_QUEUE_BYTES } from '../../record/queue.js';
import type { RecorderStatus, RecorderTrouble } from '../../record/recorder.js';
import type { RecordLimits } from '../../record/store.js';
import { within } from '../../watch/within.js';
import { FrameSlots } from './frame-slots.js';
import type { PictureName } from './intake.js';
import type { FromThread, Report, ThreadSettings, ToThread } from './messages.js';

export interface RecordThreadOptions {
  folder: string;
  /** Of this process, unique. */
  session: string;
  limits: RecordLimits;
  quality: number; // of JPEGs, 1 to 100
  /** Called when it changes; null: all is well again. */
  onTrouble?: (trouble: RecorderTrouble | null) => void;
  /** For tests: what runs in the thread. */
  program?: URL;
}

export interface RecordThreadStatus extends Pick<RecorderStatus, 'bytes' | 'segments' | 'trouble' | 'queued' | 'lost'> {
  /** Not encoded: too many at a time, damaged, or withdrawn. */
  picturesDropped: number;
}

/** Being encoded at a time. */
const MOST_PICTURES = 4;
const AGAIN = { firstMs: 1000, mostMs: 60_000 };
const PROVEN_MS = 60_000; // a thread that lived so long is begun anew soon
const GRACE_MS = 500;
/** Where sources are run as they are, which only tests do, the thread is that of dist: it has no loader for sources. */
const PROGRAM = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/service/recording/worker.js' : './worker.js', import.meta.url);

/** That was sent and not received, as far as is known: what is lost with it. */
interface Sent extends Loss {
  watch: string;
  bytes: number;
  /** Lost already, and told by this message. */
  reason: LossReason | null;
}

const NOTHING: Sent = { watch: '', frames: 0, lines: 0, bytes: 0, reason: null };

export class RecordThread {
  private worker: Worker | null = null;
  private report: Report | null = null; // the last one of the present thread
  private disk = { bytes: 0, segments: 0 };
  private readonly starts = new Map<string, Start>(); // in force
  private outbox: ToThread[] = [];
  private outboxTimer: NodeJS.Immediate | undefined;
  private sent: Sent[] = [];
  private receivedBefore = 0; // messages of the present thread that are not in `sent` any more
  private sentBytes = 0;
  private readonly slots = new FrameSlots(MOST_PICTURES);
  private pictureNumber = 0;
  private readonly withdrawn = new BigInt64Array(new SharedArrayBuffer(8));
  private picturesDropped = 0; // here, and by threads that are gone
  /** Told by threads that are gone. */
  private readonly told = new Map<LossReason, Loss>();
  /** To be told: by watch. */
  private readonly untold = new Map<string, Map<LossReason, Loss>>();
  private trouble: RecorderTrouble | null = null;
  private waiters: { kind: 'opened' | 'flushed' | 'closed'; resolve: () => void }[] = [];
  private readonly backoff = new Backoff(AGAIN);
  private againTimer: NodeJS.Timeout | undefined;
  private gone: Promise<void> = Promise.resolve();
  private isClosing = false;
  private isClosed = false; // in good order
  private readonly lockName = randomUUID();

  private constructor(private readonly options: RecordThreadOptions) {}

  /** Resolves when the recorder has tried to open its folder. Whatever is wrong is `trouble`, not an error. */
  static async open(options: RecordThreadOptions): Promise<RecordThread> {
    await loadEncoder();
    const thread = new RecordThread(options);
    const opened = thread.wait('opened');
    thread.begin();
    await opened;
    return thread;
  }

  /** What is true of the watch from here on. Comes before all else of a watch. */
  start(watch: string, start: Start): void {
    this.starts.set(watch, start);
    const times = { at: new Date().toISOString(), mono_ms: performance.now() };
    this.hand(watch, startItem(this.options.session, watch, start, times), null);
  }

  line(watch: string, line: NewLine): void {
    this.hand(watch, lineItem(line), null);
  }

  /** `picture`: of the newest frame of its camera that picture() took; null: none. */
  frame(watch: string, line: NewFrame, picture: PictureName | null): void {
    this.hand(watch, frameItem(line, null), picture);
  }

  /** Copies the pixels. Null: it will have no picture, for others are being encoded or there is no thread. */
  picture(camera: string, { data, width, height, format }: Frame): PictureName | null {
    const slot = this.worker === null ? null : this.slots.put(data);
    if (slot === null) {
      this.picturesDropped++;
      return null;
    }
    const name = { camera, number: ++this.pictureNumber };
    this.send({ kind: 'picture', name, pixels: { memory: slot.memory, bytes: data.length, width, height, format }, slot: slot.slot });
    return name;
  }

  /** Pictures that were taken so far and are not handed to the recorder yet never are. */
  withdraw(): void {
    Atomics.store(this.withdrawn, 0, BigInt(this.pictureNumber));
  }

  /** What is not handed to the recorder yet of this watch never is. */
  stop(watch: string): void {
    this.starts.delete(watch);
    this.send({ kind: 'stop', watch });
    this.post();
  }

  status(): RecordThreadStatus {
    const { report } = this;
    const lost: Partial<Record<LossReason, Loss>> = { ...report?.lost };
    const add = (reason: LossReason, { frames, lines }: Loss) => {
      const before = lost[reason] ?? { frames: 0, lines: 0 };
      lost[reason] = { frames: before.frames + frames, lines: before.lines + lines };
    };
    for (const [reason, loss] of this.told) add(reason, loss);
    for (const losses of this.untold.values()) for (const [reason, loss] of losses) add(reason, loss);
    const queued = { ...(report?.queued ?? { lines: 0, bytes: 0 }) };
    for (const { reason, lines, bytes, frames } of this.sent) {
      if (reason !== null) add(reason, { frames, lines });
      else [queued.lines, queued.bytes] = [queued.lines + lines, queued.bytes + bytes];
    }
    return {
      ...this.disk,
      trouble: this.trouble,
      queued,
      lost,
      picturesDropped: this.picturesDropped + (report?.picturesDropped ?? 0),
    };
  }

  /** Resolves when all that was handed over is on the disk, or told as lost; which it never is on a disk that stays in trouble. */
  async flush(): Promise<void> {
    if (this.isClosing) return;
    const flushed = this.wait('flushed');
    this.send({ kind: 'flush' });
    this.post();
    await flushed;
  }

  /** Writes what it can, for so long at most; the thread is gone then, unless a call to the disk holds it. */
  async close(budgetMs: number): Promise<RecordThreadStatus> {
    this.isClosing = true;
    clearTimeout(this.againTimer);
    const { worker } = this;
    if (worker !== null) {
      const closed = this.wait('closed');
      this.send({ kind: 'close', budgetMs });
      this.post();
      await within(closed, budgetMs + GRACE_MS);
      this.worker = null;
      // a thread that a call to the disk holds ends after that, and gives up the folder then
      if (this.isClosed) await within(this.gone, GRACE_MS);
      else void worker.terminate();
      worker.unref();
    }
    if (!this.isClosed) this.loseHeld();
    for (const { resolve } of this.waiters.splice(0)) resolve();
    return this.status();
  }

  private hand(watch: string, item: Item, picture: PictureName | null): void {
    const [frames, lines] = [picture === null ? 0 : 1, item.start === undefined ? 1 : 0];
    if (this.worker === null || this.isClosing) {
      this.lose(watch, 'error', { frames, lines });
    } else if (item.start === undefined && this.sentBytes + item.bytes > LINE_QUEUE_BYTES) {
      this.lose(watch, 'slow', { frames, lines });
      this.tell({ reason: 'slow', message: `${this.options.folder}: the thread that records does not keep up`, records: 'nothing' });
    } else {
      this.send({ kind: 'item', watch, text: item.text, isFrame: item.isFrame, picture }, { watch, frames, lines, bytes: item.bytes, reason: null });
    }
  }

  /** What comes in one turn of the event loop is sent together: waking the other thread takes longer than a message. */
  private send(message: ToThread, sent = NOTHING): void {
    if (this.worker === null) return;
    this.outbox.push(message);
    this.sent.push(sent);
    this.sentBytes += sent.bytes;
    this.outboxTimer ??= setImmediate(() => this.post());
  }

  private post(): void {
    clearImmediate(this.outboxTimer);
    this.outboxTimer = undefined;
    if (this.outbox.length > 0) this.worker?.postMessage(this.outbox);
    this.outbox = [];
  }

  private begin(): void {
    const { folder, session, limits, quality, program = PROGRAM } = this.options;
    const epochMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
    const workerData: ThreadSettings = { folder, session, limits, lockName: this.lockName, quality, withdrawn: this.withdrawn, epochMs };
    const begun = performance.now();
    const worker = new Worker(program, { workerData, execArgv: [], name: 'record' });
    this.worker = worker;
    let why = 'it ended';
    worker.on('message', (message: FromThread) => {
      if (this.worker === worker) this.received(message);
    });
    worker.on('error', (error) => {
      why = error instanceof Error ? error.message : String(error);
    });
    this.gone = new Promise((resolve) => {
      worker.once('exit', () => resolve());
    });
    worker.on('exit', () => {
      if (performance.now() - begun >= PROVEN_MS) this.backoff.reset();
      if (this.worker === worker) this.died(why);
    });
    if (this.waiters.length === 0) worker.unref();
    for (const [watch, start] of this.starts) this.start(watch, start);
    this.handOnLosses();
    for (const { kind } of this.waiters) if (kind === 'flushed') this.send({ kind: 'flush' });
  }

  private received(message: FromThread): void {
    switch (message.kind) {
      case 'report':
        this.take(message.report);
        break;
      case 'closed':
        this.take(message.report);
        this.isClosed = true;
        this.settle('closed');
        break;
      case 'opened':
      case 'flushed':
        this.settle(message.kind);
        break;
      case 'encoded':
        this.slots.free(message.slot);
        break;
    }
  }

  private take(report: Report): void {
    this.report = report;
    this.disk = { bytes: report.bytes, segments: report.segments };
    for (const { bytes } of this.sent.splice(0, report.received - this.receivedBefore)) this.sentBytes -= bytes;
    this.receivedBefore = report.received;
    this.tell(report.trouble);
    if (!this.isClosing) this.handOnLosses();
  }

  private handOnLosses(): void {
    for (const [watch, losses] of this.untold) {
      for (const [reason, loss] of losses) this.send({ kind: 'lost', watch, reason, loss }, { watch, ...loss, bytes: 0, reason });
    }
    this.untold.clear();
  }

  /** What it held is lost. Lines that it was writing may be on the disk nevertheless: it did not come to say so. */
  private died(why: string): void {
    this.worker = null;
    this.loseHeld();
    this.slots.clear();
    this.settle(this.isClosing ? 'closed' : 'opened');
    if (this.isClosing) return;
    this.tell({
      reason: 'error',
      message: `${this.options.folder}: the thread that records has ended, it is begun anew: ${why}`,
      records: 'nothing',
    });
    this.againTimer = setTimeout(() => this.begin(), this.backoff.next()).unref();
  }

  private loseHeld(): void {
    const { report } = this;
    for (const { watch, frames, lines, reason } of this.sent.splice(0)) this.lose(watch, reason ?? 'error', { frames, lines });
    [this.outbox, this.sentBytes, this.receivedBefore, this.report] = [[], 0, 0, null];
    if (report === null) return;
    // losses are taken over: those that a line tells of are only counted, the others are told
    for (const [reason, loss] of Object.entries(report.lost) as [LossReason, Loss][]) count(this.told, reason, loss, 1);
    for (const [watch, { frames, lines, untold }] of report.pending) {
      for (const [reason, loss] of untold) {
        count(this.told, reason, loss, -1);
        this.lose(watch, reason, loss);
      }
      this.lose(watch, 'error', { frames, lines });
    }
    this.picturesDropped += report.picturesDropped;
  }

  private lose(watch: string, reason: LossReason, loss: Loss): void {
    if (loss.frames + loss.lines === 0) return;
    const losses = this.untold.get(watch) ?? new Map<LossReason, Loss>();
    this.untold.set(watch, losses);
    count(losses, reason, loss, 1);
  }

  private async wait(kind: 'opened' | 'flushed' | 'closed'): Promise<void> {
    this.worker?.ref();
    await new Promise<void>((resolve) => this.waiters.push({ kind, resolve }));
  }

  private settle(kind: 'opened' | 'flushed' | 'closed'): void {
    const index = this.waiters.findIndex((waiter) => waiter.kind === kind);
    if (index >= 0) this.waiters.splice(index, 1)[0]?.resolve();
    if (this.waiters.length === 0) this.worker?.unref();
  }

  private tell(trouble: RecorderTrouble | null): void {
    const isSame = trouble?.reason === this.trouble?.reason && trouble?.records === this.trouble?.records;
    this.trouble = trouble;
    if (!isSame) this.options.onTrouble?.(trouble);
  }
}

function count(losses: Map<LossReason, Loss>, reason: LossReason, { frames, lines }: Loss, sign: 1 | -1): void {
  const before = losses.get(reason) ?? { frames: 0, lines: 0 };
  losses.set(reason, { frames: before.frames + sign * frames, lines: before.lines + sign * lines });
}
