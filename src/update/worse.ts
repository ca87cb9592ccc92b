/** Two models asked the same: the new one must not get fewer right. */
import { refused } from './refused.js';

export interface Score {
  right: number;
  of: number;
}

/** Throws ERR_UPDATE when the new one gets fewer right. */
export function refuseWorse(release: string, before: readonly (boolean | null)[], now: readonly (boolean | null)[]): Score {
  const both = before.flatMap((was, index) => (was === null || now[index] === null ? [] : [{ was, is: now[index] === true }]));
  const [old, fresh] = [both.filter(({ was }) => was).length, both.filter(({ is }) => is).length];
  if (fresh >= old) return { right: fresh, of: both.length };
  const expected = `at least ${old} of ${both.length} labelled answers of the record right, as the present model has`;
  throw refused('worse', `${release}: expected ${expected}, received ${fresh}`, { expected: old, received: fresh });
}
