/** What of a record still holds when other settings are tried on it. */
import type { FrameLine } from '../record/lines.js';
import type { WatchSpec } from '../watch/spec.js';

export interface Sameness {
  /** The same is asked about the same pictures by the same model: answers on record are those it would give. */
  answers: boolean;
  /** Besides, everything that decides about frames is the same: those that were asked about then are asked about now. */
  decides: boolean;
  /** Whether the watch sees this frame. */
  shows: (line: FrameLine) => boolean;
}

/** Settings that change neither what is asked nor when. */
const AFTERWARDS = ['camera', 'enabled', 'priority', 'picture', 'record', 'events'] as const;

export function samenessOf(then: WatchSpec, now: WatchSpec, sameModel: boolean): Sameness {
  const answers = sameModel && ['question', 'answer', 'crop', 'zone', 'ignore'].every((key) => alike(then, now, key));
  const keys = new Set([...Object.keys(then), ...Object.keys(now)]);
  for (const key of AFTERWARDS) keys.delete(key);
  const asksTwice = [then, now].some(({ events }) => events.confirm !== undefined); // second answers are not on record
  const decides = answers && !asksTwice && [...keys].every((key) => alike(then, now, key));
  return { answers, decides, shows: decides ? wasCompared : wasFree };
}

function alike(a: object, b: object, key: string): boolean {
  return JSON.stringify((a as Record<string, unknown>)[key]) === JSON.stringify((b as Record<string, unknown>)[key]);
}

/** The gate went into it. Others could not be asked about, for reasons that lie outside this watch: the engine's other work among them. */
function wasCompared({ asked, share }: FrameLine): boolean {
  return asked || share !== null;
}

/** The engine had time for it. */
function wasFree({ skipped }: FrameLine): boolean {
  return skipped !== 'busy';
}
