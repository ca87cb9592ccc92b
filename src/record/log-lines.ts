/** A file of lines, a piece at a time: what is in memory is never more than a line and a piece. */
import { type Disk, systemDisk } from './disk.js';
import { MOST_LINE_BYTES } from './lines.js';

const PIECE_BYTES = 1 << 16;

export interface RawLine {
  /** Without the line feed; null: longer than any line of a record. Valid until the next one is asked for. */
  bytes: Buffer | null;
  number: number; // from 1
  /** Where it ends in the file, line feed included. */
  end: number;
  /** False: the last one, whose line feed is not there (yet). */
  whole: boolean;
}

/** Ends where the file ended when it was last read. */
export async function* logLines(path: string, disk: Disk = systemDisk): AsyncGenerator<RawLine, void, undefined> {
  const file = await disk.open(path, 'r');
  try {
    const piece = Buffer.alloc(PIECE_BYTES);
    let begun: Buffer[] = []; // of the line that is not whole yet
    let [begunBytes, end, number] = [0, 0, 0];
    const line = (whole: boolean): RawLine => {
      const bytes = begunBytes >= MOST_LINE_BYTES ? null : begun.length === 1 ? (begun[0] as Buffer) : Buffer.concat(begun);
      end += begunBytes + (whole ? 1 : 0);
      [begun, begunBytes] = [[], 0];
      return { bytes, number: ++number, end, whole };
    };
    for (let position = 0; ; ) {
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      for (let at = 0; at < bytesRead; ) {
        const feed = piece.subarray(0, bytesRead).indexOf(0x0a, at);
        const until = feed === -1 ? bytesRead : feed;
        const part = piece.subarray(at, until);
        if (begunBytes < MOST_LINE_BYTES) begun.push(feed === -1 ? Buffer.from(part) : part);
        begunBytes += part.length;
        at = until + 1;
        if (feed !== -1) yield line(true);
      }
    }
    if (begunBytes > 0) yield line(false);
  } finally {
    await file.close();
  }
}
