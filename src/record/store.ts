/** All that a recorder has on its disk: the folders of its watches, within one budget of bytes and days. Its methods are called one after the other. */
import { dirname, join } from 'node:path';
import { lock } from '../lock.js';
import { makeFolder } from '../make-folder.js';
import { expired, type RecordClock, WallClock } from './age.js';
import { blocks, type Disk, folderBlocks, ifThere, syncPath } from './disk.js';
import type { OpenSegment } from './open-segment.js';
import { footprint, type Segment, seal } from './segment.js';
import { byNumber } from './survey.js';
import { WatchFolder } from './watch-folder.js';

export const WATCH_NAME = /^[a-z0-9-]{1,64}$/;
const SPACE_MS = 1000; // what others write is looked at so often
const MARGIN_SHARE = 0.05;
const MOST_MARGIN_BYTES = 512 << 20;
const SEGMENTS = 16; // at least so many make up the budget: deleting one must not delete the history
const MOST_SEGMENT_MS = 86_400_000;

export interface RecordLimits {
  /** Of all watches together, everything in the recorder's folder included. */
  bytes: number;
  /** A segment whose newest line is older is deleted. */
  days: number;
  /** Of one segment; 8 MiB, or a sixteenth of `bytes` where that is less. */
  segmentBytes?: number;
}

/** What there is room for. */
export interface Space {
  pictures: boolean;
  lines: boolean;
  /** It is not only just so. */
  plenty: boolean;
}

/** There is no room, and deleting what is ours would not make any. */
export class NoRoom extends Error {
  readonly code = 'ENOSPC';
}

export class Store {
  readonly folders = new Map<string, WatchFolder>();
  private unlock: (() => Promise<void>) | null = null;
  private isOpen = false;
  private nextNumber = 1;
  private budgetBytes: number;
  private freeBytes = Number.POSITIVE_INFINITY;
  private marginBytes = 0;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private readonly openedMs: number;
  private readonly wall: WallClock;

  constructor(
    private readonly path: string,
    private readonly session: string,
    private readonly limits: RecordLimits,
    private readonly clock: RecordClock,
    private readonly disk: Disk,
    private readonly lockName?: string,
  ) {
    this.budgetBytes = limits.bytes;
    this.openedMs = clock.now();
    this.wall = new WallClock(clock);
  }

  /** Again after it failed. Throws ERR_BUSY while another process records there, and what the disk says. */
  async open(): Promise<void> {
    if (this.isOpen) return;
    await makeFolder(this.path, 0o700); // pictures are for the owner alone
    this.unlock ??= (await lock(this.path, 'records into this folder', this.lockName)).release;
    const entries = await this.disk.readdir(this.path, { withFileTypes: true });
    for (const name of entries.filter((entry) => entry.isDirectory() && WATCH_NAME.test(entry.name)).map((entry) => entry.name)) {
      if (!this.folders.has(name)) this.folders.set(name, await WatchFolder.open(this.disk, join(this.path, name)));
    }
    const numbers = [...this.folders.values()].map(({ newest }) => Number(newest?.name ?? 0));
    this.nextNumber = Math.max(this.nextNumber, ...numbers.map((number) => number + 1));
    this.isOpen = true;
  }

  /** Of a watch that may be new. */
  async folder(watch: string): Promise<WatchFolder> {
    const there = this.folders.get(watch);
    if (there !== undefined) return there;
    const path = join(this.path, watch);
    await makeFolder(path);
    await syncPath(this.disk, dirname(path));
    const folder = await WatchFolder.open(this.disk, path);
    this.folders.set(watch, folder);
    return folder;
  }

  get usedBytes(): number {
    return [...this.folders.values()].reduce((sum, folder) => sum + folder.footprint, folderBlocks(this.folders.size + 1) + blocks(1));
  }

  get segmentBytes(): number {
    return Math.min(this.limits.segmentBytes ?? 8 << 20, Math.floor(this.budgetBytes / SEGMENTS));
  }

  /** The disk holds less than the limits allow. */
  get isDiskSmall(): boolean {
    return this.budgetBytes < this.limits.bytes;
  }

  /** What one batch may take: deleting for it must not delete the history. */
  get batchBytes(): number {
    return this.budgetBytes / 8;
  }

