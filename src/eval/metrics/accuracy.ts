/** Shares of right answers, of all and by category; a question of several rows is right when every row is. */
import { share } from './yes-no.js';

export interface Marked {
  right: boolean;
  /** Every category that it counts in. */
  categories: readonly string[];
}

export interface Rotation extends Marked {
  /** The same for all rotations of one question. */
  question: string;
}

export interface Accuracy {
  total: number; // 0 to 1
  categories: Map<string, number>;
}

export function accuracy(answers: readonly Marked[]): Accuracy {
  const counts = new Map<string, { right: number; of: number }>();
  for (const { right, categories } of answers) {
    for (const category of categories) {
      const count = counts.get(category) ?? { right: 0, of: 0 };
      counts.set(category, { right: count.right + Number(right), of: count.of + 1 });
    }
  }
  return {
    total: share(answers.filter(({ right }) => right).length, answers.length),
    categories: new Map([...counts].map(([category, { right, of }]) => [category, share(right, of)])),
  };
}

/** MMBench's circular evaluation: the options are rotated, and only who finds the right one in every place knows it. */
export function circularAccuracy(rotations: readonly Rotation[]): Accuracy {
  const questions = new Map<string, Marked>();
  for (const { question, right, categories } of rotations) {
    const before = questions.get(question);
    questions.set(question, { right: right && (before?.right ?? true), categories: before?.categories ?? categories });
  }
  return accuracy([...questions.values()]);
}
