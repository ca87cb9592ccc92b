/**
 * How the last starts ended, so that overrides cannot kill a node again and again: a process that dies while it starts (a crash, a watchdog, too
 * little memory) never comes to say so, and leaves its mark here.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readIfThere, replaceFile } from '../../state-files.js';
import { leaves } from '../config/change.js';
import type { ConfigInput } from '../config/layers.js';
import { needsRestart } from '../config/shape.js';

const FILE = 'starts.json';
/** Starts in a row that may end in the middle. Overrides that a node once ran with are less likely to be why. */
const MOST_UNFINISHED = 2;
const MOST_UNFINISHED_PROVEN = 5;

const recordSchema = z.object({
  version: z.literal(1),
  /** SHA-256 of the overrides that a node last started with. */
  proven: z.string().nullable(),
  /** Starts with overrides since then, or since a clean stop, that were never finished. */
  unfinished: z.int().min(0),
});
type StartRecord = z.infer<typeof recordSchema>;

const NONE: StartRecord = { version: 1, proven: null, unfinished: 0 };

export class StartRecordFile {
  constructor(private readonly folder: string) {}

  /**
   * Marks a start with these overrides, on the disk. Returns how many starts before it were never finished when they are too many: this one must
   * do without the overrides. Otherwise 0.
   */
  async begin(overrides: ConfigInput): Promise<number> {
    const record = await this.read();
    const { proven, unfinished } = record;
    const most = proven === hashOf(overrides) ? MOST_UNFINISHED_PROVEN : MOST_UNFINISHED;
    // without them, too, it may end in the middle: then it is tried with them again, for they are not the reason
    const without = unfinished > 0 && unfinished % (most + 1) === most;
    await this.write({ ...record, unfinished: unfinished + 1 });
    return without ? unfinished : 0;
  }

  /** The node runs with these overrides. */
  async finished(overrides: ConfigInput): Promise<void> {
    await this.write({ version: 1, proven: hashOf(overrides), unfinished: 0 });
  }

  /** The start has ended in an orderly way: the process lived to tell. */
  async ended(): Promise<void> {
    const record = await this.read();
    if (record.unfinished > 0) await this.write({ ...record, unfinished: 0 });
  }

  async remove(): Promise<void> {
    await rm(join(this.folder, FILE), { force: true });
  }

  /** A damaged record is none: it is a hint, and nothing is lost with it. */
  private async read(): Promise<StartRecord> {
    try {
      const text = await readIfThere(join(this.folder, FILE));
      return text === null ? NONE : recordSchema.parse(JSON.parse(text));
    } catch {
      return NONE;
    }
  }

  private async write(record: StartRecord): Promise<void> {
    await replaceFile(this.folder, FILE, `${JSON.stringify(record)}\n`);
  }
}

/** Of what only a start applies: everything else has been in force while the node ran. */
function hashOf(overrides: ConfigInput): string {
  const waiting = leaves(overrides).filter(([path]) => needsRestart(path));
  return createHash('sha256').update(JSON.stringify(waiting)).digest('hex');
}
