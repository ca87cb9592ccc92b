/** The one segment of a watch that is written to: a log that only grows, and pictures beside it, each whole before its line is written. */
import { join } from 'node:path';
import { blocks, type Disk, type DiskFile, ifThere, syncPath } from './disk.js';
import { countLine, countPicture, type LineFacts, LOG_FILE, pictureName, type Segment } from './segment.js';

export const SYNC_BUDGET_MS = 500;

export interface Picture {
  file: string;
  bytes: number;
}

export class OpenSegment {
  private isSound = true; // the log ends where it should
  private unsynced: string[] = []; // pictures
  private isDirty = false;
  private isNew = true; // its folder's name may not be on the disk

  private constructor(
    private readonly disk: Disk,
    private readonly folder: string,
    private readonly log: DiskFile,
    readonly info: Segment,
  ) {}

  /** The folder is there; the log is made where it is missing. */
  static async open(disk: Disk, folder: string, info: Segment): Promise<OpenSegment> {
    return new OpenSegment(disk, folder, await disk.open(join(folder, LOG_FILE), 'a'), info);
  }

  /** Counted with its line, see append(). What was written of one that fails is taken away. */
  async picture(jpeg: Uint8Array): Promise<Picture> {
    const file = pictureName(++this.info.picture_number);
    const path = join(this.folder, file);
    try {
      await this.disk.writeFile(path, jpeg, { flag: 'wx' });
    } catch (error) {
      await this.removePicture({ file, bytes: jpeg.length });
      throw error;
    }
    return { file, bytes: jpeg.length };
  }

  /** Of a line that could not be written. Where it cannot be removed it goes when the record is opened the next time, and takes its room until then. */
  async removePicture({ file, bytes }: Picture): Promise<void> {
    await this.disk.rm(join(this.folder, file), { force: true }).catch(() => {
      this.info.picture_blocks += blocks(bytes);
    });
  }

  /** Whole lines. All of them or none: what was written before it failed is cut off again, at the latest before anything else is written. */
  async append(text: string, lines: readonly LineFacts[], pictures: readonly Picture[]): Promise<void> {
    const bytes = Buffer.from(text);
    await this.heal();
    this.isDirty = true;
    try {
      for (let done = 0; done < bytes.length; ) done += (await this.log.write(bytes, done)).bytesWritten;
    } catch (error) {
      this.isSound = false;
      await this.heal().catch(() => {});
      throw error;
    }
    this.info.log_bytes += bytes.length;
    for (const facts of lines) countLine(this.info, facts);
    for (const { file, bytes: size } of pictures) {
      countPicture(this.info, file, size);
      this.unsynced.push(file);
    }
  }

  private async heal(): Promise<void> {
    if (!this.isSound) await this.log.truncate(this.info.log_bytes);
    this.isSound = true;
  }

  /**
   * What was written so far survives the end of power: pictures first, then the lines that name them. Each picture takes a commit of the file system:
   * those that take longer than `budgetMs` are left to the kernel, which writes what is half a minute old.
   */
  async sync(budgetMs: number): Promise<void> {
    if (!this.isDirty) return;
    await this.heal();
    const begun = performance.now();
    for (const file of this.unsynced.splice(0)) {
      if (performance.now() - begun > budgetMs) break;
      await ifThere(syncPath(this.disk, join(this.folder, file)), undefined); // somebody may have removed it
    }
    await this.log.datasync();
    await syncPath(this.disk, this.folder);
    if (this.isNew) await syncPath(this.disk, join(this.folder, '..'));
    [this.isDirty, this.isNew] = [false, false];
  }

  get dirty(): boolean {
    return this.isDirty;
  }

  async close(): Promise<void> {
    await this.log.close();
  }
}
