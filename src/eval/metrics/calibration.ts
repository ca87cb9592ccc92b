/** Whether answers are right as often as their confidence says. */
import { share } from './yes-no.js';

export interface Sure {
  confidence: number; // 0 to 1
  /** 0 to 1: how right it was. */
  right: number;
}

/** Confidences above `from`, up to and with `to`; those of 0 are in the first. */
export interface Bin {
  from: number;
  to: number;
  count: number;
  confidence: number; // mean of those in it; 0 in an empty one
  right: number;
}

export interface CalibrationFigures {
  /** Expected calibration error: mean distance of confidence and rightness over the bins, by their count. 0 to 1. */
  error: number;
  bins: Bin[];
}

export const BINS = 10;

export function calibrationFigures(answers: readonly Sure[], bins = BINS): CalibrationFigures {
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, right: 0 }));
  for (const { confidence, right } of answers) {
    const sum = sums[binOf(confidence, bins)] as { count: number; confidence: number; right: number };
    sum.count++;
    sum.confidence += confidence;
    sum.right += right;
  }
  const distance = sums.reduce((total, { confidence, right }) => total + Math.abs(confidence - right), 0);
  return {
    error: share(distance, answers.length),
    bins: sums.map(({ count, confidence, right }, index) => ({
      from: index / bins,
      to: (index + 1) / bins,
      count,
      confidence: share(confidence, count),
      right: share(right, count),
    })),
  };
}

/** Compared with the edges as they are printed: 0.3 × 10 is not 3 for a computer. */
function binOf(confidence: number, bins: number): number {
  let bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
  while (bin > 0 && confidence <= bin / bins) bin--;
  while (bin < bins - 1 && confidence > (bin + 1) / bins) bin++;
  return bin;
}
