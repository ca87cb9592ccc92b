/**
 * Recording: whoever hands something over never waits. One thing after the other goes to the disk, so a disk that stands still holds one thread of the
 * pool and no more. While it does, lines are held in memory, up to 16 MiB of them, and pictures are dropped; what is not recorded is counted, and told in the
 * record by a `lost` line as soon as that can be written.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { MiphaError, optionError } from '../errors.js';
import type { RecordClock } from './age.js';
import { type Lane, type Moment, writeBatch } from './batch.js';
import { codeOf, type Disk, systemDisk } from './disk.js';
import { frameItem, lineItem, type NewFrame, type NewLine, startItem } from './items.js';
import { type LossReason, MOST_LINE_BYTES, type Start } from './lines.js';
import { type Loss, Losses } from './losses.js';
import { Nap } from './nap.js';
import { SYNC_BUDGET_MS } from './open-segment.js';
import { type Held, type Item, LINE_QUEUE_BYTES, PICTURE_QUEUE_BYTES, Queue } from './queue.js';
import { type RecordLimits, Store, WATCH_NAME } from './store.js';

const GATHER_MS = 100; // lines that come together are written together
const MUCH_BYTES = 1 << 20;
const RETRY_MS = 1000;
const TICK_MS = 1000;
const HOUSE_MS = 60_000;
const SYNC_MS = 5000;
const OPEN_MS = 5000;
const LEAST_BYTES = 1 << 20;

export interface RecorderOptions {
  /** Made where it is missing; one process at a time records there. */
  folder: string;
  /** Of this process, unique. */
  session: string;
  limits: RecordLimits;
  clock?: RecordClock;
  /** Called when it changes; null: all is well again. */
  onTrouble?: (trouble: RecorderTrouble | null) => void;
  /** Called after each attempt to write what waits: at least once a second unless the disk stands still. */
  onRound?: () => void;
  disk?: Disk;
  /** Of the lock: a lock of this process with the same name is that of a predecessor who is gone. Default: there is none. */
  lockName?: string;
  /** How long after a failure the disk is tried again; default 1000. */
  retryMs?: number;
}

export interface RecorderTrouble {
  reason: LossReason;
  /** In words. */
  message: string;
  /** `nothing`: lines are held until there is room or the memory for them is full. */
  records: 'lines' | 'nothing';
}

export interface RecorderStatus {
  /** On the disk, as it counts for the budget; 0 until the folder was read. */
  bytes: number;
  segments: number;
  trouble: RecorderTrouble | null;
  /** Not on the disk yet. */
  queued: { lines: number; bytes: number };
  /** Since the recorder was opened, by reason. */
  lost: Partial<Record<LossReason, Loss>>;
}

/** Of one watch: pictures and lines that are not on the disk, and losses that no line tells of. */
export interface Pending extends Loss {
  untold: [LossReason, Loss][];
}

/** One watch of a recorder. */
export interface WatchRecord {
  /** From here on another specification, camera or model is true. */
  start(start: Start): void;
  line(line: NewLine): void;
  /** `jpeg` must not be changed afterwards; null: the frame is recorded without a picture. */
  frame(line: NewFrame, jpeg: Uint8Array | null): void;
}

const systemClock: RecordClock = { now: () => performance.now(), date: () => new Date() };

export class Recorder {
  private readonly lanes = new Map<string, Lane>();
  private readonly held: Held = { lineBytes: 0, pictureBytes: 0 };
  private readonly store: Store;
  private readonly clock: RecordClock;
  private readonly nap = new Nap();
  private readonly running: Promise<void>;
  private waiters: (() => void)[] = [];
  private failing: LossReason | null = null;
  private trouble: RecorderTrouble | null = null;
  private isClosing = false;
  private isAbandoned = false;
  private houseAt = Number.NEGATIVE_INFINITY;
  private syncAt = 0; // of performance.now()

  private constructor(
    private readonly options: RecorderOptions,
    onTried: () => void,
  ) {
    this.clock = options.clock ?? systemClock;
    this.store = new Store(options.folder, options.session, options.limits, this.clock, options.disk ?? systemDisk, options.lockName);
    this.running = this.run(onTried);
  }

  /**
   * A folder where another process records, a disk that cannot be written, or one that does not answer within 5 s, is tried again and again: that is
   * `trouble`, not an error. Throws ERR_OPTION for limits that cannot be.
   */
  static async open(options: RecorderOptions): Promise<Recorder> {
    const { bytes, days, segmentBytes = 1 } = options.limits;
    if (!(bytes >= LEAST_BYTES)) throw optionError('limits.bytes', `a number from ${LEAST_BYTES}`, bytes);
    if (!(days > 0)) throw optionError('limits.days', 'a number above 0', days);
    if (!(segmentBytes > 0)) throw optionError('limits.segmentBytes', 'a number above 0', segmentBytes);
    let recorder: Recorder | undefined;
    const opened = new Promise<void>((resolve) => {
      recorder = new Recorder(options, resolve);
    });
    const timeout = new AbortController();
    await Promise.race([opened, pause(OPEN_MS, undefined, { signal: timeout.signal }).catch(() => {})]);
    timeout.abort();
    return recorder as Recorder;
  }

