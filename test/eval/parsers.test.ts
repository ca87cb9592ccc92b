/** What answers are taken to say: the traps of each published script, and 500 answers each against a twin in another style. */
import { describe, expect, it } from 'vitest';
import { gqaAnswer } from '../../src/eval/parsers/gqa.js';
import { letters, mmbenchLetter, scienceQaLetter, seedLetter } from '../../src/eval/parsers/letters.js';
import { mmeAnswer } from '../../src/eval/parsers/mme.js';
import { popeIsUnclear, popeSaysYes } from '../../src/eval/parsers/pope.js';
import { Random } from '../support/random.js';

const CASES = 500;
const PARTS = [
  'A',
  'B',
  'C',
  'D',
  'E',
  'Z',
  '.',
  '. ',
  ' ',
  ' ',
  ',',
  '\n',
  'no',
  'No',
  'NO',
  'not',
  'yes',
  'Yes',
  'The answer is ',
  'cat',
  'Dog',
  'é',
  '(',
  ')',
  ':',
];
const OPTIONS = ['Cat', 'dog', 'two dogs'];

function each(name: string, check: (text: string) => void): void {
  it(`${name}: ${CASES} answers`, () => {
    for (let seed = 1; seed <= CASES; seed++) check(new Random(seed).text(PARTS, 0, 9));
  });
}

describe('POPE', () => {
  it.each([
    ['No', false],
    ['no, there is', false],
    ['There is not.', false],
    ['Yes. No', true],
    ['NO', true],
    ['none', true],
    ['', true],
    ['Yes', true],
    ['.no', true],
    ['is\nno', true],
  ])('%j is yes: %s', (answer, yes) => expect(popeSaysYes(answer)).toBe(yes));

  it('counts yes by default as unclear', () => {
    expect(['Yes', 'yes, it is', 'No', '', 'NO', 'a cat'].map(popeIsUnclear)).toEqual([false, false, false, true, true, true]);
  });

  each('as the twin says', (text) => {
    const sentence = text.split('.')[0]?.split(',').join('') ?? '';
    expect(popeSaysYes(text), text).toBe(!/(^| )(no|No|not)( |$)/.test(sentence));
  });
});

describe('MME', () => {
  it.each([
    ['Yes', true],
    ['NO', false],
    ['yes, it is', true],
    ['no.', false],
    ['It is', null],
    ['', null],
    [' yes', true],
    ['a no', false],
    ['not so', false],
    ['the yes', null],
  ])('%j is %s', (answer, said) => expect(mmeAnswer(answer)).toBe(said));

  each('as the twin says', (text) => {
    const at = (word: string) => [...text.toLowerCase()].join('\0').split('\0').slice(0, 4).join('').indexOf(word);
    expect(mmeAnswer(text), text).toBe(at('yes') >= 0 ? true : at('no') >= 0 ? false : null);
  });
});

it('GQA loses the dots at its end and its capitals, and nothing else', () => {
  expect(['Red.', 'red..', 'U.S.', ' red', 'red .', '.', 'T-Shirt'].map(gqaAnswer)).toEqual(['red', 'red', 'u.s', ' red', 'red ', '', 't-shirt']);
});

describe('ScienceQA', () => {
  it.each([
    ['A', 'A'],
    ['C', 'C'],
    ['D', null],
    ['a', null],
    ['B. dog', 'B'],
    ['B.dog', null],
    ['B.', null],
    ['B. ', 'B'],
    ['(B)', null],
    ['The answer is B.', 'B'],
    ['The answer is B!', 'B'],
    ['The answer is B', null],
    ['The answer is B\n', null],
    ['The answer is A. The answer is B.', null],
    ['So The answer is F.', null],
    ['F', null],
    ['the answer is B.', null],
    ['', null],
  ])('%j names %s', (answer, letter) => expect(scienceQaLetter(answer, OPTIONS)).toBe(letter));

  each('as the twin says', (text) => {
    let letter: string | undefined;
    if (text.length === 1 && 'ABCDE'.includes(text)) letter = text;
    else if (text.length >= 3 && 'ABCDE'.includes(text.charAt(0)) && text.slice(1, 3) === '. ') letter = text.charAt(0);
    else {
      const after = text
        .split('The answer is ')
        .slice(1)
        .filter((rest) => rest.length >= 2 && rest.charAt(0) >= 'A' && rest.charAt(0) <= 'Z' && rest.charAt(1) !== '\n');
      const cut = text
        .split('The answer is ')
        .slice(1)
        .filter((rest, i, all) => rest.length === 1 && i < all.length - 1); // the next sentence is the character
      if (after.length + cut.length === 1) letter = (after[0] ?? cut[0])?.charAt(0);
    }
    expect(scienceQaLetter(text, OPTIONS), text).toBe(['A', 'B', 'C'].includes(letter ?? '') ? letter : null);
  });
});

describe('SEED', () => {
  it('takes the bare letter of an option', () => {
    expect(['A', 'D', 'E', 'a', 'A.', ' A', ''].map((answer) => seedLetter(answer, letters(4)))).toEqual(['A', 'D', null, null, null, null, null]);
  });
});

describe('MMBench', () => {
  it.each([
    ['A', 'A'],
    ['(B)', 'B'],
    ['The answer is B', 'B'],
    ['B is the right one', null],
    ['B is the one', 'B'],
    ['A or B', null],
    ['B, surely B of all of them', null],
    ['D', null],
    ['It shows a cat', 'A'],
    ['cat and dog', null],
    ['two dogs', null],
    [`dog ${'x'.repeat(24)}`, 'B'],
    [`dog ${'x'.repeat(25)}`, null],
    ['Z', null],
    ['Z, a cat', null],
    ['a', null],
    ['', null],
  ])('%j names %s', (answer, letter) => expect(mmbenchLetter(answer, OPTIONS)).toBe(letter));

  each('as the twin says', (text) => {
    const tokens: string[] = [];
    for (const token of text.split(/[\s.()[\],:;!*#{}]+/)) if (token !== '') tokens.push(token);
    const hits = ['A', 'B', 'C'].filter((letter) => tokens.some((token) => token === letter));
    let expected: string | null = null;
    const late = tokens.length - tokens.indexOf(hits[0] ?? '') <= 4;
    if (hits.length === 1 && late) expected = hits[0] as string;
    else if (!(hits.length === 0 && tokens.includes('Z'))) {
      const inside = OPTIONS.flatMap((option, i) => (text.toLowerCase().split(option.toLowerCase()).length > 1 ? ['ABC'.charAt(i)] : []));
      if (inside.length === 1 && [...text].length <= 2 * OPTIONS.join('').length) expected = inside[0] as string;
    }
    expect(mmbenchLetter(text, OPTIONS), text).toBe(expected);
  });
});
