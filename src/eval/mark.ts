/** One answer against the truth. */
import type { Benchmark, Item } from './item.js';
import { containment } from './metrics/containment.js';
import { vqaAccuracy } from './metrics/vqa.js';
import { vqaText } from './metrics/vqa-text.js';
import { gqaAnswer } from './parsers/gqa.js';
import { mmbenchLetter, scienceQaLetter, seedLetter } from './parsers/letters.js';
import { mmeAnswer } from './parsers/mme.js';
import { popeIsUnclear, popeSaysYes } from './parsers/pope.js';

/** paper: free text, read by the published parsers. constrained: a typed answer, which needs no reading. */
export const MODES = ['paper', 'constrained'] as const;
export type Mode = (typeof MODES)[number];

export interface Mark {
  /** What the answer was taken to say. */
  said: string;
  /** False: the parser found nothing in it, or only its default. */
  isClear: boolean;
  /** 0 to 1; null where only a server knows. */
  score: number | null;
}

export function mark(benchmark: Benchmark, mode: Mode, item: Item, text: string): Mark {
  const { said, isClear } = mode === 'constrained' ? { said: text, isClear: true } : read(benchmark, item, text);
  const truth = mode === 'constrained' && item.answer.kind === 'yes-no' ? item.truth[0]?.toLowerCase() : item.truth[0];
  if (truth === undefined) return { said, isClear, score: null };
  if (benchmark === 'mm-vet') return { said, isClear, score: containment(text, truth) };
  if (isVqa(benchmark)) return { said, isClear, score: vqaAccuracy(text, item.truth) };
  return { said, isClear, score: said === truth ? 1 : 0 };
}

export function isVqa(benchmark: Benchmark): boolean {
  return ['vqav2', 'vizwiz', 'vizwiz-val', 'textvqa'].includes(benchmark);
}

function read(benchmark: Benchmark, { answer }: Item, text: string): Pick<Mark, 'said' | 'isClear'> {
  const options = answer.kind === 'letter' ? answer.options : [];
  const letter = (said: string | null) => ({ said: said ?? '', isClear: said !== null });
  const words = (said: string) => ({ said, isClear: said !== '' });
  switch (benchmark) {
    case 'gqa':
      return words(gqaAnswer(text));
    case 'scienceqa':
      return letter(scienceQaLetter(text, options));
    case 'mmbench':
    case 'mmbench-cn':
      return letter(mmbenchLetter(text, options));
    case 'seed':
      return letter(seedLetter(text, options));
    case 'pope':
      return { said: popeSaysYes(text) ? 'yes' : 'no', isClear: !popeIsUnclear(text) };
    case 'mme': {
      const said = mmeAnswer(text);
      return { said: said === null ? '' : said ? 'yes' : 'no', isClear: said !== null };
    }
    case 'mm-vet':
    case 'kitchen':
      return words(text);
    default:
      return words(vqaText(text));
  }
}