  /** For a watch that is recorded already: as its start(). */
  watch(name: string, start: Start): WatchRecord {
    const record: WatchRecord = {
      start: (next) => this.hand(name, startItem(this.options.session, name, next, this.moment())),
      line: (line) => this.hand(name, lineItem(line)),
      frame: (line, jpeg) => this.hand(name, frameItem(line, jpeg)),
    };
    record.start(start);
    return record;
  }

  /** An item that was made elsewhere; the first one of a watch is a `start`. */
  hand(watch: string, item: Item): void {
    this.take(this.lane(watch), item);
  }

  /** What was lost before it came here. */
  addLoss(watch: string, reason: LossReason, loss: Loss): void {
    this.lane(watch).losses.add(reason, loss, this.clock.now());
  }

  /** By watch: what is not on the disk yet, and what no `lost` line tells of yet. */
  pending(): [watch: string, Pending][] {
    return [...this.lanes.values()].map(({ watch, queue, losses }) => [watch, { frames: queue.pictures, lines: queue.lines, untold: losses.all }]);
  }

  status(): RecorderStatus {
    const folders = [...this.store.folders.values()];
    const lost: Partial<Record<LossReason, Loss>> = {};
    for (const { losses } of this.lanes.values()) {
      for (const [reason, { frames, lines }] of losses.total) {
        const before = lost[reason] ?? { frames: 0, lines: 0 };
        lost[reason] = { frames: before.frames + frames, lines: before.lines + lines };
      }
    }
    return {
      bytes: folders.length === 0 ? 0 : this.store.usedBytes,
      segments: folders.reduce((sum, { segments }) => sum + segments.length, 0),
      trouble: this.trouble,
      queued: { lines: this.queued, bytes: this.held.lineBytes + this.held.pictureBytes },
      lost,
    };
  }

  /** Resolves when all that was handed over is on the disk, synced, or told as lost; which it never is on a disk that stays in trouble. */
  async flush(): Promise<void> {
    if (this.isClosing) return;
    const settled = new Promise<void>((resolve) => this.waiters.push(resolve));
    this.nap.end('now');
    await settled;
  }

  /** Writes what is held, for so long at most, and lets others record there. What is not written then is counted as lost. */
  async close(budgetMs = 3000): Promise<RecorderStatus> {
    this.isClosing = true;
    this.nap.end('end');
    const timeout = new AbortController();
    await Promise.race([this.running, pause(budgetMs, undefined, { signal: timeout.signal }).catch(() => {})]);
    timeout.abort();
    this.isAbandoned = true;
    for (const { queue, losses } of this.lanes.values()) {
      losses.add(this.failing ?? 'slow', { frames: queue.dropPictures(), lines: queue.lines }, this.clock.now());
      queue.shift(queue.length);
    }
    for (const resolve of this.waiters.splice(0)) resolve();
    return this.status();
  }

  private lane(watch: string): Lane {
    if (!WATCH_NAME.test(watch)) throw optionError('watch', 'a name of lower-case letters, digits and hyphens', watch);
    const known = this.lanes.get(watch);
    if (known !== undefined) return known;
    const lane: Lane = { watch, queue: new Queue(this.held), losses: new Losses(), start: null, startedIn: null };
    this.lanes.set(watch, lane);
    return lane;
  }

  private moment(): { at: string; mono_ms: number } {
    return { at: this.clock.date().toISOString(), mono_ms: this.clock.now() };
  }

  private take({ queue, losses }: Lane, item: Item): void {
    const now = this.clock.now();
    const frames = item.jpeg === null ? 0 : 1;
    const reason: LossReason | null = this.isClosing
      ? 'error'
      : item.bytes > MOST_LINE_BYTES
        ? 'budget'
        : item.start === undefined && !queue.fits(item.bytes)
          ? (this.failing ?? 'slow')
          : null;
    if (reason !== null) {
      losses.add(reason, { frames, lines: item.start === undefined ? 1 : 0 }, now);
      if (reason === 'slow') this.isSlow('lines are not recorded');
      return;
    }
    if (item.jpeg !== null && (this.failing !== null || !queue.pictureFits(item.jpeg.length))) {
      item.jpeg = null;
      losses.add(this.failing ?? 'slow', { frames }, now);
      if (this.failing === null) this.isSlow('pictures are not recorded');
    }
    queue.push(item);
    this.nap.end(this.held.lineBytes + this.held.pictureBytes > MUCH_BYTES ? 'now' : 'work');
  }

