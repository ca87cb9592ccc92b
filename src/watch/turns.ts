/** Whose turn it is when several want the engine. */
export interface Claim {
  /** Higher goes first. */
  priority: number;
  /** Turns that others got while this one was waiting; each counts like a step of priority, so nobody waits for ever. */
  passed: number;
  /** Milliseconds of the clock: among equals the longest waiting goes first. */
  lastMs: number;
}

export function nextTurn<T>(waiting: readonly T[], turnOf: (one: T) => Claim): T | undefined {
  let best: { one: T; rank: number; lastMs: number } | undefined;
  for (const one of waiting) {
    const { priority, passed, lastMs } = turnOf(one);
    const rank = priority + passed;
    if (best === undefined || rank > best.rank || (rank === best.rank && lastMs < best.lastMs)) best = { one, rank, lastMs };
  }
  return best?.one;
}
