/** Precision, recall and the best threshold, against counts made the long way. */
import { expect, it } from 'vitest';
import { random } from '../../src/camera/kitchen.js';
import { bestThreshold, type Judged, scoreOf } from '../../src/replay/score.js';
import { counts } from '../support/counts.js';

function judgements(seed: number): Judged[] {
  const next = random(seed);
  const values = ['none', 'cup', 'plate'];
  const any = () => values[Math.floor(next() * 3)] as string;
  return Array.from({ length: Math.floor(next() * 40) }, () => {
    const observed = any();
    const confidence = next() < 0.1 ? null : Math.round(next() * 8) / 8;
    const dice = next();
    return { observed, confidence, truth: dice < 0.5 ? observed : dice < 0.8 ? any() : null, not: dice < 0.8 ? null : observed };
  });
}

it('counts what was said and what was so', () => {
  const judged: Judged[] = [
    { observed: true, confidence: 0.9, truth: true, not: null },
    { observed: true, confidence: 0.6, truth: false, not: null },
    { observed: true, confidence: null, truth: true, not: null },
    { observed: false, confidence: 0.9, truth: true, not: null },
    { observed: false, confidence: 0.9, truth: false, not: null },
  ];
  expect(scoreOf(judged, true, 0)).toEqual({ labelled: 5, undecided: 0, hits: 2, falseAlarms: 1, misses: 1, precision: 2 / 3, recall: 2 / 3 });
  expect(scoreOf(judged, true, 0.7)).toMatchObject({ hits: 2, falseAlarms: 0, misses: 1, precision: 1, recall: 2 / 3 });
  expect(scoreOf([], true, 0)).toMatchObject({ precision: null, recall: null });
});

it('a choice that was wrong says what it was not', () => {
  const wrong: Judged = { observed: 'cup', confidence: 1, truth: null, not: 'cup' };
  expect(scoreOf([wrong], 'cup', 0)).toMatchObject({ falseAlarms: 1, undecided: 0 });
  expect(scoreOf([wrong], 'plate', 0)).toMatchObject({ falseAlarms: 0, misses: 0, undecided: 1 });
});

it('finds the threshold that trying every one finds', () => {
  for (let seed = 0; seed < counts(300, 5000); seed++) {
    const judged = judgements(seed);
    for (const missCost of [0, 0.2, 1, 3, 50]) {
      const costOf = (threshold: number) => {
        const { falseAlarms, misses } = scoreOf(judged, 'cup', threshold);
        return falseAlarms + missCost * misses;
      };
      const tried = [Number.POSITIVE_INFINITY, 1, ...new Set(judged.map(({ confidence }) => confidence ?? 1))].sort((a, b) => b - a);
      const least = Math.min(...tried.map(costOf));
      const { minConfidence, cost, score } = bestThreshold(judged, 'cup', missCost);
      expect(cost).toBeCloseTo(least, 9);
      expect(costOf(minConfidence ?? Number.POSITIVE_INFINITY)).toBeCloseTo(least, 9);
      const highest = tried.find((threshold) => Math.abs(costOf(threshold) - least) < 1e-9) as number;
      expect(score).toEqual(scoreOf(judged, 'cup', highest));
    }
  }
});