  /**
   * What may be written. Pictures stop first, at a margin of a twentieth of the disk and 512 MiB at most; lines at a quarter of it. Where the disk is
   * smaller than the budget, what it can hold is the budget; what others write takes nothing from what is there already.
   */
  async space(): Promise<Space> {
    const since = performance.now() - this.lookedAt;
    if (since >= SPACE_MS || this.freeBytes < 2 * this.marginBytes) {
      const { bavail, bsize, blocks: all } = await this.disk.statfs(this.path);
      this.lookedAt = performance.now();
      this.freeBytes = bavail * bsize;
      this.marginBytes = Math.min(MOST_MARGIN_BYTES, MARGIN_SHARE * all * bsize);
      const used = this.usedBytes;
      this.budgetBytes = Math.min(this.limits.bytes, Math.max(used, used + this.freeBytes - 2 * this.marginBytes));
    }
    const of = (share: number) => this.freeBytes >= share * this.marginBytes;
    return { pictures: of(1), lines: of(1 / 4), plenty: of(2) };
  }

  /**
   * Deletes the oldest segments until so many more bytes fit into the budget; false: they cannot. Where it is the disk that is small, and what is ours is
   * little, nothing is deleted: it would not help for long. Lines then take what is left of the margin.
   */
  async makeRoom(bytes: number, areLines = true): Promise<boolean> {
    for (;;) {
      const used = this.usedBytes;
      if (used + bytes <= this.budgetBytes) break;
      const oldest = this.oldest();
      const isWorthIt = oldest !== null && bytes <= this.budgetBytes / 4 && footprint(oldest.segments[0] as Segment) <= used / 4;
      if (!isWorthIt && used + bytes <= this.limits.bytes) {
        if (areLines && this.freeBytes - bytes >= this.marginBytes / 4) break;
        return false;
      }
      if (oldest === null) return false;
      await oldest.removeOldest();
      this.lookedAt = Number.NEGATIVE_INFINITY;
    }
    this.freeBytes -= bytes;
    return true;
  }

  /** The folder with the oldest segment of all. */
  private oldest(): WatchFolder | null {
    let oldest: WatchFolder | null = null;
    for (const folder of this.folders.values()) {
      if (folder.segments.length > 0 && (oldest === null || byNumber(nameOf(folder), nameOf(oldest)) < 0)) oldest = folder;
    }
    return oldest;
  }

  /** Where to write: the open segment, or the newest one if it has room, or a new one. */
  async segmentOf(folder: WatchFolder): Promise<OpenSegment> {
    if (folder.open !== null && this.isFull(folder.open.info)) await folder.seal();
    if (folder.open !== null) return folder.open;
    const { newest } = folder;
    if (newest !== null && !newest.sealed && !this.isFull(newest)) {
      await folder.resume();
    } else {
      if (newest !== null) seal(newest);
      if (!(await this.makeRoom(folderBlocks(0) + blocks(1)))) throw new NoRoom('the disk is full');
      while (!(await folder.begin(this.nextNumber++)));
    }
    return folder.open as unknown as OpenSegment;
  }

  private isFull(segment: Segment): boolean {
    return footprint(segment) >= this.segmentBytes || segment.ran_ms >= MOST_SEGMENT_MS;
  }

  /** Every minute or so: what is too old goes, index and labels are brought up to date. */
  async keepHouse(): Promise<void> {
    await this.look();
    const wallMs = this.wall.look();
    const present = { session: this.session, nowMs: this.clock.now(), openedMs: this.openedMs, wallMs };
    for (const folder of this.folders.values()) {
      for (let count = expired(folder.segments, this.limits.days, present); count > 0; count--) await folder.removeOldest();
      await folder.tidy();
    }
  }

  /** Somebody may have removed what is written to. */
  async look(): Promise<void> {
    for (const [watch, folder] of this.folders) {
      await folder.look();
      if ((await ifThere(this.disk.stat(folder.path), null)) === null) this.folders.delete(watch);
    }
    if (!this.isOpen || (await ifThere(this.disk.stat(this.path), null)) !== null) return;
    [this.isOpen, this.unlock] = [false, null]; // the lock went with it
  }

  get isDirty(): boolean {
    return [...this.folders.values()].some(({ open }) => open?.dirty);
  }

  /** See OpenSegment.sync(). */
  async sync(budgetMs: number): Promise<void> {
    for (const { open } of this.folders.values()) await open?.sync(budgetMs);
  }

  /** Others may record there from now on, whatever fails. */
  async close(): Promise<void> {
    const ends = [...this.folders.values()].map(async (folder) => {
      await folder.close();
      await folder.tidy();
    });
    const failed = (await Promise.allSettled(ends)).find(({ status }) => status === 'rejected');
    await this.unlock?.().catch(() => {}); // a lock of a process that is gone is none
    this.unlock = null;
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
  }
}

function nameOf({ segments }: WatchFolder): string {
  return (segments[0] as Segment).name;
}
