import { useCallback, useEffect, useState } from 'preact/hooks';
import type { Crop } from '../../../src/camera/frame.js';
import type { Setting } from '../../../src/page/node.js';
import { get, type Refused, request } from '../api.js';
import { BELIEVED, CONFIRM, CROP, DUTY, GENERAL, OFF, PICTURE, TOLD, WHEN } from '../fields.js';
import { usePage } from '../hooks.js';
import { useIssues } from '../issues.js';
import type { Polygon } from '../polygons.js';
import { changesOf, nested, type Spec, specOf, valueAt, withValue } from '../spec.js';
import { AnswerFields } from './answer-fields.js';
import { CompareFields } from './compare-fields.js';
import { DraftContext, described, Fields, Group, Issue, Optional, useDraft } from './fields.js';
import { MaskEditor } from './mask-editor.js';
import { QuietHours } from './quiet-hours.js';
import { TryOut } from './try-out.js';

const pathsOf = (...lists: { path: string }[][]) => lists.flat().map(({ path }) => path);

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
  const changes = before === null ? {} : changesOf(before, spec);
  const isOperator = model.hello?.role === 'operator';
  const issues = useIssues(id, isOperator ? changes : {});
  if (before === null) return null;
  const count = Object.keys(changes).length;
  const isOpen = model.may('options');
  const set = (path: string, value: unknown) => setSpec((known) => withValue(known, path, value));
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
      <DraftContext.Provider value={{ spec, issues, set }}>
        <form class="form" onSubmit={save} noValidate>
          <fieldset class="form" disabled={!isOperator}>
            <legend class="hidden">Settings of {id}</legend>
            <Question path="question" label="Question" />
            <Groups changes={changes} />
            <MaskEditor
              camera={camera}
              watch={id}
              zone={(spec.zone ?? []) as Polygon[]}
              ignore={(spec.ignore ?? []) as Polygon[]}
              privacy={privacy}
              crop={spec.crop as Crop | undefined}
              onChange={(kind, polygons) => set(kind, polygons.length === 0 ? undefined : polygons)}
            />
            <Issue path="zone" deep />
            <Issue path="ignore" deep />
          </fieldset>
          <p class="buttons">
            <button type="submit" disabled={count === 0 || issues.size > 0 || !isOpen}>
              {count === 0 ? 'Nothing changed' : `Save ${count} ${count === 1 ? 'change' : 'changes'}`}
            </button>
            {count > 0 && (
              <button type="button" class="quiet" onClick={() => setSpec(before)}>
                Undo
              </button>
            )}
          </p>
          <div role="status">
            {issues.size > 0 && <p class="trouble">Before this can be saved: {[...issues].map(([path, words]) => `${path}: ${words}`).join('; ')}</p>}
            {said.words !== '' && <p class={said.isBad ? 'trouble' : 'soft'}>{said.words}</p>}
          </div>
        </form>
      </DraftContext.Provider>
      <TryOut id={id} changes={changes} isRecorded={isRecorded} />
    </section>
  );
}

/** A setting in words, of those that some nodes do not let be changed. */
function Question({ path, label }: { path: string; label: string }) {
  const draft = useDraft();
  const { model } = usePage();
  const isFixed = model.offers?.queries === false;
  return (
    <>
      <label for={path}>{label}</label>
      <textarea
        id={path}
        rows={2}
        maxLength={1000}
        readOnly={isFixed}
        {...described(draft, path, isFixed ? '' : undefined)}
        value={String(valueAt(draft.spec, path) ?? '')}
        onInput={({ currentTarget }) => draft.set(path, currentTarget.value)}
      />
      {isFixed && (
        <span class="soft" id={`${path}-hint`}>
          This node asks only the questions of its configuration file (requests.queries is off).
        </span>
      )}
      <Issue path={path} />
    </>
  );
}

function Groups({ changes }: { changes: Spec }) {
  const { spec } = useDraft();
  const isBoolean = valueAt(spec, 'answer.type') === 'boolean';
  return (
    <>
      <Group title="Answer, camera" paths={['answer', ...pathsOf(GENERAL)]} changes={changes}>
        <AnswerFields />
        <Fields fields={GENERAL} />
      </Group>
      <Group title="When it asks" paths={['duty', ...pathsOf(WHEN)]} changes={changes}>
        <Fields fields={WHEN} />
        <Optional path="duty" label="Spare a hot board (duty)" fresh={{ above_c: 80, interval_ms: 10_000 }}>
          <Fields fields={DUTY} />
        </Optional>
      </Group>
      <Group title="What is believed" paths={['off', 'agreement', ...pathsOf(BELIEVED)]} changes={changes}>
        <Fields fields={BELIEVED} />
        {(isBoolean || valueAt(spec, 'off') !== undefined) && (
          <Optional path="off" label="Other rules for No" fresh={{}}>
            <Fields fields={OFF} />
          </Optional>
        )}
      </Group>
      <Group title="What is told" paths={['events', 'compare']} changes={changes}>
        <Fields fields={TOLD} />
        <QuietHours />
        <Optional
          path="events.confirm"
          label="Ask a second question before it is told"
          fresh={{ question: '', expect: true, min_confidence: 0, after_ms: 0 }}
        >
          <Question path="events.confirm.question" label="Second question, yes or no" />
          <Fields fields={CONFIRM} />
        </Optional>
        <CompareFields />
      </Group>
      <Group title="Part of the picture, pictures of events" paths={['crop', 'picture']} changes={changes}>
        <Optional path="crop" label="Look only at a part (crop)" fresh={{ x: 0, y: 0, width: 1, height: 1 }}>
          <Fields fields={CROP} />
        </Optional>
        <Fields fields={PICTURE} />
      </Group>
    </>
  );
}
