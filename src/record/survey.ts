/** What is in the folder of a watch when it is opened for writing. What was cut off by the end of power or of the process is taken away, nothing else. */
import { join } from 'node:path';
import { z } from 'zod';
import { blocks, type Disk, ifThere } from './disk.js';
import { parseLine } from './lines.js';
import { logLines } from './log-lines.js';
import {
  countLine,
  countPicture,
  factsOf,
  isPictureName,
  isSegmentName,
  LOG_FILE,
  newSegment,
  type Segment,
  seal,
  segmentSchema,
} from './segment.js';

export const INDEX_FILE = 'index.json';
export const GONE_PREFIX = '.gone-'; // of a segment's folder while it is deleted

const indexSchema = z.strictObject({ v: z.literal(1), segments: z.array(segmentSchema) });

export interface Survey {
  segments: Segment[]; // oldest first
  indexBytes: number;
  /** The index said the same. */
  indexIsTrue: boolean;
  /** Pictures of lines that are there, which are not, or not whole. */
  torn: number;
}

/** The index is only a cache: what it says of a segment that does not look like it is counted anew, and so is whatever is not sealed. */
export async function survey(disk: Disk, folder: string): Promise<Survey> {
  const names = await ifThere(disk.readdir(folder), []);
  for (const name of names) if (name.startsWith(GONE_PREFIX)) await disk.rm(join(folder, name), { recursive: true, force: true });
  const index = await readIndex(disk, folder);
  const found: Survey = { segments: [], indexBytes: index.bytes, indexIsTrue: true, torn: 0 };
  const known = new Map(index.segments.map((segment) => [segment.name, segment]));
  for (const name of names.filter(isSegmentName).sort(byNumber)) {
    const said = known.get(name);
    if (said?.sealed && (await looksLike(disk, join(folder, name), said))) {
      found.segments.push(said);
      continue;
    }
    found.indexIsTrue = false;
    const { segment, torn } = await repair(disk, join(folder, name), name);
    found.torn += torn;
    if (segment !== null) found.segments.push(segment);
  }
  // only the newest one is written on
  for (const segment of found.segments.slice(0, -1)) seal(segment);
  found.indexIsTrue &&= found.segments.length === index.segments.length;
  return found;
}

export function byNumber(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** No segments where it is missing or damaged. */
export async function readIndex(disk: Disk, folder: string): Promise<{ segments: Segment[]; bytes: number }> {
  const text = await ifThere(disk.readFile(join(folder, INDEX_FILE), 'utf8'), '');
  const bytes = Buffer.byteLength(text);
  try {
    return { segments: indexSchema.parse(JSON.parse(text)).segments, bytes };
  } catch {
    return { segments: [], bytes };
  }
}

export function indexText(segments: readonly Segment[]): string {
  return `{"v":1,"segments":[\n${segments.map((segment) => JSON.stringify(segment)).join(',\n')}\n]}\n`;
}

async function looksLike(disk: Disk, folder: string, { log_bytes, pictures }: Segment): Promise<boolean> {
  const log = await ifThere(disk.stat(join(folder, LOG_FILE)), null);
  if (log?.size !== log_bytes) return false;
  return (await disk.readdir(folder)).filter(isPictureName).length === pictures;
}

/** Null: there was not one whole line in it, and it is gone. */
async function repair(disk: Disk, folder: string, name: string): Promise<{ segment: Segment | null; torn: number }> {
  const segment = newSegment(name);
  const pictures = new Map<string, number>();
  const log = join(folder, LOG_FILE);
  let cut: number | null = null; // where the log ends in what never was a whole line
  let damagedBehind = 0;
  if ((await ifThere(disk.stat(log), null)) !== null) {
    for await (const { bytes, end, whole } of logLines(log, disk)) {
      const line = whole && bytes !== null ? parseLine(bytes) : 'not whole';
      if (typeof line !== 'string') {
        countLine(segment, factsOf(line));
        if (line.kind === 'frame' && line.file !== null && isPictureName(line.file)) pictures.set(line.file, line.bytes);
        segment.damaged += damagedBehind;
        [damagedBehind, cut] = [0, null];
        segment.log_bytes = end;
      } else if (!whole || bytes?.includes(0)) {
        damagedBehind += 1; // zeros are what a file system leaves where power went before the bytes came
        cut ??= segment.log_bytes;
      } else {
        segment.damaged += damagedBehind + 1;
        [damagedBehind, cut] = [0, null];
        segment.log_bytes = end;
      }
    }
  }
  if (segment.log_bytes === 0) {
    await disk.rm(folder, { recursive: true, force: true });
    return { segment: null, torn: pictures.size };
  }
  if (cut !== null) await truncate(disk, log, cut);
  let torn = pictures.size;
  for (const file of (await disk.readdir(folder)).filter(isPictureName)) {
    const bytes = pictures.get(file);
    if (bytes !== undefined && (await isWhole(disk, join(folder, file), bytes))) {
      countPicture(segment, file, bytes);
      torn--;
    } else {
      await disk.rm(join(folder, file), { force: true });
    }
  }
  // a name that a line already has is not given again
  for (const file of pictures.keys()) segment.picture_number = Math.max(segment.picture_number, Number.parseInt(file, 10));
  return { segment, torn };
}

async function truncate(disk: Disk, path: string, bytes: number): Promise<void> {
  const file = await disk.open(path, 'r+');
  try {
    await file.truncate(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Its length is that of its line, and it begins and ends as a JPEG does: a file system may have had its length before its bytes. */
async function isWhole(disk: Disk, path: string, bytes: number): Promise<boolean> {
  if ((await disk.stat(path)).size !== bytes || bytes < 4) return false;
  const file = await disk.open(path, 'r');
  try {
    const ends = Buffer.alloc(4);
    await file.read(ends, 0, 2, 0);
    await file.read(ends, 2, 2, bytes - 2);
    return ends.equals(Buffer.from([0xff, 0xd8, 0xff, 0xd9]));
  } finally {
    await file.close();
  }
}

/** Of an index of so many bytes: it is written beside the one that is there. */
export function indexBlocks(bytes: number): number {
  return 2 * blocks(bytes + 1024);
}
