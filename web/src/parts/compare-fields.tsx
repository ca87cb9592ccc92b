import type { Field } from '../fields.js';
import { usePage } from '../hooks.js';
import { valueAt } from '../spec.js';
import { Fields, Issue, useDraft } from './fields.js';

const AGO: Field[] = [{ path: 'compare.ago_ms', label: 'How long ago (s)', kind: 'number', min: 1, max: 604_800, step: 1, factor: 1000 }];
const EVENT: Field[] = [
  { kind: 'select', path: 'compare.event', label: 'Event of', options: (info) => (info?.watches ?? []).map(({ id }) => [id, id]) },
];

/** With what a new value is compared before it is told: with what was last told, or another moment. */
export function CompareFields() {
  const draft = useDraft();
  const { model } = usePage();
  const compare = valueAt(draft.spec, 'compare') as { ago_ms?: number; event?: string } | undefined;
  const kind = compare === undefined ? 'last' : compare.event === undefined ? 'ago' : 'event';
  const fresh = { last: undefined, ago: { ago_ms: 600_000 }, event: { event: model.info?.watches[0]?.id } };
  return (
    <>
      <p>
        <label for="compare">A new value is one that differs from</label>
        <select id="compare" value={kind} onChange={({ currentTarget }) => draft.set('compare', fresh[currentTarget.value as keyof typeof fresh])}>
          <option value="last">what was last told</option>
          <option value="ago">what was believed some time ago</option>
          <option value="event">what was seen at an event of a watch</option>
        </select>
        <Issue path="compare" />
      </p>
      {kind === 'ago' && <Fields fields={AGO} />}
      {kind === 'event' && <Fields fields={EVENT} />}
    </>
  );
}
