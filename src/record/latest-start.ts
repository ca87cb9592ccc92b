/** What a watch was configured as when it was last recorded. */
import { join } from 'node:path';
import { ifThere, systemDisk } from './disk.js';
import { parseLine, type StartLine } from './lines.js';
import { logLines } from './log-lines.js';
import { isSegmentName, LOG_FILE } from './segment.js';
import { byNumber } from './survey.js';

const START = Buffer.from('"start"');

/** `folder`: the recorder's. Null: nothing is recorded of this watch. */
export async function latestStart(folder: string, watch: string): Promise<StartLine | null> {
  const path = join(folder, watch);
  const names = (await ifThere(systemDisk.readdir(path), [])).filter(isSegmentName).sort(byNumber);
  for (const name of names.reverse()) {
    const start = await ifThere(lastStartOf(join(path, name, LOG_FILE)), null); // the segment may be deleted meanwhile
    if (start !== null) return start;
  }
  return null;
}

async function lastStartOf(log: string): Promise<StartLine | null> {
  let last: StartLine | null = null;
  for await (const { bytes, whole } of logLines(log)) {
    if (bytes === null || !whole || !bytes.includes(START)) continue;
    const line = parseLine(bytes);
    if (typeof line !== 'string' && line.kind === 'start') last = line;
  }
  return last;
}
