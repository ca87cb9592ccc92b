/** The metrics once more, from their definitions and in another style: slow, literal, with nothing in common with src/eval/metrics but the table of words. */
import { CONTRACTIONS } from '../../src/eval/metrics/contractions.js';
import { COGNITION, PERCEPTION } from '../../src/eval/metrics/mme.js';

const isSpace = (c: string) => c === '\u0085' || ('\u001c' <= c && c <= '\u001f') || (/\s/.test(c) && c !== '\ufeff');

function trim(text: string): string {
  const letters = [...text];
  while (letters.length > 0 && isSpace(letters[0] as string)) letters.shift();
  while (letters.length > 0 && isSpace(letters.at(-1) as string)) letters.pop();
  return letters.join('');
}

/** Step by step, letter by letter. */
export function vqaText(answer: string): string {
  let text = '';
  const lower = answer.toLowerCase();
  for (let i = 0; i < lower.length; i++) {
    const c = lower[i] as string;
    if (c === ',' || c === '?') continue;
    text += c;
  }
  text = trim(text.split("'s").join(" 's"));
  text = trim(text.split('\n').join(' ').split('\t').join(' '));

  const before = text;
  for (const mark of [';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!']) {
    let isApart = false;
    for (let i = 0; i < before.length; i++) isApart ||= before[i] === mark && (before[i + 1] === ' ' || before[i - 1] === ' ');
    text = text.split(mark).join(isApart ? '' : ' ');
  }
  let gone = 0;
  let dotless = '';
  const letters = [...text];
  for (const [i, c] of letters.entries()) {
    const beforeDigit = /\p{Nd}/u.test(letters[i + 1] ?? '');
    if (c === '.' && !beforeDigit && gone < 32) gone++;
    else dotless += c;
  }

  const words: string[] = [];
  let word = '';
  for (const c of [...dotless, ' ']) {
    if (!isSpace(c)) word += c;
    else {
      if (word !== '') words.push(word);
      word = '';
    }
  }
  const numbers = 'zero one two three four five six seven eight nine ten'.split(' ');
  const out: string[] = [];
  for (const raw of words) {
    const digit = raw === 'none' ? '0' : numbers.includes(raw) ? `${numbers.indexOf(raw)}` : raw;
    if (digit === 'a' || digit === 'an' || digit === 'the') continue;
    out.push(CONTRACTIONS.get(digit) ?? digit);
  }
  return out.join(' ');
}

export const mean = (values: readonly number[]) => (values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length);

export function vqaAccuracy(answer: string, people: readonly string[]): number {
  const said = vqaText(answer);
  const texts = people.map(vqaText);
  return mean(texts.map((_, left) => Math.min(1, texts.filter((text, i) => i !== left && text === said).length / 3)));
}

/** Accuracy, F1 as the harmonic mean, share of yes. */
export function yesNo(answers: readonly { said: boolean; truth: boolean }[]): number[] {
  const hits = answers.filter(({ said, truth }) => said && truth).length;
  const wrong = answers.filter(({ said, truth }) => said !== truth).length;
  const f1 = hits === 0 ? 0 : hits / (hits + wrong / 2);
  return [mean(answers.map(({ said, truth }) => Number(said === truth))), f1, mean(answers.map(({ said }) => Number(said)))];
}

export function mme(answers: readonly { task: string; picture: string; right: boolean }[]): [perception: number, cognition: number] {
  const sums: [number, number] = [0, 0];
  for (const [index, names] of [PERCEPTION, COGNITION].entries()) {
    for (const name of names as readonly string[]) {
      const of = answers.filter(({ task }) => task === name);
      const pictures = [...new Set(of.map(({ picture }) => picture))];
      const both = pictures.filter((picture) => of.every((answer) => answer.picture !== picture || answer.right));
      sums[index] =
        (sums[index] as number) +
        100 * mean(of.map(({ right }) => Number(right))) +
        (pictures.length === 0 ? 0 : (100 * both.length) / pictures.length);
    }
  }
  return sums;
}

export function circular(rows: readonly { question: string; right: boolean }[]): number {
  const known = [...new Set(rows.map(({ question }) => question))];
  return mean(known.map((name) => Number(!rows.some(({ question, right }) => question === name && !right))));
}

export function containment(answer: string, truth: string): number {
  const said = vqaText(answer).split(' ');
  const has = (element: string) => {
    const wanted = vqaText(element).split(' ');
    if (wanted.join('') === '') return false;
    return said.some((_, start) => wanted.every((word, i) => said[start + i] === word));
  };
  let best = 0;
  for (const alternative of truth.split('<OR>')) best = Math.max(best, mean(alternative.split('<AND>').map((element) => Number(has(element)))));
  return best;
}

/** Confidences are hundredths here, so the bins are those of whole numbers. */
export function calibrationError(answers: readonly { confidence: number; right: number }[]): number {
  let error = 0;
  for (let low = 0; low < 100; low += 10) {
    const inside = answers.filter(({ confidence }) => {
      const hundredths = Math.round(100 * confidence);
      return (hundredths > low || (low === 0 && hundredths === 0)) && hundredths <= low + 10;
    });
    error +=
      (inside.length / Math.max(1, answers.length)) *
      Math.abs(mean(inside.map(({ confidence }) => confidence)) - mean(inside.map(({ right }) => right)));
  }
  return error;
}

/** With whole binomial coefficients. */
export function signTest(a: readonly number[], b: readonly number[]): number {
  const better = a.filter((score, i) => score > (b[i] as number)).length;
  const worse = a.filter((score, i) => score < (b[i] as number)).length;
  let row = [1n]; // of Pascal's triangle
  for (let n = 0; n < better + worse; n++) row = [1n, ...row.slice(1).map((value, i) => value + (row[i] as bigint)), 1n];
  const tail = row.slice(0, Math.min(better, worse) + 1).reduce((sum, value) => sum + value, 0n);
  return Math.min(1, (2 * Number(tail)) / 2 ** (better + worse));
}
