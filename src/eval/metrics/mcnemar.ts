/** Whether one of two models is better on the same items, or they only differ by chance. */

export interface PairedTest {
  onlyA: number; // items on which A is better
  onlyB: number;
  /** The chance that items which are as likely to fall to one as to the other are divided at least as unevenly. 0 to 1. */
  p: number;
}

/** McNemar's test, exact and two-sided; for graded scores it is the sign test. */
export function mcnemar(a: readonly number[], b: readonly number[]): PairedTest {
  let [onlyA, onlyB] = [0, 0];
  for (const [index, score] of a.entries()) {
    const other = b[index] as number;
    if (score > other) onlyA++;
    if (score < other) onlyB++;
  }
  return { onlyA, onlyB, p: twoSided(Math.min(onlyA, onlyB), onlyA + onlyB) };
}

/** 2 · P(X <= fewer) for X of `count` throws of a coin, at most 1. In logarithms: 2^-count is 0 from 1075 throws on. */
function twoSided(fewer: number, count: number): number {
  let term = -count * Math.LN2; // ln P(X = 0)
  let sum = Math.exp(term);
  let scale = 0; // sum is in units of e^scale
  if (sum === 0) [scale, sum] = [term, 1];
  for (let k = 1; k <= fewer; k++) {
    term += Math.log((count - k + 1) / k);
    if (term - scale > 500) {
      sum *= Math.exp(scale - term);
      scale = term;
    }
    sum += Math.exp(term - scale);
  }
  return Math.min(1, 2 * sum * Math.exp(scale));
}
