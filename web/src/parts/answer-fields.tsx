import type { AnswerSpec } from '../../../src/watch/spec.js';
import type { Field } from '../fields.js';
import { useWritten } from '../hooks.js';
import { valueAt } from '../spec.js';
import { Fields, Issue, useDraft } from './fields.js';

const KINDS: Record<AnswerSpec['type'], { words: string; fresh: AnswerSpec }> = {
  boolean: { words: 'Yes or no', fresh: { type: 'boolean' } },
  choice: { words: 'One of', fresh: { type: 'choice', choices: [] } },
  number: { words: 'A number', fresh: { type: 'number', min: 0, max: 9, decimals: 0 } },
  text: { words: 'In words', fresh: { type: 'text', max_chars: 255 } },
};
const ANY = { kind: 'number', min: -1e12, max: 1e12, step: 1 } as const;
const NUMBER: Field[] = [
  { path: 'answer.min', label: 'From', ...ANY },
  { path: 'answer.max', label: 'to', ...ANY },
  { path: 'answer.decimals', label: 'Digits after the point', kind: 'number', min: 0, max: 6, step: 1 },
];
const TEXT: Field[] = [{ path: 'answer.max_chars', label: 'Longest answer (characters)', kind: 'number', min: 1, max: 1000, step: 1 }];

/** What kind of answer is wanted. */
export function AnswerFields() {
  const draft = useDraft();
  const answer = valueAt(draft.spec, 'answer') as AnswerSpec;
  return (
    <>
      <p>
        <label for="answer">Answer</label>
        <select
          id="answer"
          value={answer.type}
          onChange={({ currentTarget }) => draft.set('answer', KINDS[currentTarget.value as AnswerSpec['type']].fresh)}
        >
          {Object.entries(KINDS).map(([type, { words }]) => (
            <option key={type} value={type}>
              {words}
            </option>
          ))}
        </select>
      </p>
      {answer.type === 'choice' && <Choices choices={answer.choices} />}
      {answer.type === 'number' && <Fields fields={NUMBER} />}
      {answer.type === 'text' && <Fields fields={TEXT} />}
    </>
  );
}

/** A line each: choices may have commas in them. */
function Choices({ choices }: { choices: readonly string[] }) {
  const { set } = useDraft();
  const { value, onInput } = useWritten<HTMLTextAreaElement>(
    choices.join('\n'),
    (text) => set('answer.choices', linesOf(text)),
    (text) => linesOf(text).join('\n'),
  );
  return (
    <p>
      <label for="answer.choices">Choices, one a line</label>
      <textarea id="answer.choices" rows={4} {...{ value, onInput }} />
      <Issue path="answer.choices" deep />
    </p>
  );
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
}
