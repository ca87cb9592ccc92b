/**
 * A shape → the automaton of its answers, the line that tells the model how to answer, and the way back from text to value.
 * Scalars are spelled as people write them: a space before, either case of the first letter, a full stop behind. Objects are JSON with
 * the keys in the order of the schema and one space after each colon and comma.
 */
import { MiphaError, optionError } from '../errors.js';
import { type Automaton, compile, MAX_STATES } from './automaton.js';
import { choice, literal, Nfa, numbers, text } from './nfa.js';
import { SHORT } from './prompt.js';
import type { AnswerShape } from './schema.js';

export interface Constraint {
  automaton: Automaton;
  /** Appended to the question on a line of its own; '' for none. */
  suffix: string;
  /** Text that the automaton accepts → value. */
  read(text: string): unknown;
}

/** Up to this many numbers are told apart as values; beyond it each spelling stands for itself. */
const MAX_CHOICES = 1024;

/** Throws ERR_OPTION when the automaton would be too large. */
export function constraintOf(shape: AnswerShape): Constraint {
  return shape.kind === 'object' ? objectConstraint(shape) : scalarConstraint(shape);
}

function scalarConstraint(shape: Exclude<AnswerShape, { kind: 'object' }>): Constraint {
  const nfa = new Nfa();
  const finite = scalarSpellings(shape);
  const start = nfa.state({ kind: 'literal', settled: finite?.values.length === 1 });
  const end = nfa.state({ kind: 'literal', settled: true });
  if (finite !== undefined) {
    choice(nfa, start, end, finite.spellings, 0, true);
    const suffix = shape.kind === 'choice' && shape.values.length === 1 ? '' : SHORT;
    return { automaton: built(nfa, start, end), suffix, read: (answer) => finite.values[finite.spellings.get(answer) as number] };
  }
  const afterSpace = nfa.state({ kind: 'literal', settled: false });
  nfa.edge(start, 0x20, 0x20, afterSpace);
  nfa.skip(start, afterSpace);
  free(nfa, afterSpace, end, shape, false);
  if (shape.kind === 'text') return { automaton: built(nfa, start, end), suffix: '', read: (answer) => answer.replace(/^ /, '') };
  return { automaton: built(nfa, start, end), suffix: SHORT, read: Number };
}

function objectConstraint(shape: AnswerShape): Constraint {
  const parts = jsonParts(shape);
  const lastOpen = parts.findLastIndex((part) => (part instanceof Map ? new Set(part.values()).size > 1 : typeof part !== 'string'));
  const nfa = new Nfa();
  const start = nfa.state({ kind: 'literal', settled: lastOpen < 0 });
  const spaced = literal(nfa, start, ' ', lastOpen < 0);
  let at = nfa.state({ kind: 'literal', settled: lastOpen < 0 });
  nfa.skip(start, at);
  nfa.skip(spaced, at);
  for (const [index, part] of parts.entries()) {
    if (typeof part === 'string') {
      at = literal(nfa, at, part, index > lastOpen);
      continue;
    }
    const after = nfa.state({ kind: 'literal', settled: index >= lastOpen });
    if (part instanceof Map) choice(nfa, at, after, part, index, index >= lastOpen);
    else free(nfa, at, after, part, true);
    at = after;
  }
  return { automaton: built(nfa, start, at), suffix: `Answer with JSON: ${jsonHint(shape)}`, read: (answer) => JSON.parse(answer) };
}

function built(nfa: Nfa, start: number, end: number): Automaton {
  const automaton = compile(nfa, start, end);
  if (automaton !== undefined) return automaton;
  throw new MiphaError('ERR_OPTION', `Option as: expected a schema of at most ${MAX_STATES} automaton states; shorten its strings and choices`, {
    details: { option: 'as', expected: `at most ${MAX_STATES} states` },
  });
}

type Free = Extract<AnswerShape, { kind: 'number' | 'text' }>;

function free(nfa: Nfa, from: number, to: number, shape: Exclude<AnswerShape, { kind: 'object' }>, json: boolean): void {
  if (shape.kind === 'text') text(nfa, from, to, shape.min, shape.max, json);
  else if (shape.kind === 'number') numbers(nfa, from, to, shape.low, shape.high);
}

