/** MM-Vet by a judge: a language model behind an endpoint that the user names. The words of the request are ours, so the number is not the published one. */
import { createHash } from 'node:crypto';
import { MiphaError } from '../errors.js';
import type { Answers } from './answers.js';
import type { Item } from './item.js';
import type { Marked } from './score.js';

export interface Judge {
  /** Of an API as OpenAI's: `/chat/completions` is added. */
  url: string;
  model: string;
  /** Sent as a bearer token; null: none. */
  key: string | null;
  signal?: AbortSignal | undefined;
}

/** What the number is then. */
export function judgedMetric(model: string): string {
  return `a judge's grades, in words of our own: not the published number (${model})`;
}

const TEMPERATURES = [0, 0.5, 1]; // hotter after each reply without a grade
const PATIENCE_MS = 120_000;

const INSTRUCTION = `Grade an answer about a picture against the reference, from 0.0 (wrong) to 1.0 (right), in steps of 0.1.
<AND> in the reference joins elements that must all be there: each that is missing costs its share. <OR> joins alternatives: any one is enough.
Wording does not matter, meaning does. Reply with the number alone.

Reference: x = 3 <OR> x = -2 | Answer: x is 3 | Grade: 1.0
Reference: x = 3 <AND> x = -2 | Answer: x is 3 | Grade: 0.5
Reference: a red bus <AND> two dogs | Answer: A bus that is red, with a cat. | Grade: 0.5
Reference: a red bus | Answer: a boat | Grade: 0.0`;

/** Scored by grades of 0 to 1. They are kept in `kept`, so that an interrupted run goes on. Throws ERR_OPTION where the endpoint does not answer or gives no grades. */
export async function judged(marked: readonly Marked[], judge: Judge, kept: Answers): Promise<Marked[]> {
  const all: Marked[] = [];
  for (const each of marked) {
    const { request, about } = requestOf(each);
    let grade = keptGrade(kept, about);
    if (grade === undefined) {
      grade = await graded(each.item.id, request, judge);
      kept.add([{ item: about, answer: { text: String(grade), confidence: null, ms: 0 } }]);
    }
    all.push(scored(each, grade));
  }
  return all;
}

/** The same of grades that were given before; undefined where one is missing. */
export function judgedBefore(marked: readonly Marked[], kept: Answers): Marked[] | undefined {
  const all: Marked[] = [];
  for (const each of marked) {
    const grade = keptGrade(kept, requestOf(each).about);
    if (grade === undefined) return undefined;
    all.push(scored(each, grade));
  }
  return all;
}

/** What the judge is asked, and under what its grade is kept: another answer is another request. */
function requestOf({ item, answer }: Marked): { request: string; about: Item } {
  const request = `${INSTRUCTION}\n\nQuestion: ${item.question}\nReference: ${item.truth[0]} | Answer: ${answer.text.replaceAll('\n', ' ')} | Grade:`;
  return { request, about: { ...item, prompt: createHash('sha256').update(request).digest('hex') } };
}

function keptGrade(kept: Answers, about: Item): number | undefined {
  const known = kept.get(about);
  return known && Number(known.text);
}

function scored(each: Marked, grade: number): Marked {
  return { ...each, mark: { ...each.mark, score: grade } };
}

async function graded(id: string, request: string, judge: Judge): Promise<number> {
  let reply = '';
  for (const temperature of TEMPERATURES) {
    reply = await ask(request, temperature, judge);
    const grade = gradeOf(reply);
    if (grade !== null) return grade;
  }
  throw judgeError(judge, `a grade from 0.0 to 1.0 of ${id}`, JSON.stringify(reply.slice(0, 60)));
}

/** The one number of a reply; null where there is none, or it is no grade. */
export function gradeOf(reply: string): number | null {
  const numbers = reply.match(/-?\d+(?:\.\d+)?/g) ?? [];
  const grade = Number(numbers[0]);
  return numbers.length === 1 && grade >= 0 && grade <= 1 ? grade : null;
}

async function ask(content: string, temperature: number, judge: Judge): Promise<string> {
  const { url, model, key, signal } = judge;
  const timeout = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  let body: string;
  try {
    response = await fetch(`${url.replace(/\/$/, '')}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
      body: JSON.stringify({ model, temperature, messages: [{ role: 'user', content }] }),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    body = await response.text();
  } catch (error) {
    signal?.throwIfAborted();
    const { cause, message } = error as Error & { cause?: Error };
    throw judgeError(judge, 'an endpoint that answers', cause?.message ?? message);
  }
  if (!response.ok) throw judgeError(judge, 'an answer', `status ${response.status}`);
  try {
    return String(JSON.parse(body).choices[0].message.content);
  } catch {
    throw judgeError(judge, 'choices[0].message.content', JSON.stringify(body.slice(0, 60)));
  }
}

function judgeError({ url }: Judge, expected: string, received: string): MiphaError {
  return new MiphaError('ERR_OPTION', `Option --judge (${url}): expected ${expected}, received ${received}`, {
    details: { option: 'judge', expected, received },
  });
}
