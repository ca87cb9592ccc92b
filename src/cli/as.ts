/** The `--as` option: what kind of answer is wanted, in one word of a shell. */
import { z } from 'zod';
import type { AnswerType } from '../engine/answer-type.js';
import { nearestKey, optionError } from '../errors.js';
import type { AnswerSpec } from '../watch/spec.js';

export const AS_HELP = 'boolean | int:0..9 | number:0..1 | choice:red,green,blue | text:80';

/** Each kind with a right example of what may follow its colon. */
const EXAMPLES = { boolean: '', int: '0..9', number: '0..1', choice: 'red,green,blue', text: '80' };
type Kind = keyof typeof EXAMPLES;
const KINDS = Object.keys(EXAMPLES) as Kind[];

/** What others call them. */
const SYNONYMS: Record<Kind, readonly string[]> = {
  boolean: ['bool', 'yesno', 'yes/no', 'truefalse', 'flag'],
  int: ['integer', 'count', 'long', 'uint', 'digit'],
  number: ['float', 'double', 'decimal', 'real', 'num'],
  choice: ['enum', 'choices', 'select', 'option', 'options', 'oneof', 'one-of', 'literal'],
  text: ['string', 'str', 'words', 'sentence', 'free'],
};

const RANGE = /^(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)$/;

/** `boolean`, `int:MIN..MAX`, `number:MIN..MAX`, `choice:A,B,C` or `text:LENGTH` → a schema for ask(). Throws ERR_OPTION with the spec that was probably meant. */
export function parseAs(spec: string): AnswerType<boolean | number | string> {
  const schema = schemaOf(spec);
  if (schema === undefined) throw optionError('--as', AS_HELP, spec, meant(spec));
  return schema;
}

/** The same as a node takes it over MQTT; numbers get as many decimals as their limits have, at least two. Throws ERR_OPTION. */
export function parseAnswer(spec: string): AnswerSpec {
  parseAs(spec);
  const [kind, rest = ''] = spec.split(/:(.*)/s, 2);
  const [min = 0, max = 0] = (RANGE.exec(rest) ?? []).slice(1).map(Number);
  if (kind === 'int') return { type: 'number', min, max, decimals: 0 };
  if (kind === 'number')
    return { type: 'number', min, max, decimals: Math.max(2, ...rest.split('..').map((limit) => limit.split('.')[1]?.length ?? 0)) };
  if (kind === 'choice') return { type: 'choice', choices: rest.split(',').map((choice) => choice.trim()) };
  return kind === 'text' ? { type: 'text', max_chars: Number(rest) } : { type: 'boolean' };
}

function schemaOf(spec: string): AnswerType<boolean | number | string> | undefined {
  const [kind, rest = ''] = spec.split(/:(.*)/s, 2);
  if (kind === 'boolean' && rest === '' && !spec.includes(':')) return z.boolean();
  if (kind === 'int' || kind === 'number') {
    const [min, max] = (RANGE.exec(rest) ?? []).slice(1).map(Number);
    const whole = kind === 'number' || (Number.isInteger(min) && Number.isInteger(max));
    if (min !== undefined && max !== undefined && min <= max && whole) return (kind === 'int' ? z.int() : z.number()).min(min).max(max);
  }
  if (kind === 'choice') {
    const choices = rest.split(',').map((choice) => choice.trim());
    const [first, ...others] = choices;
    if (first !== undefined && choices.every((choice) => choice !== '') && new Set(choices).size === choices.length)
      return z.enum([first, ...others]);
  }
  if (kind === 'text' && /^[1-9]\d*$/.test(rest)) return z.string().max(Number(rest));
  return undefined;
}

/** The spec with the kind it probably means, and its own values where these can be read; undefined when nothing comes to mind. */
function meant(spec: string): string | undefined {
  const [, word = '', rest = ''] = /^\s*([^\s:=({[]*)\s*[\s:=({[]*(.*?)[\])}]*\s*$/s.exec(spec) ?? [];
  const kind = kindOf(word.toLowerCase());
  if (kind === undefined) return undefined;
  const numbers = rest.match(/-?\d+(?:\.\d+)?/g) ?? [];
  const values: Record<Kind, string | undefined> = {
    boolean: '',
    int: range(numbers),
    number: range(numbers),
    choice: [...new Set(rest.split(/[,|;/]/).map((choice) => choice.trim()))].filter(Boolean).join(','),
    text: numbers[0],
  };
  const own = kind === 'boolean' ? kind : `${kind}:${values[kind]}`;
  if (values[kind] !== undefined && schemaOf(own) !== undefined) return own;
  return kind === 'boolean' ? kind : `${kind}:${EXAMPLES[kind]}`;
}

function kindOf(word: string): Kind | undefined {
  const names = KINDS.flatMap((kind) => [kind, ...SYNONYMS[kind]]);
  const near = names.includes(word) ? word : word === '' ? undefined : nearestKey(word, names);
  return KINDS.find((kind) => kind === near || (near !== undefined && SYNONYMS[kind].includes(near)));
}

/** "0-9" is read as 0 to 9. */
function range(numbers: readonly string[]): string | undefined {
  const [a, b] = numbers.map((text, i) => (i === 1 ? text.replace(/^-/, '') : text)).map(Number);
  return a === undefined || b === undefined ? undefined : `${Math.min(a, b)}..${Math.max(a, b)}`;
}
