/** POPE's figures, with yes as the positive answer. */

export interface YesNo {
  /** What the answer was taken to say. */
  said: boolean;
  truth: boolean;
}

/** Shares from 0 to 1; where nothing was said or true of a kind, the shares of it are 0. */
export interface YesNoFigures {
  accuracy: number;
  precision: number;
  recall: number;
  f1: number;
  yesRatio: number; // of what was said
}

export function yesNoFigures(answers: readonly YesNo[]): YesNoFigures {
  const count = (said: boolean, truth: boolean) => answers.filter((answer) => answer.said === said && answer.truth === truth).length;
  const [truePositive, falsePositive, falseNegative, trueNegative] = [count(true, true), count(true, false), count(false, true), count(false, false)];
  const precision = share(truePositive, truePositive + falsePositive);
  const recall = share(truePositive, truePositive + falseNegative);
  return {
    accuracy: share(truePositive + trueNegative, answers.length),
    precision,
    recall,
    f1: share(2 * precision * recall, precision + recall),
    yesRatio: share(truePositive + falsePositive, answers.length),
  };
}

/** `part` of `whole`; 0 of nothing. */
export function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
