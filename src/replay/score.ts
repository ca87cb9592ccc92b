/** How right a watch was, by what people said about its answers. */
import type { Value } from '../watch/spec.js';

/** An answer that somebody has judged. */
export interface Judged {
  observed: Value;
  /** Null: the engine has no figure, which counts as sure. */
  confidence: number | null;
  /** What was right; null: all that is known is that `not` was wrong. */
  truth: Value | null;
  not: Value | null;
}

export interface Score {
  labelled: number;
  /** Labels that say neither yes nor no about `positive`: of a choice that was wrong, and what was right was not said. */
  undecided: number;
  hits: number; // said so, and it was
  falseAlarms: number; // said so, and it was not
  misses: number; // was so, and it was not said
  /** Share of what was said that was so; null: nothing was said. */
  precision: number | null;
  /** Share of what was so that was said; null: it never was. */
  recall: number | null;
}

export interface BestThreshold {
  /** `min_confidence` with the least cost; null: saying it never costs least. */
  minConfidence: number | null;
  cost: number;
  score: Score;
}

/** Costs that differ by less than this share are equal: five misses at 0.2 cost one false alarm, whatever their sum is in binary. */
const SAME_COST = 1e-9;

/** Of saying `positive` with at least this confidence. */
export function scoreOf(judged: readonly Judged[], positive: Value, minConfidence: number): Score {
  const counts = { hits: 0, falseAlarms: 0, misses: 0, undecided: 0 };
  for (const each of judged) {
    const is = isPositive(each, positive);
    const said = each.observed === positive && (each.confidence ?? 1) >= minConfidence;
    if (is === null) counts.undecided++;
    else if (said) counts[is ? 'hits' : 'falseAlarms']++;
    else if (is) counts.misses++;
  }
  const { hits, falseAlarms, misses } = counts;
  return {
    labelled: judged.length,
    ...counts,
    precision: hits + falseAlarms === 0 ? null : hits / (hits + falseAlarms),
    recall: hits + misses === 0 ? null : hits / (hits + misses),
  };
}

/** The threshold at which false alarms and `missCost` times the misses are least; among equals the highest, which alarms least. One pass over the sorted answers. */
export function bestThreshold(judged: readonly Judged[], positive: Value, missCost: number): BestThreshold {
  const decided = judged.map((each) => ({ ...each, is: isPositive(each, positive) })).filter(({ is }) => is !== null);
  const said = decided.filter(({ observed }) => observed === positive).map(({ confidence, is }) => ({ confidence: confidence ?? 1, is }));
  said.sort((a, b) => b.confidence - a.confidence);
  let falseAlarms = 0;
  let misses = decided.filter(({ is }) => is).length;
  let best: { minConfidence: number | null; cost: number } = { minConfidence: null, cost: misses * missCost };
  for (const [index, { confidence, is }] of said.entries()) {
    if (is) misses--;
    else falseAlarms++;
    if (said[index + 1]?.confidence === confidence) continue; // equals are told together or not at all
    const cost = falseAlarms + missCost * misses;
    if (cost < best.cost - SAME_COST * (1 + best.cost)) best = { minConfidence: confidence, cost };
  }
  return { ...best, score: scoreOf(judged, positive, best.minConfidence ?? Number.POSITIVE_INFINITY) };
}

function isPositive({ truth, not }: Judged, positive: Value): boolean | null {
  if (truth !== null) return truth === positive;
  return not === positive ? false : null;
}
