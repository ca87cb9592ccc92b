/**
 * What people said about answers: `labels.ndjson` beside the segments of a watch. It only grows while labels come; the last one of an answer counts. A
 * label goes when the segment of its answer went, so the file is bounded by the record. Any process may add labels while another one records.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { lock } from '../lock.js';
import { type Disk, ifThere, syncPath, systemDisk } from './disk.js';
import { type FoundAnswer, findAnswers } from './find-answers.js';
import { logLines } from './log-lines.js';

export const LABELS_FILE = 'labels.ndjson';
const LOCK_ATTEMPTS = 20;
const LOCK_RETRY_MS = 100;

export const labelSchema = z.strictObject({
  /** The id of an answer of the record. */
  answer: z.string().min(1).max(200),
  verdict: z.enum(['right', 'wrong']),
  /** What would have been right. */
  value: z.json().optional(),
  at: z.iso.datetime(),
});
export type Label = z.infer<typeof labelSchema>;

const storedSchema = labelSchema.extend({ segment: z.string() });
type Stored = z.infer<typeof storedSchema>;

export interface Labels {
  /** By answer. */
  labels: Map<string, Label>;
  /** Lines that could not be read. */
  damaged: number;
}

/** `folder`: the recorder's. */
export async function readLabels(folder: string, watch: string): Promise<Labels> {
  const { stored, damaged } = await readStored(join(folder, watch));
  return { labels: new Map([...stored].map(([answer, { segment: _, ...label }]) => [answer, label])), damaged };
}

/**
 * Resolves once they are on the disk. Gives the answers that the record does not have (any more); their labels are not kept. Throws what the disk says, and
 * ERR_BUSY where others add labels without end.
 *
 * `settle` makes what is kept of each label whose answer is on record; what it throws is thrown, and nothing is kept.
 */
export async function addLabels(
  folder: string,
  watch: string,
  labels: readonly Label[],
  settle: (label: Label, answer: FoundAnswer) => Label = (label) => label,
): Promise<{ unknown: string[] }> {
  const path = join(folder, watch);
  for (const label of labels) labelSchema.parse(label);
  const found = await findAnswers(path, new Set(labels.map(({ answer }) => answer)));
  const lines = labels.flatMap((label) => {
    const answer = found.get(label.answer);
    return answer === undefined ? [] : [`${JSON.stringify({ ...settle(label, answer), segment: answer.segment })}\n`];
  });
  if (lines.length > 0) {
    await locked(path, async () => {
      const file = await systemDisk.open(join(path, LABELS_FILE), 'a+');
      try {
        const { size } = await file.stat();
        const { buffer } = size === 0 ? { buffer: Buffer.from('\n') } : await file.read(Buffer.alloc(1), 0, 1, size - 1);
        await file.appendFile(`${buffer[0] === 0x0a ? '' : '\n'}${lines.join('')}`); // what was cut off stays a line of its own
        await file.sync();
      } finally {
        await file.close();
      }
      await syncPath(systemDisk, path);
    });
  }
  return { unknown: labels.filter(({ answer }) => !found.has(answer)).map(({ answer }) => answer) };
}

/** Leaves the last label of each answer whose segment is there. */
export async function compactLabels(path: string, segments: ReadonlySet<string>): Promise<void> {
  if ((await labelBytes(systemDisk, path)) === 0) return;
  await locked(path, async () => {
    const { stored, lines } = await readStored(path);
    const kept = [...stored.values()].filter(({ segment }) => segments.has(segment));
    if (kept.length === lines) return;
    const fresh = join(path, `.${LABELS_FILE}.new`);
    await systemDisk.writeFile(fresh, kept.map((label) => `${JSON.stringify(label)}\n`).join(''), { flush: true });
    await systemDisk.rename(fresh, join(path, LABELS_FILE));
    await syncPath(systemDisk, path);
  });
}

export async function labelBytes(disk: Disk, path: string): Promise<number> {
  return (await ifThere(disk.stat(join(path, LABELS_FILE)), null))?.size ?? 0;
}

async function readStored(path: string): Promise<{ stored: Map<string, Stored>; lines: number; damaged: number }> {
  const stored = new Map<string, Stored>();
  let [lines, damaged] = [0, 0];
  if ((await labelBytes(systemDisk, path)) === 0) return { stored, lines, damaged };
  for await (const { bytes, whole } of logLines(join(path, LABELS_FILE))) {
    lines++;
    const label = bytes === null ? null : storedOf(bytes.toString());
    if (label === null) {
      if (whole) damaged++; // else it is being written
      continue;
    }
    stored.delete(label.answer); // the order is that of the last ones
    stored.set(label.answer, label);
  }
  return { stored, lines, damaged };
}

function storedOf(text: string): Stored | null {
  try {
    return storedSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Of all that change the labels of a watch one at a time. */
async function locked(path: string, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { release } = await lock(path, 'is writing labels of this watch');
      return await work().finally(release);
    } catch (error) {
      if (!(error instanceof MiphaError) || error.code !== 'ERR_BUSY' || attempt === LOCK_ATTEMPTS) throw error;
      await pause(LOCK_RETRY_MS);
    }
  }
}
