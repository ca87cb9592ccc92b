/** From an event of one watch to those that compare with what was seen then. */
import type { WatchEvent } from './event.js';
import type { Mark } from './past.js';
import type { Watch } from './watch.js';

/** The teller itself, where it compares with its own events, begins anew; `mark` is called for each other one. */
export function markOthers({ type, outcome, atMs, at }: WatchEvent, watches: Iterable<Watch>, mark: (watch: string, mark: Mark) => void): void {
  const { watch: teller, id: answer, frame, confidence, value } = outcome;
  if (type === 'error' || type === 'reminder' || frame === null || value === null) return;
  for (const watch of watches) {
    if (watch.spec.compare?.event !== teller) continue;
    if (watch.id === teller) watch.markOwn({ value, confidence, frame });
    else mark(watch.id, { watch: teller, answer, frame: frame.id, fromMs: frame.monotonicMs, atMs, at });
  }
}
