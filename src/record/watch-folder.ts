/** The folder of one watch, as its one writer knows it. Its methods are called one after the other. */
import { join } from 'node:path';
import { blocks, codeOf, type Disk, folderBlocks, ifThere } from './disk.js';
import { compactLabels, labelBytes } from './labels.js';
import { OpenSegment, SYNC_BUDGET_MS } from './open-segment.js';
import { footprint, LOG_FILE, newSegment, type Segment, seal, segmentName } from './segment.js';
import { GONE_PREFIX, INDEX_FILE, indexBlocks, indexText, survey } from './survey.js';

export class WatchFolder {
  open: OpenSegment | null = null;
  private indexBytes = 0;
  private labelBytes = 0;
  private isIndexTrue = true;
  private haveSegmentsGone = true; // labels may refer to them
  private quietBytes = -1; // of the open segment's log, when tidy() saw it last

  private constructor(
    private readonly disk: Disk,
    readonly path: string,
    /** Oldest first. */
    readonly segments: Segment[],
    private torn: number,
  ) {}

  /** The folder need not be there. */
  static async open(disk: Disk, path: string): Promise<WatchFolder> {
    const { segments, torn, indexBytes, indexIsTrue } = await survey(disk, path);
    const folder = new WatchFolder(disk, path, segments, torn);
    folder.indexBytes = indexBytes;
    folder.isIndexTrue = indexIsTrue;
    folder.labelBytes = await labelBytes(disk, path);
    return folder;
  }

  /** What it takes on the disk at most, in bytes. */
  get footprint(): number {
    const entries = this.segments.length + 8;
    return this.segments.reduce(
      (sum, segment) => sum + footprint(segment),
      folderBlocks(entries) + indexBlocks(this.indexBytes) + 2 * blocks(this.labelBytes),
    );
  }

  /** How many pictures were found cut off, once. */
  takeTorn(): number {
    const { torn } = this;
    this.torn = 0;
    return torn;
  }

  get newest(): Segment | null {
    return this.segments.at(-1) ?? null;
  }

  /** Writes on in the newest segment. */
  async resume(): Promise<void> {
    const newest = this.newest as Segment;
    this.open = await OpenSegment.open(this.disk, join(this.path, newest.name), newest);
  }

  /** Begins a segment; false: a folder of that name is there. */
  async begin(number: number): Promise<boolean> {
    const segment = newSegment(segmentName(number));
    const path = join(this.path, segment.name);
    try {
      await this.disk.mkdir(path);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
    try {
      this.open = await OpenSegment.open(this.disk, path, segment);
    } catch (error) {
      await this.disk.rm(path, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
    this.segments.push(segment);
    this.isIndexTrue = false;
    return true;
  }

  /** Nothing more is written to the open segment. One that does not hold a line is removed. */
  async seal(): Promise<void> {
    const { open } = this;
    if (open === null) return;
    await open.sync(SYNC_BUDGET_MS);
    await this.closeOpen();
    if (open.info.lines === 0) await this.remove(open.info);
    else seal(open.info);
    this.isIndexTrue = false;
  }

  async closeOpen(): Promise<void> {
    const { open } = this;
    this.open = null;
    await open?.close().catch(() => {}); // what matters was synced
  }

  async removeOldest(): Promise<void> {
    const oldest = this.segments[0] as Segment;
    if (this.open?.info === oldest) await this.closeOpen();
    await this.remove(oldest);
  }

  /** Readers see all of it or nothing. */
  private async remove(segment: Segment): Promise<void> {
    const gone = join(this.path, `${GONE_PREFIX}${segment.name}`);
    await ifThere(this.disk.rename(join(this.path, segment.name), gone), undefined);
    await this.disk.rm(gone, { recursive: true, force: true });
    this.segments.splice(this.segments.indexOf(segment), 1);
    this.isIndexTrue = false;
    this.haveSegmentsGone = true;
  }

  /** Somebody may have removed the open segment by hand: then it is forgotten. */
  async look(): Promise<void> {
    if (this.open === null) return;
    const { info } = this.open;
    if ((await ifThere(this.disk.stat(join(this.path, info.name, LOG_FILE)), null)) !== null) return;
    await this.closeOpen();
    this.segments.splice(this.segments.indexOf(info), 1);
    this.isIndexTrue = false;
  }

  /** Brings index and labels up to date, and closes a log that nothing was written to since the last time. The index is a cache: it is not synced. */
  async tidy(): Promise<void> {
    const logBytes = this.open?.info.log_bytes ?? -1;
    if (this.open?.dirty === false && logBytes === this.quietBytes) await this.closeOpen();
    this.quietBytes = logBytes;
    if (this.haveSegmentsGone) {
      try {
        await compactLabels(this.path, new Set(this.segments.map(({ name }) => name)));
        this.haveSegmentsGone = false;
      } catch (error) {
        if (codeOf(error) !== 'ERR_BUSY') throw error; // somebody labels: the next time
      }
    }
    this.labelBytes = await labelBytes(this.disk, this.path);
    if (this.isIndexTrue) return;
    const text = indexText(this.segments);
    const fresh = join(this.path, `.${INDEX_FILE}.new`);
    await this.disk.writeFile(fresh, text);
    await this.disk.rename(fresh, join(this.path, INDEX_FILE));
    this.indexBytes = Buffer.byteLength(text);
    this.isIndexTrue = true;
  }

  /** At the end: the next writer goes on in the open segment. */
  async close(): Promise<void> {
    this.isIndexTrue &&= this.open === null;
    try {
      await this.open?.sync(SYNC_BUDGET_MS);
    } finally {
      await this.closeOpen();
    }
  }
}
