/** A configuration as a list of settings, each with its origin: what `print-config` shows. */
import { type LoadedConfig, originOf } from './config.js';
import { isPlain, type Origin } from './layers.js';
import { overridesOf } from './overrides.js';
import { shown } from './secrets.js';
import type { Path } from './shape.js';

export interface SettingRow {
  path: string;
  /** Null for what an override removes. */
  value: unknown;
  origin: Origin;
  /** File and line, variable or flag; absent for a default. */
  source?: string;
  /** What file, environment or flag say about a setting that has an override. */
  over?: { value: unknown; source: string };
}

/** In the order of the schema, then what overrides remove; lists and empty objects are single values. */
export function settingsOf(loaded: LoadedConfig, { redacted }: { redacted: boolean }): SettingRow[] {
  const overrides = new Map(overridesOf(loaded).map((override) => [override.path, override]));
  const row = (path: Path, value: unknown, origin: Origin): SettingRow => {
    const name = path.join('.');
    const setting = { path: name, value: redacted ? masked(value, path) : value, origin };
    if (origin === 'default') return setting;
    const { source, line } = loaded.layers.findLast((layer) => layer.origin === origin)?.place(path) ?? { source: origin };
    const over = overrides.get(name)?.over;
    return {
      ...setting,
      source: line === undefined ? source : `${source}:${line}`,
      ...(over === undefined ? {} : { over: { value: redacted ? masked(over.value, path) : over.value, source: over.source } }),
    };
  };
  const rows = leaves(loaded.config, []).map(([path, value]) => row(path, value, originOf(loaded, path)));
  const removed = [...overrides.values()].filter(({ value }) => value === null);
  return [...rows, ...removed.map(({ path }) => row(path.split('.'), null, 'mqtt'))];
}

function leaves(value: unknown, path: Path): [Path, unknown][] {
  if (!isPlain(value) || Object.keys(value).length === 0) return [[path, value]];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}

function masked(value: unknown, path: Path): unknown {
  if (typeof value === 'string') return shown(value, path);
  if (Array.isArray(value)) return value.map((item) => masked(item, path));
  return isPlain(value) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, masked(item, [...path, key])])) : value;
}
