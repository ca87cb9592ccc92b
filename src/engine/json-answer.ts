/** JSON answers: keys in the order of the schema, one space after each colon and comma. */
import { quotedText } from './bounded-text.js';
import type { Builder, State } from './builder.js';
import { type Alternative, choice } from './choice.js';
import { numbers } from './numbers.js';
import { type AnswerShape, type Field, type ItemShape, listNumbers, written } from './shape.js';

/** The state before a value, then `next`. `lead`: the group of fixed text before anything in the value is chosen. */
export function jsonValue(builder: Builder, shape: AnswerShape, next: State, lead = 0): State {
  switch (shape.kind) {
    case 'text':
      return builder.literal('"', quotedText(builder, shape.min, shape.max, next), lead);
    case 'object':
      return object(builder, shape.fields, next, lead);
    case 'array':
      return array(builder, shape, next, lead);
    case 'nullable':
      return nullable(builder, shape.of, next, lead);
    default: {
      const values = listed(shape);
      if (values !== undefined) return oneOf(builder, values, next, lead);
      const { low, high } = shape as Extract<AnswerShape, { kind: 'number' }>;
      return numbers(builder, low, high, next);
    }
  }
}

/** What the model is told to write. */
export function jsonHint(shape: AnswerShape): string {
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
    case 'nullable':
      return `${jsonHint(shape.of)} or null`;
    case 'array':
      return `[${shape.min === shape.max ? shape.max : `${shape.min} to ${shape.max}`} times ${jsonHint(shape.of)}]`;
    case 'object': {
      const fields = shape.fields.map(
        ({ name, shape: of, optional }) => `${JSON.stringify(name)}: ${jsonHint(of)}${optional ? ' (may be left out)' : ''}`,
      );
      return `{${fields.join(', ')}}`;
    }
  }
}

/** Per value its JSON spellings; undefined where there are too many values to tell them apart. */
function listed(shape: AnswerShape): string[][] | undefined {
  if (shape.kind === 'boolean') return [['true'], ['false']];
  if (shape.kind === 'choice') return shape.values.map((value) => [JSON.stringify(value)]);
  return shape.kind === 'number' ? listNumbers(shape) : undefined;
}

function oneOf(builder: Builder, values: readonly (readonly string[])[], next: State, lead: number): State {
  const spellings = values.flatMap((forms, value) => forms.map((spelling): Alternative => ({ spelling, value, next })));
  // A quote that all begin or end with is fixed text.
  if (!spellings.every(({ spelling }) => spelling.startsWith('"'))) return choice(builder, builder.choice(), spellings, lead);
  const close = builder.literal('"', next);
  const bare = spellings.map(({ spelling, value }) => ({ spelling: spelling.slice(1, -1), value, next: close }));
  return builder.literal('"', choice(builder, builder.choice(), bare, lead), lead);
}

function nullable(builder: Builder, shape: AnswerShape, next: State, lead: number): State {
  const values = listed(shape);
  if (values !== undefined) return oneOf(builder, values.some(([form]) => form === 'null') ? values : [...values, ['null']], next, lead);
  const id = builder.choice();
  const nothing = choice(builder, id, [{ spelling: 'null', value: 0, next }], builder.group(id, [0]));
  return either(builder, [nothing, jsonValue(builder, shape, next, builder.group(id, [1]))], lead);
}

/** The beginning of each, which no two share. */
function either(builder: Builder, states: readonly State[], group: number): State {
  return builder.state(
    { group, decided: false },
    states.flatMap((state) => builder.edges(state)),
  );
}

function object(builder: Builder, fields: readonly Field[], next: State, lead: number): State {
  const id = builder.choice();
  const key = (index: number, comma: boolean) => `${comma ? ', ' : ''}${JSON.stringify(fields[index]?.name)}: `;
  // What may come after a field, and by field its value and what may come after that; from the last.
  const values: State[] = [];
  const rest = (from: number, comma: boolean, group: number): State => {
    const alternatives: Alternative[] = [];
    let index = from;
    for (; index < fields.length; index++) {
      alternatives.push({ spelling: key(index, comma), value: index, next: values[index] as State });
      if (fields[index]?.optional === false) break;
    }
    if (index === fields.length) alternatives.push({ spelling: '}', value: index, next });
    const [only] = alternatives;
    if (alternatives.length === 1 && only !== undefined) return builder.literal(only.spelling, only.next, group);
    return choice(builder, id, alternatives, group);
  };
  for (let index = fields.length - 1; index >= 0; index--) {
    const { shape } = fields[index] as Field;
    values[index] = jsonValue(builder, shape, rest(index + 1, true, 0), fields.some(({ optional }) => optional) ? builder.group(id, [index]) : 0);
  }
  return builder.literal('{', rest(0, false, lead), lead);
}

function array(builder: Builder, { of, min, max }: { of: ItemShape; min: number; max: number }, next: State, lead: number): State {
  const id = builder.choice();
  const [more, close] = [0, 1];
  const closed = choice(builder, id, [{ spelling: ']', value: close, next }], builder.group(id, [close]));
  let item: State | undefined; // before the next item
  for (let count = max; count >= 1; count--) {
    const alternatives: Alternative[] = [];
    if (item !== undefined) alternatives.push({ spelling: ', ', value: more, next: item });
    if (count >= min) alternatives.push({ spelling: ']', value: close, next });
    const [only] = alternatives;
    const after = alternatives.length === 1 && only !== undefined ? builder.literal(only.spelling, only.next) : choice(builder, id, alternatives);
    item = jsonValue(builder, of, after, builder.group(id, [more]));
  }
  if (item === undefined) return builder.literal('[]', next, lead);
  return builder.literal('[', min === 0 ? either(builder, [item, closed], lead) : item, lead);
}