/** Every spelling of every value; undefined for text and for numbers that are too many. A value's own spelling beats a variant of another. */
function scalarSpellings(shape: Exclude<AnswerShape, { kind: 'object' }>): { values: unknown[]; spellings: Map<string, number> } | undefined {
  if (shape.kind === 'text') return undefined;
  if (shape.kind === 'number') {
    const listed = listNumbers(shape);
    if (listed === undefined) return undefined;
    const spellings = listed.flatMap((forms, index) => forms.flatMap((form) => [[form, index] as const, [` ${form}`, index] as const]));
    return { values: listed.map(([shortest]) => Number(shortest)), spellings: new Map(spellings) };
  }
  const values = shape.kind === 'boolean' ? [true, false] : [...shape.values];
  const own =
    shape.kind === 'boolean'
      ? [
          ['yes', 'true'],
          ['no', 'false'],
        ]
      : values.map((value) => [String(value)]);
  const spellings = new Map<string, number>();
  for (const vary of [exactly, variants]) {
    for (const [index, forms] of own.entries()) {
      for (const spelling of forms.flatMap(vary)) if (!spellings.has(spelling)) spellings.set(spelling, index);
    }
  }
  return { values, spellings };
}

const exactly = (form: string) => [form];

function variants(form: string): string[] {
  const first = String.fromCodePoint(form.codePointAt(0) ?? 0x20);
  const rest = form.slice(first.length);
  const cased = form === '' ? [form] : [form, first.toUpperCase() + rest, first.toLowerCase() + rest];
  return cased.flatMap((spelling) => [spelling, `${spelling}.`, ` ${spelling}`, ` ${spelling}.`]);
}

/** Per value its decimal forms, shortest first ("0.5", "0.50"); undefined when there are too many values. */
function listNumbers({ decimals, step, low, high }: Extract<AnswerShape, { kind: 'number' }>): string[][] | undefined {
  const least = low[decimals] as bigint;
  const most = high[decimals] as bigint;
  const first = least + ((((-least % step) + step) % step) as bigint);
  const many = most < first ? 0n : (most - first) / step + 1n;
  if (many === 0n) throw optionError('as', 'a multiple between the bounds', 'none');
  if (many > BigInt(MAX_CHOICES)) {
    if (step === 1n) return undefined;
    throw new MiphaError('ERR_OPTION', `Option as: expected at most ${MAX_CHOICES} multiples between the bounds, received ${many}`, {
      details: { option: 'as', expected: `at most ${MAX_CHOICES} multiples`, received: Number(many) },
    });
  }
  return Array.from({ length: Number(many) }, (_, index) => {
    const value = first + BigInt(index) * step;
    const forms = Array.from({ length: decimals + 1 }, (_, j) => {
      const cut = 10n ** BigInt(decimals - j);
      return value % cut === 0n ? written(value / cut, j) : undefined;
    });
    return forms.filter((form) => form !== undefined);
  });
}

/** units / 10^decimals with exactly that many decimals. */
function written(units: bigint, decimals: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, '0');
  const cut = digits.length - decimals;
  return `${units < 0n ? '-' : ''}${digits.slice(0, cut)}${decimals > 0 ? `.${digits.slice(cut)}` : ''}`;
}

/** Fixed text, choices (JSON spelling → value), and free parts, in order. Quotes belong to the fixed text. */
type JsonPart = string | Map<string, number> | Free;

function jsonParts(shape: AnswerShape): JsonPart[] {
  switch (shape.kind) {
    case 'boolean':
      return [
        new Map([
          ['true', 0],
          ['false', 1],
        ]),
      ];
    case 'choice': {
      const quoted = shape.values.every((value) => typeof value === 'string');
      const spellings = shape.values.map((value) => JSON.stringify(value)).map((json) => (quoted ? json.slice(1, -1) : json));
      const part = new Map(spellings.map((spelling, index) => [spelling, index]));
      return quoted ? ['"', part, '"'] : [part];
    }
    case 'number': {
      const listed = listNumbers(shape);
      return [listed === undefined ? shape : new Map(listed.flatMap((forms, index) => forms.map((form) => [form, index] as const)))];
    }
    case 'text':
      return ['"', shape, '"'];
    case 'object':
      return [...shape.fields.flatMap(([name, field], index) => [`${index === 0 ? '{' : ', '}${JSON.stringify(name)}: `, ...jsonParts(field)]), '}'];
  }
}

function jsonHint(shape: AnswerShape): string {
  switch (shape.kind) {
    case 'boolean':
      return 'true or false';
    case 'choice':
      return shape.values.map((value) => JSON.stringify(value)).join(' or ');
    case 'number': {
      const { decimals, low, high } = shape;
      const range = `from ${written(low[decimals] as bigint, decimals)} to ${written(high[decimals] as bigint, decimals)}`;
      return `${decimals === 0 ? 'integer' : 'number'} ${range}`;
    }
    case 'text':
      return 'string';
    case 'object':
      return `{${shape.fields.map(([name, field]) => `${JSON.stringify(name)}: ${jsonHint(field)}`).join(', ')}}`;
  }
}
