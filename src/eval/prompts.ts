/** The words in which the paper asks, built from what the tables have; files of LLaVA's folder bring their own. */
import { letters } from './parsers/letters.js';

export const SHORT = 'Answer the question using a single word or phrase.';
export const LETTER = "Answer with the option's letter from the given choices directly.";
const LETTER_CN = '请直接回答选项字母。';
const MAY_REFUSE = "When the provided information is insufficient, respond with 'Unanswerable'.";
/** What MME's own questions end with, and POPE's in some tables. */
const YES_OR_NO = /\s*Please answer yes or no\.\s*$/i;

export function shortPrompt(question: string): string {
  return `${question}\n${SHORT}`;
}

/** VizWiz: people asked about pictures that often do not show it. */
export function refusablePrompt(question: string): string {
  return `${question}\n${MAY_REFUSE}\n${SHORT}`;
}

export function letterPrompt(question: string, options: readonly string[], { hint = '', inChinese = false } = {}): string {
  const names = letters(options.length);
  const lines = options.map((option, index) => `${names[index]}. ${option}`);
  return [...(hint === '' ? [] : [hint]), question, ...lines, inChinese ? LETTER_CN : LETTER].join('\n');
}

export function scienceQaPrompt(question: string, options: readonly string[], context: string): string {
  return letterPrompt(question, options, { hint: context === '' ? '' : `Context: ${context}` });
}

/** Of a whole prompt, or of a question as a table has it: without the lines and words that say how to answer. */
export function bareQuestion(text: string): string {
  const lines = text.split('\n').filter((line) => ![SHORT, LETTER, LETTER_CN, MAY_REFUSE].includes(line.trim()));
  return lines.join('\n').trim();
}

export function withoutYesOrNo(question: string): string {
  return question.replace(YES_OR_NO, '').trim();
}
