/** The newest lines of a record first, a page at a time, however long the record is. */
import { join } from 'node:path';
import { type Disk, ifThere, systemDisk } from './disk.js';
import { MOST_LINE_BYTES, parseLine, type RecordLine } from './lines.js';
import { isPictureName, isSegmentName, LOG_FILE } from './segment.js';
import { byNumber } from './survey.js';

const PIECE_BYTES = 1 << 16;
/** Of one page: then it ends, though it may have few lines. */
const MOST_BYTES = 1 << 22;
const CURSOR = /^(\d{8,20})-(\d{1,15})$/;

export interface PageOptions {
  watch: string;
  /** `next` of the page before. Default: the newest lines. */
  before?: string | undefined;
  limit: number;
  kinds: ReadonlySet<RecordLine['kind']>;
}

export interface RecordPage {
  /** The newest first. */
  lines: { line: RecordLine; segment: string }[];
  /** Of the page with older lines; null: there is none. */
  next: string | null;
}

export function isCursor(text: string): boolean {
  return CURSOR.test(text);
}

/** `folder`: the recorder's. A line that cannot be read is left out. Throws what reading says, and RangeError for a `before` that is no cursor. */
export async function readBackwards(folder: string, { watch, before, limit, kinds }: PageOptions, disk: Disk = systemDisk): Promise<RecordPage> {
  const path = join(folder, watch);
  const [, from, offset] = before === undefined ? [] : (CURSOR.exec(before) ?? []);
  if (before !== undefined && from === undefined) throw new RangeError(`${before} is no cursor`);
  const names = (await ifThere(disk.readdir(path), [])).filter(isSegmentName).sort(byNumber).reverse();
  const page: RecordPage = { lines: [], next: null };
  let left = MOST_BYTES;
  for (const segment of names) {
    if (from !== undefined && byNumber(segment, from) > 0) continue;
    const end = segment === from ? Number(offset) : undefined;
    const reached = await ifThere(
      linesBackwards(join(path, segment, LOG_FILE), end, disk, (bytes, begin) => {
        left -= bytes.length + 1;
        const line = parseLine(bytes);
        if (typeof line !== 'string' && kinds.has(line.kind)) page.lines.push({ line, segment });
        return page.lines.length >= limit || left <= 0 ? begin : null;
      }),
      0,
    );
    const isFull = page.lines.length >= limit || left <= 0;
    if (!isFull) continue;
    const isLast = reached === 0 && segment === names.at(-1);
    page.next = isLast ? null : `${segment}-${reached}`;
    return page;
  }
  return page;
}

/** Calls `take` for each whole line before `end` until it returns where to stop; gives that, or 0. */
async function linesBackwards(
  log: string,
  end: number | undefined,
  disk: Disk,
  take: (bytes: Buffer, begin: number) => number | null,
): Promise<number> {
  const file = await disk.open(log, 'r');
  try {
    let position = Math.min(end ?? Number.POSITIVE_INFINITY, (await file.stat()).size);
    let rest: Buffer = Buffer.alloc(0); // from `position` on, what ends a line that begins before it
    let isWhole = false; // what no line feed ends is being written
    while (position > 0) {
      const length = Math.min(PIECE_BYTES, position);
      const piece = Buffer.alloc(length);
      const { bytesRead } = await file.read(piece, 0, length, position - length);
      if (bytesRead < length) return 0; // it was cut meanwhile
      position -= length;
      rest = rest.length > MOST_LINE_BYTES ? piece : Buffer.concat([piece, rest]);
      for (let feed = rest.lastIndexOf(0x0a); feed !== -1; feed = rest.lastIndexOf(0x0a)) {
        const line = rest.subarray(feed + 1);
        rest = rest.subarray(0, feed);
        const stop = isWhole && line.length > 0 ? take(line, position + feed + 1) : null;
        if (stop !== null) return stop;
        isWhole = true;
      }
    }
    if (rest.length > 0 && isWhole) take(rest, 0);
    return 0;
  } finally {
    await file.close();
  }
}

/** The path of the JPEG of a frame; `segment`: where it may be, or just before. Null: there is none. */
export async function recordedPicture(
  folder: string,
  watch: string,
  frame: string,
  segment: string | undefined,
  disk: Disk = systemDisk,
): Promise<string | null> {
  const path = join(folder, watch);
  const names = (await ifThere(disk.readdir(path), [])).filter(isSegmentName).sort(byNumber).reverse();
  const likely = segment === undefined ? -1 : names.indexOf(segment);
  const order = likely === -1 ? names : [...names.slice(likely), ...names.slice(0, likely)];
  const sign = Buffer.from(JSON.stringify(frame));
  for (const name of order) {
    let file: string | null = null;
    await ifThere(
      linesBackwards(join(path, name, LOG_FILE), undefined, disk, (bytes, begin) => {
        if (!bytes.includes(sign)) return null;
        const line = parseLine(bytes);
        if (typeof line === 'string' || line.kind !== 'frame' || line.id !== frame) return null;
        if (line.file === null || !isPictureName(line.file)) return null; // decided again later, perhaps with it
        file = line.file;
        return begin;
      }),
      0,
    );
    if (file !== null) return join(path, name, file);
  }
  return null;
}
