/** The normalization that answers of VQA benchmarks go through, on both sides, before they are compared: that of the m4c evaluator and of EvalAI's uploads. */
import { CONTRACTIONS } from './contractions.js';
import { strip, words } from './spaces.js';

const PUNCTUATION = [...';/[]"{}()=+\\_-><@`,?!'];
const DOTS = 32; // the published pattern passes a flag where the number of replacements goes
const NUMBERS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];
const DIGITS: ReadonlyMap<string, string> = new Map([['none', '0'], ...NUMBERS.map((name, value): [string, string] => [name, String(value)])]);
const ARTICLES = ['a', 'an', 'the'];

/**
 * Lower-case, without punctuation and articles, numbers up to ten as digits, apostrophes put back. Traps of the original that count: `'s` becomes a
 * word of its own; whether a mark is deleted or becomes a space depends on the text before any mark was; `3.` loses its dot; the 33rd dot stays.
 */
export function vqaText(answer: string): string {
  const lower = strip(answer.toLowerCase().replace(/[,?]/g, '').replaceAll("'s", " 's"));
  const line = strip(lower.replace(/[\n\t]/g, ' '));
  const kept = words(withoutPunctuation(line).toLowerCase())
    .map((word) => DIGITS.get(word) ?? word)
    .filter((word) => !ARTICLES.includes(word));
  return kept.map((word) => CONTRACTIONS.get(word) ?? word).join(' ');
}

function withoutPunctuation(text: string): string {
  let left = text;
  for (const mark of PUNCTUATION) {
    const isApart = text.includes(`${mark} `) || text.includes(` ${mark}`);
    left = left.replaceAll(mark, isApart ? '' : ' ');
  }
  let dots = 0;
  return left.replace(/\.(?!\p{Nd})/gu, (dot) => (dots++ < DOTS ? '' : dot));
}
