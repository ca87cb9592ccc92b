/** Where answers stand in the record of a watch. */
import { join } from 'node:path';
import { ifThere, systemDisk } from './disk.js';
import { parseLine, type StartLine } from './lines.js';
import { logLines } from './log-lines.js';
import { isSegmentName, LOG_FILE } from './segment.js';
import { byNumber } from './survey.js';

const ANSWER = Buffer.from('"answer"');
const START = Buffer.from('"start"');
const FEW = 16;

export interface FoundAnswer {
  segment: string; // its name
  /** The watch as it was configured then; null: the record does not tell. */
  spec: StartLine['spec'] | null;
}

/** Those of the ids that are found. `folder`: the watch's. Newest segments first, and no further than needed. */
export async function findAnswers(folder: string, ids: ReadonlySet<string>): Promise<Map<string, FoundAnswer>> {
  const found = new Map<string, FoundAnswer>();
  const names = (await ifThere(systemDisk.readdir(folder), [])).filter(isSegmentName).sort(byNumber);
  for (const name of names.reverse()) {
    if (found.size === ids.size) break;
    await ifThere(
      search(join(folder, name, LOG_FILE), ids, (id, spec) => found.set(id, { segment: name, spec })),
      undefined,
    );
  }
  return found;
}

async function search(log: string, ids: ReadonlySet<string>, tell: (id: string, spec: FoundAnswer['spec']) => void): Promise<void> {
  // parsing a line takes a tenth of a millisecond, looking for some bytes in it a thousandth
  const signs = ids.size > FEW ? [ANSWER] : [...ids].map((id) => Buffer.from(JSON.stringify(id)));
  signs.push(START);
  let spec: FoundAnswer['spec'] = null;
  for await (const { bytes, whole } of logLines(log)) {
    if (bytes === null || !whole || !signs.some((sign) => bytes.includes(sign))) continue;
    const line = parseLine(bytes);
    if (typeof line === 'string') continue;
    if (line.kind === 'start') spec = line.spec;
    if (line.kind === 'answer' && ids.has(line.id)) tell(line.id, spec);
  }
}
