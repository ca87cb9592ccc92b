/** The settings of a watch as the list of settings has them, and what of them was changed. */
import type { Setting } from '../../src/page/node.js';

export type Spec = Record<string, unknown>;

/** `watches.door.events.gap_ms` → events.gap_ms. */
export function specOf(settings: readonly Setting[], watch: string): Spec {
  const prefix = `watches.${watch}.`;
  return Object.fromEntries(settings.filter(({ path }) => path.startsWith(prefix)).map(({ path, value }) => [path.slice(prefix.length), value]));
}

/** By path, those that differ; null: taken away. */
export function changesOf(before: Spec, after: Spec): Spec {
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return Object.fromEntries(
    paths.filter((path) => JSON.stringify(before[path]) !== JSON.stringify(after[path])).map((path) => [path, after[path] ?? null]),
  );
}

/** { 'events.gap_ms': 5 } → { events: { gap_ms: 5 } }. */
export function nested(changes: Spec): Spec {
  const whole: Spec = {};
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split('.');
    const last = keys.pop() as string;
    let inner = whole;
    for (const key of keys) {
      inner[key] ??= {};
      inner = inner[key] as Spec;
    }
    inner[last] = value;
  }
  return whole;
}
