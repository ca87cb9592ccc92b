/** Where answers stand in the record of a watch. */
import { join } from 'node:path';
import { ifThere, systemDisk } from './disk.js';
import { parseLine } from './lines.js';
import { logLines } from './log-lines.js';
import { isSegmentName, LOG_FILE } from './segment.js';
import { byNumber } from './survey.js';

const ANSWER = Buffer.from('"answer"');
const FEW = 16;

/** Of each id that is found the name of its segment. `folder`: the watch's. Newest segments first, and no further than needed. */
export async function findAnswers(folder: string, ids: ReadonlySet<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const names = (await ifThere(systemDisk.readdir(folder), [])).filter(isSegmentName).sort(byNumber);
  for (const name of names.reverse()) {
    if (found.size === ids.size) break;
    await ifThere(
      search(join(folder, name, LOG_FILE), ids, (id) => found.set(id, name)),
      undefined,
    );
  }
  return found;
}

async function search(log: string, ids: ReadonlySet<string>, tell: (id: string) => void): Promise<void> {
  // parsing a line takes a tenth of a millisecond, looking for some bytes in it a thousandth
  const signs = ids.size > FEW ? [ANSWER] : [...ids].map((id) => Buffer.from(JSON.stringify(id)));
  for await (const { bytes, whole } of logLines(log)) {
    if (bytes === null || !whole || !signs.some((sign) => bytes.includes(sign))) continue;
    const line = parseLine(bytes);
    if (typeof line !== 'string' && line.kind === 'answer' && ids.has(line.id)) tell(line.id);
  }
}
