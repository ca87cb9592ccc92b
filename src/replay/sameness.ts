/** What of a record still holds when other settings are tried on it. */
import type { FrameLine } from '../record/lines.js';
import type { WatchSpec } from '../watch/spec.js';

export interface Sameness {
  /** The same is asked about the same pictures by the same model: answers on record are those it would give. */
  answers: boolean;
  /** So are those to a second question with the same words. */
  opinions: boolean;
  /** Besides, everything that decides about frames is the same: those that were asked about then are asked about now. */
  decides: boolean;
  /** Whether the watch sees this frame. */
  shows: (line: FrameLine) => boolean;
}

/** Settings that change neither what is asked nor when, as long as nothing is asked a second time. */
const AFTERWARDS = ['camera', 'enabled', 'priority', 'picture', 'record', 'events', 'compare'] as const;

export function samenessOf(then: WatchSpec, now: WatchSpec, sameModel: boolean): Sameness {
  const opinions = sameModel && ['crop', 'zone', 'ignore'].every((key) => alike(then, now, key));
  const answers = opinions && ['question', 'answer'].every((key) => alike(then, now, key));
  const keys = new Set([...Object.keys(then), ...Object.keys(now)]);
  for (const key of AFTERWARDS) keys.delete(key);
  if ([then, now].some(({ events }) => events.confirm !== undefined)) for (const key of ['events', 'compare']) keys.add(key); // they say when it is asked a second time
  const sameMarks = then.compare?.event === now.compare?.event; // which make it ask
  const decides = answers && sameMarks && [...keys].every((key) => alike(then, now, key));
  return { answers, opinions, decides, shows: decides ? wasCompared : wasFree };
}

function alike(a: object, b: object, key: string): boolean {
  return JSON.stringify((a as Record<string, unknown>)[key]) === JSON.stringify((b as Record<string, unknown>)[key]);
}

/** The gate went into it. Others could not be asked about, for reasons that lie outside this watch: the engine's other work among them. */
function wasCompared({ asked, share, confirms }: FrameLine): boolean {
  return asked || confirms || share !== null;
}

/** The engine had time for it. */
function wasFree({ skipped }: FrameLine): boolean {
  return skipped !== 'busy';
}
