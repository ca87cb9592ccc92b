/** The settings of a watch, and what of them was changed. */
import type { Setting } from '../../src/page/node.js';

export type Spec = { readonly [key: string]: unknown };

/** From the list of settings: `watches.door.events.gap_ms` → { events: { gap_ms } }. */
export function specOf(settings: readonly Setting[], watch: string): Spec {
  const prefix = `watches.${watch}.`;
  const own = settings.filter(({ path, value }) => path.startsWith(prefix) && value !== null); // null: an override removed it
  return own.reduce<Spec>((spec, { path, value }) => withValue(spec, path.slice(prefix.length), value), {});
}

export function valueAt(spec: Spec, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isSpec(value) ? value[key] : undefined), spec);
}

/** Undefined takes it away; a part of a part that is empty then goes with it. */
export function withValue(spec: Spec, path: string, value: unknown): Spec {
  const [key = '', ...rest] = path.split('.');
  if (rest.length === 0) return value === undefined ? without(spec, key) : { ...spec, [key]: value };
  const inner = withValue(isSpec(spec[key]) ? spec[key] : {}, rest.join('.'), value);
  return Object.keys(inner).length === 0 && value === undefined && key === 'agreement' ? without(spec, key) : { ...spec, [key]: inner };
}

/** By path, those that differ; null: taken away. */
export function changesOf(before: Spec, after: Spec): Spec {
  return Object.fromEntries(changed(before, after, ''));
}

function changed(before: Spec, after: Spec, prefix: string): [path: string, value: unknown][] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => {
    const [then, now] = [before[key], after[key]];
    if (JSON.stringify(then) === JSON.stringify(now)) return [];
    const isEmpty = isSpec(now) && Object.keys(now).length === 0;
    return isSpec(then) && isSpec(now) && !isEmpty ? changed(then, now, `${prefix}${key}.`) : [[`${prefix}${key}`, now ?? null]];
  });
}

/** { 'events.gap_ms': 5 } → { events: { gap_ms: 5 } }. */
export function nested(changes: Spec): Spec {
  return Object.entries(changes).reduce<Spec>((spec, [path, value]) => withValue(spec, path, value), {});
}

function without(spec: Spec, key: string): Spec {
  const { [key]: _, ...rest } = spec;
  return rest;
}

function isSpec(value: unknown): value is Spec {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
