/**
 * The power of two choices: of two nodes drawn by chance, the one that would answer sooner. Nearly as good as the best of all, and where many ask with news that
 * are a little old they do not all run to the same node.
 */
import type { PoolNode } from './node.js';

/** One question in so many goes to the other of the two: a node that was slow once would not be measured again. */
const EXPLORES = 32;
/** What a query takes where no node has said it; ms. */
const GUESS_MS = 1000;

/** `random`: numbers in [0, 1). */
export function choose(candidates: readonly PoolNode[], random: () => number): PoolNode | undefined {
  const { length } = candidates;
  if (length < 2) return candidates[0];
  const first = Math.floor(random() * length);
  const second = Math.floor(random() * (length - 1));
  const one = candidates[first] as PoolNode;
  const other = candidates[second < first ? second : second + 1] as PoolNode;
  const usual = usualOf(candidates);
  const [sooner, later] = expectedMs(one, usual) <= expectedMs(other, usual) ? [one, other] : [other, one];
  return Math.floor(random() * EXPLORES) === 0 ? later : sooner;
}

/** Until an answer, if it were asked now; `usualMs` for a node that has not measured any. */
export function expectedMs(node: PoolNode, usualMs = GUESS_MS): number {
  return (node.queue + 1) * (node.usualMs ?? usualMs);
}

/** The mean of those that know: a node that is new is as good as the others until it has shown what it is. */
function usualOf(nodes: readonly PoolNode[]): number {
  let sum = 0;
  let known = 0;
  for (const { usualMs } of nodes) {
    if (usualMs === null) continue;
    sum += usualMs;
    known++;
  }
  return known === 0 ? GUESS_MS : sum / known;
}