  private async run(onTried: () => void): Promise<void> {
    for (let isFirst = true; !this.isAbandoned; isFirst = false) {
      try {
        await this.store.open();
        if (isFirst) onTried();
        await this.work();
        this.failing = null;
        if (this.isSettled) {
          for (const resolve of this.waiters.splice(0)) resolve();
          if (this.isClosing) break;
        }
        await this.rest();
      } catch (error) {
        this.fail(error);
        this.options.onRound?.();
        if (isFirst) onTried();
        if (this.isClosing) break;
        await this.nap.for(this.options.retryMs ?? RETRY_MS, 'end', this.waiters.length > 0);
        await this.store.look().catch(() => {}); // the reason may be that somebody removed it
      }
    }
    await this.store.close().catch((error: unknown) => this.fail(error));
  }

  /** One batch of each watch, and what is due besides. */
  private async work(): Promise<void> {
    let pictures: boolean | null = null;
    for (const lane of this.lanes.values()) {
      if (this.isAbandoned) return;
      const now = this.clock.now();
      const tellAll = this.isClosing || this.waiters.length > 0;
      if (lane.queue.length === 0 && lane.losses.due(now, tellAll).length === 0) continue;
      const repeat = (start: Start) => startItem(this.options.session, lane.watch, start, this.moment(), true);
      const moment: Moment = { monoMs: now, at: this.clock.date().toISOString(), tellAll, startItem: repeat };
      const room = await writeBatch(this.store, lane, moment);
      pictures = pictures === false ? false : (room ?? pictures);
    }
    this.options.onRound?.(); // what follows may take much longer
    if (this.clock.now() - this.houseAt >= HOUSE_MS) {
      await this.store.keepHouse();
      this.houseAt = this.clock.now();
    }
    const begun = performance.now();
    if (this.store.isDirty && (begun >= this.syncAt || (this.queued === 0 && (this.isClosing || this.waiters.length > 0)))) {
      await this.store.sync(this.waiters.length > 0 ? Number.POSITIVE_INFINITY : SYNC_BUDGET_MS);
      this.syncAt = performance.now() + Math.max(SYNC_MS, performance.now() - begun); // at most half of the time is spent on it
    }
    await this.tellHowItGoes(pictures);
  }

  /** `pictures`: whether there was room for those that came; null: none came. */
  private async tellHowItGoes(pictures: boolean | null): Promise<void> {
    const isBehind = this.held.pictureBytes > PICTURE_QUEUE_BYTES / 2 || this.held.lineBytes > LINE_QUEUE_BYTES / 2;
    if (pictures === false) this.tell({ reason: 'full', message: `${this.options.folder}: the disk is nearly full`, records: 'lines' });
    else if (this.trouble?.reason === 'slow' && isBehind) return;
    else if (this.trouble?.records === 'lines' && pictures === null && !(await this.store.space()).plenty) return;
    else this.tell(null);
  }

  private async rest(): Promise<void> {
    if (this.queued === 0 && !this.isUrgent) await this.nap.for(TICK_MS, 'work', false);
    if (this.queued > 0 && !this.isUrgent) await this.nap.for(GATHER_MS, 'now', false);
  }

  private get isUrgent(): boolean {
    return this.isClosing || this.waiters.length > 0 || this.held.lineBytes + this.held.pictureBytes > MUCH_BYTES;
  }

  private get queued(): number {
    return [...this.lanes.values()].reduce((sum, { queue }) => sum + queue.length, 0);
  }

  private get isSettled(): boolean {
    return this.queued === 0 && !this.store.isDirty && [...this.lanes.values()].every(({ losses }) => losses.isTold);
  }

  private fail(error: unknown): void {
    this.failing = reasonOf(error);
    const now = this.clock.now();
    for (const { queue, losses } of this.lanes.values()) losses.add(this.failing, { frames: queue.dropPictures() }, now);
    const { message } = error as Error;
    const where = error instanceof MiphaError ? '' : `${this.options.folder}: `; // ours name it
    this.tell({ reason: this.failing, message: `${where}${message}`, records: 'nothing' });
  }

  private isSlow(what: string): void {
    this.tell({ reason: 'slow', message: `${this.options.folder}: the disk does not keep up, ${what}`, records: 'nothing' });
  }

  private tell(trouble: RecorderTrouble | null): void {
    const isSame = trouble?.reason === this.trouble?.reason && trouble?.records === this.trouble?.records;
    this.trouble = trouble;
    if (!isSame) this.options.onTrouble?.(trouble);
  }
}

const REASONS: Readonly<Record<string, LossReason>> = { ENOSPC: 'full', EDQUOT: 'full', EROFS: 'read_only', ERR_BUSY: 'locked' };

function reasonOf(error: unknown): LossReason {
  return REASONS[codeOf(error)] ?? 'error';
}
