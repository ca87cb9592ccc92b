/** Which option an answer names. Options are those of the question, from A on; null: none was found, or a letter that is no option. */
import { words } from '../metrics/spaces.js';

/** A, B, C, ... of `count` options. */
export function letters(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String.fromCharCode(65 + index));
}

/** ScienceQA: a letter alone, "B. …", or one "The answer is B" with anything behind it. */
export function scienceQaLetter(answer: string, options: readonly string[]): string | null {
  const known = letters(options.length);
  const first = answer[0] ?? '';
  if (/^[A-E]$/.test(answer) || /^[A-E]\. /.test(answer)) return known.includes(first) ? first : null;
  const named = [...answer.matchAll(/The answer is ([A-Z])[^\n]/g)];
  const [, letter = ''] = named.length === 1 ? (named[0] as RegExpExecArray) : [];
  return known.includes(letter) ? letter : null;
}

/** SEED: nothing but the letter. */
export function seedLetter(answer: string, options: readonly string[]): string | null {
  return letters(options.length).includes(answer) ? answer : null;
}

const LAST_WORDS = 4;

/**
 * MMBench without a judge: the one letter among the words, if it first stands within the last four; else the one option whose text the answer contains,
 * unless the answer is more than twice as long as all options together. A lone Z says "none of them".
 */
export function mmbenchLetter(answer: string, options: readonly string[]): string | null {
  const spoken = words(answer.replace(/[.()[\],:;!*#{}]/g, ' '));
  const known = letters(options.length);
  const found = known.filter((letter) => spoken.includes(letter));
  const [letter] = found;
  if (found.length === 1 && spoken.indexOf(letter as string) >= spoken.length - LAST_WORDS) return letter as string;
  if (found.length === 0 && spoken.includes('Z')) return null;

  const lower = answer.toLowerCase();
  const length = (text: string) => [...text].length;
  if (length(lower) > 2 * options.reduce((sum, option) => sum + length(option), 0)) return null;
  const contained = known.filter((_, index) => lower.includes((options[index] as string).toLowerCase()));
  return contained.length === 1 ? (contained[0] as string) : null;
}
