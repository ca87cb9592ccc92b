import { useCallback, useEffect, useState } from 'preact/hooks';
import type { Setting } from '../../../src/page/node.js';
import { get, type Refused, request } from '../api.js';
import { usePage } from '../hooks.js';
import type { Polygon } from '../polygons.js';
import { changesOf, nested, type Spec, specOf } from '../spec.js';
import { MaskEditor } from './mask-editor.js';
import { TryOut } from './try-out.js';

interface Field {
  path: string;
  label: string;
  hint?: string;
  min: number;
  max: number;
  step: number;
  /** Of what is written to what is set. */
  factor?: number;
}

const SHARE = { min: 0, max: 1, step: 0.01 };
const SECONDS = { min: 0, max: 86_400, step: 0.1, factor: 1000 };
const FIELDS: Field[] = [
  { path: 'min_confidence', label: 'Least confidence', hint: '0 to 1: a new value counts only above it', ...SHARE },
  { path: 'agreement.n', label: 'Answers that must agree', min: 1, max: 32, step: 1 },
  { path: 'agreement.of', label: 'of the last', min: 1, max: 32, step: 1 },
  { path: 'interval_ms', label: 'Ask at most every (s)', ...SECONDS },
  { path: 'reask_ms', label: 'and at least every (s)', ...SECONDS },
  { path: 'change_percent', label: 'Ask when so much changed (%)', min: 0, max: 100, step: 0.1 },
  { path: 'events.for_ms', label: 'Tell when it has stood for (s)', ...SECONDS },
  { path: 'events.gap_ms', label: 'Pause between events (s)', ...SECONDS },
];

export function WatchEditor({ id, camera, isRecorded }: { id: string; camera: string; isRecorded: boolean }) {
  const { model } = usePage();
  const [before, setBefore] = useState<Spec | null>(null);
  const [settings, setSettings] = useState<Setting[]>([]);
  const [spec, setSpec] = useState<Spec>({});
  const [said, setSaid] = useState<{ words: string; isBad: boolean }>({ words: '', isBad: false });
  const read = useCallback(async () => {
    const found = (await get<{ settings: Setting[] }>('api/config')).settings;
    setSettings(found);
    setBefore(specOf(found, id));
    setSpec(specOf(found, id));
  }, [id]);
  useEffect(() => void read().catch((error: Refused) => setSaid({ words: error.message, isBad: true })), [read]);
  if (before === null) return null;
  const changes = changesOf(before, spec);
  const count = Object.keys(changes).length;
  const isOpen = model.may('options');
  const isOperator = model.hello?.role === 'operator';
  const set = (path: string, value: unknown) => setSpec((known) => ({ ...known, [path]: value }));
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      const { persisted } = await request<{ persisted: boolean }>('options', { options: { watches: { [id]: nested(changes) } } });
      await read();
      setSaid({
        words: persisted ? 'Saved. It goes over the configuration file.' : 'In force until the node stops: without state_dir nothing is kept.',
        isBad: false,
      });
    } catch (error) {
      setSaid({ words: (error as Refused).message, isBad: true });
    }
  };
  const privacy = (settings.find(({ path }) => path === `cameras.${camera}.privacy`)?.value ?? []) as Polygon[];
  return (
    <section class="card" aria-labelledby="edit">
      <h2 id="edit">Settings</h2>
      {!isOpen && (
        <p class="soft">
          {isOperator
            ? 'You may look and try, but not save: this node closes changes (requests.closed).'
            : 'You may look, but neither try nor save: that takes an operator.'}
        </p>
      )}
      <form class="form" onSubmit={save}>
        <label for="edit-question">Question</label>
        <textarea
          id="edit-question"
          rows={2}
          required
          maxLength={1000}
          value={String(spec.question ?? '')}
          onInput={({ currentTarget }) => set('question', currentTarget.value)}
        />
        <div class="fields">
          {FIELDS.map(({ path, label, hint, factor = 1, min, max, step }) => (
            <p key={path}>
              <label for={path}>{label}</label>
              <input
                id={path}
                type="number"
                {...{ min, max, step }}
                required
                aria-describedby={hint === undefined ? undefined : `${path}-hint`}
                value={Number(spec[path] ?? 0) / factor}
                onChange={({ currentTarget }) => set(path, Math.round(Number(currentTarget.value) * factor * 1e6) / 1e6)}
              />
              {hint !== undefined && (
                <span class="soft" id={`${path}-hint`}>
                  {hint}
                </span>
              )}
            </p>
          ))}
        </div>
        <MaskEditor
          camera={camera}
          watch={id}
          zone={(spec.zone ?? []) as Polygon[]}
          ignore={(spec.ignore ?? []) as Polygon[]}
          privacy={privacy}
          onChange={(kind, polygons) => setSpec(({ [kind]: _, ...rest }) => (polygons.length === 0 ? rest : { ...rest, [kind]: polygons }))}
        />
        <p class="buttons">
          <button type="submit" disabled={count === 0 || !isOpen}>
            {count === 0 ? 'Nothing changed' : `Save ${count} ${count === 1 ? 'change' : 'changes'}`}
          </button>
          {count > 0 && (
            <button type="button" class="quiet" onClick={() => setSpec(before)}>
              Undo
            </button>
          )}
        </p>
        <p role="status" class={said.isBad ? 'trouble' : 'soft'}>
          {said.words}
        </p>
      </form>
      <TryOut id={id} changes={changes} isRecorded={isRecorded} />
    </section>
  );
}
