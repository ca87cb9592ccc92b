/** Two packages or backends on the same items: which answers flip, and whether one is better by more than chance. */

import type { Benchmark, Dataset, Item } from './item.js';
import type { Mode } from './mark.js';
import { mcnemar, type PairedTest } from './metrics/mcnemar.js';
import { type Marked, score } from './score.js';

export interface Flip {
  item: Item;
  a: Pick<Marked['mark'], 'said' | 'score'> & { text: string };
  b: Pick<Marked['mark'], 'said' | 'score'> & { text: string };
}

export interface Comparison {
  benchmark: Benchmark;
  mode: Mode;
  /** What is compared, in words. */
  metric: string;
  items: number;
  a: number | null;
  b: number | null;
  /** Answers that are not the same text. */
  different: number;
  /** Of items by their score; null where only a server knows. */
  test: PairedTest | null;
  /** Items with another score, or, without scores, with another meaning. */
  flipped: number;
  /** The first thousand. */
  flips: Flip[];
}

const MOST_LISTED = 1000;

/** Both have the same items in the same order. */
export function compare({ benchmark }: Pick<Dataset, 'benchmark'>, mode: Mode, a: readonly Marked[], b: readonly Marked[]): Comparison {
  const of = score(benchmark, mode, a);
  const pairs = a.map((first, index) => [first, b[index] as Marked] as const);
  const flips = pairs.filter(([first, second]) =>
    first.mark.score === null ? first.mark.said !== second.mark.said : first.mark.score !== second.mark.score,
  );
  const scores = (of: readonly Marked[]) => of.map(({ mark }) => mark.score ?? 0);
  const isScored = pairs.some(([first]) => first.mark.score !== null);
  return {
    benchmark,
    mode,
    metric: of.metric,
    items: pairs.length,
    a: of.value,
    b: score(benchmark, mode, b).value,
    different: pairs.filter(([first, second]) => first.answer.text !== second.answer.text).length,
    test: isScored ? mcnemar(scores(a), scores(b)) : null,
    flipped: flips.length,
    flips: flips.slice(0, MOST_LISTED).map(([first, second]) => ({ item: first.item, a: sideOf(first), b: sideOf(second) })),
  };
}

function sideOf({ answer, mark: { said, score: value } }: Marked): Flip['a'] {
  return { text: answer.text, said, score: value };
}
