/**
 * A shape → the automaton of its answers, the line that tells the model how to answer, and the way back from text to value.
 * Scalars are spelled as people write them, objects and lists as JSON.
 */
import type { Automaton } from './automaton.js';
import { plainText } from './bounded-text.js';
import { Builder, type State } from './builder.js';
import { choice } from './choice.js';
import { jsonHint, jsonValue } from './json-answer.js';
import { numbers } from './numbers.js';
import { SHORT } from './prompt.js';
import { type AnswerShape, listNumbers } from './shape.js';
import { booleanSpellings, choiceSpellings, type Spellings } from './spellings.js';

export interface Constraint {
  automaton: Automaton;
  /** Appended to the question on a line of its own; '' for none. */
  suffix: string;
  /** Text that the automaton accepts, without what was cut → value. */
  read(text: string): unknown;
}

/** Throws ERR_OPTION when the automaton would be too large, or two values are written alike. */
export function constraintOf(shape: AnswerShape): Constraint {
  const builder = new Builder();
  switch (shape.kind) {
    case 'boolean':
      return finite(builder, booleanSpellings(), SHORT);
    case 'choice':
      return finite(builder, choiceSpellings(shape.values, 'as'), shape.values.length === 1 ? '' : SHORT);
    case 'number': {
      const listed = listNumbers(shape);
      if (listed === undefined) return constraint(builder, numbers(builder, shape.low, shape.high, builder.end), SHORT, Number);
      const forms = listed.flatMap((spellings, index) => spellings.map((form) => [form, index] as const));
      const spaced = forms.map(([form, index]) => [` ${form}`, index] as const);
      return finite(builder, { values: listed.map(([shortest]) => Number(shortest)), spellings: new Map([...forms, ...spaced]) }, SHORT);
    }
    case 'text':
      return constraint(builder, plainText(builder, shape.min, shape.max), '', (answer) => answer.trim());
    default:
      return constraint(builder, jsonValue(builder, shape, builder.end), `Answer with JSON: ${jsonHint(shape)}`, (answer) => JSON.parse(answer));
  }
}

function finite(builder: Builder, { values, spellings }: Spellings, suffix: string): Constraint {
  const alternatives = Array.from(spellings, ([spelling, value]) => ({ spelling, value, next: builder.end }));
  const automaton = builder.finish(choice(builder, builder.choice(), alternatives));
  return { automaton, suffix, read: (answer) => values[spellings.get(answer) as number] };
}

/** With or without a space before it. */
function constraint(builder: Builder, answer: State, suffix: string, read: Constraint['read']): Constraint {
  const edges = [...builder.edges(answer), { low: 0x20, high: 0x20, to: answer }];
  const start = builder.state({ ...builder.marksOf(answer), cut: false }, edges);
  return { automaton: builder.finish(start), suffix, read };
}
