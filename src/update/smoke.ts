/** The smoke set of a node: frames on its own record whose answers somebody has labelled. A model that gets fewer of them right does not replace the present one. */
import { setImmediate as breathe } from 'node:timers/promises';
import { type Label, readLabels } from '../record/labels.js';
import type { AnswerLine, FrameLine } from '../record/lines.js';
import { readRecord } from '../record/read.js';
import { recordedFrame } from '../replay/film.js';
import { answerType } from '../watch/answer-type.js';
import type { Eyes } from '../watch/outcome.js';
import { pictureOf } from '../watch/part.js';
import { type Value, type WatchSpec, watchSpecSchema } from '../watch/spec.js';

export interface SmokeItem {
  line: FrameLine;
  picture: string; // path of its JPEG
  spec: WatchSpec;
  isRight: (value: unknown) => boolean;
}

const MOST_ITEMS = 60;
/** An answer lies within so many lines of its frame. */
const FRAMES_KEPT = 1000;
const LINES_AT_ONCE = 1000;

/** The newest labelled answers, as many of each watch. `folder`: the recorder's; undefined: nothing is recorded. */
export async function smokeSet(folder: string | undefined, watches: readonly string[], signal: AbortSignal): Promise<SmokeItem[]> {
  if (folder === undefined || watches.length === 0) return [];
  const most = Math.max(1, Math.floor(MOST_ITEMS / watches.length));
  const sets: SmokeItem[] = [];
  for (const watch of watches) sets.push(...(await setOf(folder, watch, signal)).slice(-most));
  return sets.slice(-MOST_ITEMS);
}

async function setOf(folder: string, watch: string, signal: AbortSignal): Promise<SmokeItem[]> {
  const { labels } = await readLabels(folder, watch).catch(() => ({ labels: new Map<string, Label>() }));
  if (labels.size === 0) return [];
  const items: SmokeItem[] = [];
  const frames = new Map<string, { line: FrameLine; picture: string }>();
  let spec: WatchSpec | undefined;
  let count = 0;
  for await (const { line, picture } of readRecord(folder, { watch })) {
    if (++count % LINES_AT_ONCE === 0) await breathe(); // cameras and the broker wait meanwhile
    signal.throwIfAborted();
    if (line.kind === 'start') spec = watchSpecSchema.safeParse(line.spec).data;
    if (line.kind === 'frame' && picture !== null) frames.set(line.id, { line, picture });
    for (const oldest of frames.keys()) {
      if (frames.size <= FRAMES_KEPT) break;
      frames.delete(oldest);
    }
    if (line.kind !== 'answer' || line.frame === null || spec === undefined) continue;
    const label = labels.get(line.id);
    const frame = frames.get(line.frame);
    const isRight = label === undefined ? null : rightness(label, line);
    if (frame !== undefined && isRight !== null) items.push({ ...frame, spec, isRight });
  }
  return items;
}

/** Null: the label does not say what would be right. */
function rightness({ verdict, value }: Label, { observed }: AnswerLine): SmokeItem['isRight'] | null {
  const truth = verdict === 'right' ? observed : value;
  if (truth !== undefined && truth !== null) return (answer) => same(answer) === same(truth);
  return verdict === 'wrong' ? (answer) => same(answer) !== same(observed) : null;
}

function same(value: unknown): unknown {
  return typeof value === 'string' ? value.trim().toLowerCase() : value;
}

/** An answer that fails is not right; a picture that went from the record meanwhile counts for nobody. */
export async function isAnsweredRight(eyes: Eyes, { line, picture, spec, isRight }: SmokeItem, signal: AbortSignal): Promise<boolean | null> {
  const frame = await recordedFrame(line, picture).catch(() => null);
  if (frame === null) return null;
  try {
    const seen = await eyes.look(pictureOf(frame, spec), { signal });
    try {
      const { value } = await seen.ask<Value>(spec.question, { as: answerType(spec.answer), signal });
      return isRight(value);
    } finally {
      await seen.dispose().catch(() => {});
    }
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
