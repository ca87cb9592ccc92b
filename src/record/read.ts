/** Reading what was recorded, also while it is being written or deleted. */
import { join } from 'node:path';
import { type Disk, ifThere, systemDisk } from './disk.js';
import { parseLine, type RecordLine, type StartLine } from './lines.js';
import { logLines } from './log-lines.js';
import { isPictureName, isSegmentName, LOG_FILE, type Segment } from './segment.js';
import { byNumber, readIndex } from './survey.js';

export interface ReadOptions {
  watch: string;
  /** Lines whose `at` is not before. */
  since?: Date;
  /** Lines whose `at` is before. */
  until?: Date;
}

export interface Recorded {
  line: RecordLine;
  segment: string;
  /** Of the line in its log, from 1. */
  number: number;
  /** Of a frame: the path of its JPEG, which was there and whole a moment ago. */
  picture: string | null;
}

/** A line that cannot be read. */
export interface Damage {
  segment: string;
  number: number;
  problem: string;
}

const MOST_DAMAGE = 100; // that is named

/**
 * Lines in the order in which they were recorded, whatever the clock did, each with the path of its picture. The `start` that is in force comes before the
 * first line, whenever it was written, and once, in however many segments it stands. An answer may come whose frame lies before `since`. The last line of a record that is being written may be
 * half: it is left out. `damaged` and `damage` tell of lines that cannot be read; they are complete when the iteration is.
 */
export class Reading implements AsyncIterable<Recorded> {
  damaged = 0;
  /** The first hundred. */
  readonly damage: Damage[] = [];
  /** Segments that were deleted while they were read or before. */
  gone = 0;
  /** Frames whose picture was recorded and is not there, or not whole. */
  missingPictures = 0;

  constructor(
    private readonly folder: string,
    private readonly options: ReadOptions,
    private readonly disk: Disk,
  ) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Recorded, void, undefined> {
    const { watch, since, until } = this.options;
    const [from, to] = [since?.getTime() ?? Number.NEGATIVE_INFINITY, until?.getTime() ?? Number.POSITIVE_INFINITY];
    const path = join(this.folder, watch);
    const known = new Map((await readIndex(this.disk, path)).segments.map((segment) => [segment.name, segment]));
    const names = (await ifThere(this.disk.readdir(path), [])).filter(isSegmentName).sort(byNumber);
    let start: (Recorded & { line: StartLine }) | null = null; // in force, and not given yet
    let given: StartLine | null = null;
    for (const name of names) {
      if (isOutside(known.get(name), from, to) && (await this.isAsIndexed(path, known.get(name) as Segment))) continue;
      for await (const recorded of this.segment(join(path, name), name, name === names.at(-1))) {
        const { line } = recorded;
        if (line.kind === 'start') {
          if (line.again === true && start === null && given !== null && isSame(line, given)) continue;
          start = recorded as Recorded & { line: StartLine };
          continue;
        }
        const at = Date.parse(line.at);
        if (at < from || at >= to) continue;
        if (start !== null) {
          yield start;
          given = start.line;
        }
        start = null;
        if (line.kind === 'frame') await this.findPicture(path, recorded);
        yield recorded;
      }
    }
  }

  private async *segment(path: string, segment: string, isNewest: boolean): AsyncGenerator<Recorded> {
    const lines = logLines(join(path, LOG_FILE), this.disk);
    for (;;) {
      const next = await ifThere(lines.next(), null);
      if (next === null) this.gone++;
      if (next === null || next.done === true) return;
      const { bytes, number, whole } = next.value;
      if (!whole && isNewest) return;
      const line = !whole ? 'cut off' : bytes === null ? 'too long' : parseLine(bytes);
      if (typeof line !== 'string') {
        yield { line, segment, number, picture: null };
        continue;
      }
      this.damaged++;
      if (this.damage.length < MOST_DAMAGE) this.damage.push({ segment, number, problem: line });
    }
  }

  private async findPicture(path: string, recorded: Recorded): Promise<void> {
    const { line, segment } = recorded;
    if (line.kind !== 'frame' || line.file === null) return;
    const picture = join(path, segment, line.file);
    const there = isPictureName(line.file) ? await ifThere(this.disk.stat(picture), null) : null; // a name, never a path
    if (there?.size === line.bytes) recorded.picture = picture;
    else this.missingPictures++;
  }

  private async isAsIndexed(path: string, { name, log_bytes }: Segment): Promise<boolean> {
    return (await ifThere(this.disk.stat(join(path, name, LOG_FILE)), null))?.size === log_bytes;
  }
}

/** By what an index says, every line of it. */
function isOutside(segment: Segment | undefined, from: number, to: number): boolean {
  if (!segment?.sealed || segment.damaged > 0 || segment.earliest === null || segment.latest === null) return false;
  return Date.parse(segment.latest) < from || Date.parse(segment.earliest) >= to;
}

/** `folder`: the recorder's. Nothing is read before the iteration. */
export function readRecord(folder: string, options: ReadOptions, disk: Disk = systemDisk): Reading {
  return new Reading(folder, options, disk);
}

function isSame(a: StartLine, b: StartLine): boolean {
  const facts = ({ session, camera, spec, timezone, model }: StartLine) => JSON.stringify([session, camera, spec, timezone, model]);
  return facts(a) === facts(b);
}
