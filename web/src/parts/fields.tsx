import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { CheckField, Field, NumberField, SelectField } from '../fields.js';
import { usePage, useWritten } from '../hooks.js';
import { type Spec, valueAt } from '../spec.js';

/** A form about a watch: what it says now, what is wrong with it, and how to say something else. */
export interface Draft {
  spec: Spec;
  /** By path below the watch. */
  issues: ReadonlyMap<string, string>;
  set: (path: string, value: unknown) => void;
}
export const DraftContext = createContext<Draft>(undefined as unknown as Draft);
export const useDraft = () => useContext(DraftContext);

export function Fields({ fields }: { fields: readonly Field[] }) {
  return (
    <div class="fields">
      {fields.map((field) => (
        <FieldRow key={field.path} field={field} />
      ))}
    </div>
  );
}

function FieldRow({ field }: { field: Field }) {
  if (field.kind === 'check') return <Check field={field} />;
  return (
    <p>
      <label for={field.path}>{field.label}</label>
      {field.kind === 'number' ? <NumberInput field={field} /> : <Select field={field} />}
      {field.hint !== undefined && (
        <span class="soft" id={`${field.path}-hint`}>
          {field.hint}
        </span>
      )}
      <Issue path={field.path} />
    </p>
  );
}

/** What the node would say about this setting, and whatever lies below it. */
export function Issue({ path, deep = false }: { path: string; deep?: boolean }) {
  const found = issueAt(useDraft(), path, deep);
  return found === undefined ? null : (
    <span class="trouble" id={`${path}-issue`}>
      {found}
    </span>
  );
}

function issueAt({ issues }: Draft, path: string, deep: boolean): string | undefined {
  const below = deep ? [...issues].find(([at]) => at.startsWith(`${path}.`))?.[1] : undefined;
  return issues.get(path) ?? below;
}

/** Of an input: its words beside it. */
export function described(draft: Draft, path: string, hint?: string): { 'aria-describedby'?: string; 'aria-invalid'?: boolean } {
  const isWrong = draft.issues.has(path);
  const ids = [...(hint === undefined ? [] : [`${path}-hint`]), ...(isWrong ? [`${path}-issue`] : [])];
  return { ...(ids.length === 0 ? {} : { 'aria-describedby': ids.join(' ') }), ...(isWrong ? { 'aria-invalid': true } : {}) };
}

function NumberInput({ field: { path, hint, factor = 1, min, max, step, unset } }: { field: NumberField }) {
  const draft = useDraft();
  const value = valueAt(draft.spec, path);
  const meant = (text: string) => (text === '' ? undefined : Math.round(Number(text) * factor * 1e6) / 1e6);
  const written = (number: unknown) => (typeof number === 'number' ? String(number / factor) : '');
  return (
    <input
      id={path}
      type="number"
      {...{ min, max, step }}
      {...described(draft, path, hint)}
      {...(unset === undefined ? {} : { placeholder: unset })}
      {...useWritten(
        written(value),
        (text) => draft.set(path, meant(text)),
        (text) => written(meant(text)),
      )}
    />
  );
}

function Select({ field: { path, hint, options } }: { field: SelectField }) {
  const draft = useDraft();
  const { model } = usePage();
  const value = valueAt(draft.spec, path);
  return (
    <select
      id={path}
      {...described(draft, path, hint)}
      value={String(value)}
      onChange={({ currentTarget }) => draft.set(path, typeof value === 'boolean' ? currentTarget.value === 'true' : currentTarget.value)}
    >
      {options(model.info).map(([name, words]) => (
        <option key={name} value={name}>
          {words}
        </option>
      ))}
    </select>
  );
}

function Check({ field: { path, label, hint } }: { field: CheckField }) {
  const draft = useDraft();
  return (
    <p>
      <label class="inline">
        <input
          type="checkbox"
          checked={valueAt(draft.spec, path) === true}
          {...described(draft, path)}
          onChange={({ currentTarget }) => draft.set(path, currentTarget.checked)}
        />{' '}
        {label} {hint !== undefined && <span class="soft">{hint}</span>}
      </label>
      <Issue path={path} />
    </p>
  );
}

/** A part that may be left out as a whole; `fresh` is what it begins with. */
export function Optional({ path, label, fresh, children }: { path: string; label: string; fresh: object; children: preact.ComponentChildren }) {
  const draft = useDraft();
  const isThere = valueAt(draft.spec, path) !== undefined;
  return (
    <>
      <p>
        <label class="inline">
          <input type="checkbox" checked={isThere} onChange={({ currentTarget }) => draft.set(path, currentTarget.checked ? fresh : undefined)} />{' '}
          {label}
        </label>
        <Issue path={path} />
      </p>
      {isThere && children}
    </>
  );
}

/** A group of settings that is folded until somebody wants it, or something in it is wrong. */
export function Group({
  title,
  paths,
  changes,
  children,
}: {
  title: string;
  paths: readonly string[];
  changes: Spec;
  children: preact.ComponentChildren;
}) {
  const { issues } = useDraft();
  const within = (all: Iterable<string>) => [...all].filter((path) => paths.some((own) => path === own || path.startsWith(`${own}.`))).length;
  const [wrong, changed] = [within(issues.keys()), within(Object.keys(changes))];
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    if (wrong > 0) setOpen(true);
  }, [wrong > 0]);
  return (
    <details class="group" open={isOpen} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        {title} {changed > 0 && <span class="soft">{changed} changed</span>} {wrong > 0 && <span class="trouble">{wrong} to mend</span>}
      </summary>
      {children}
    </details>
  );
}
