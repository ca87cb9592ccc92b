import { expect, it } from 'vitest';
import { misfit } from '../../src/watch/fits.js';
import type { AnswerSpec } from '../../src/watch/spec.js';

const CHOICE: AnswerSpec = { type: 'choice', choices: ['red', 'green'] };
const WHOLE: AnswerSpec = { type: 'number', min: 0, max: 9, decimals: 0 };
const SHARE: AnswerSpec = { type: 'number', min: 0, max: 1, decimals: 2 };

it.each<[AnswerSpec, unknown[], unknown[], string]>([
  [{ type: 'boolean' }, [true, false], ['true', 1, null, undefined], 'true or false'],
  [CHOICE, ['red'], ['Red', 'blue', 0, null], 'one of red, green'],
  [WHOLE, [0, 9], [-1, 10, 1.5, '3', Number.NaN], 'a whole number from 0 to 9'],
  [SHARE, [0, 0.07, 0.58, 1], [0.125, 1.01, '0.5'], 'a number from 0 to 1 with 2 decimals at most'],
  [{ type: 'text', max_chars: 9 }, ['a cup'], ['', 3, true], 'text'],
])('values of %j', (answer, good, bad, words) => {
  for (const value of good) expect(misfit(answer, value)).toBeNull();
  for (const value of bad) expect(misfit(answer, value)).toBe(words);
});
