/** A configuration as a list of settings, each with its origin: what `print-config` shows. */
import { type LoadedConfig, originOf } from './config.js';
import { isPlain, type Origin } from './layers.js';
import { shown } from './secrets.js';
import type { Path } from './shape.js';

export interface SettingRow {
  path: string;
  value: unknown;
  origin: Origin;
  /** File and line, variable or flag; absent for a default. */
  source?: string;
}

/** In the order of the schema; lists and empty objects are single values. */
export function settingsOf(loaded: LoadedConfig, { redacted }: { redacted: boolean }): SettingRow[] {
  return leaves(loaded.config, []).map(([path, value]) => {
    const origin = originOf(loaded, path);
    const row = { path: path.join('.'), value: redacted ? masked(value, path) : value, origin };
    if (origin === 'default') return row;
    const { source, line } = loaded.layers.findLast((layer) => layer.origin === origin)?.place(path) ?? { source: origin };
    return { ...row, source: line === undefined ? source : `${source}:${line}` };
  });
}

function leaves(value: unknown, path: Path): [Path, unknown][] {
  if (!isPlain(value) || Object.keys(value).length === 0) return [[path, value]];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}

function masked(value: unknown, path: Path): unknown {
  if (typeof value === 'string') return shown(value, path);
  return Array.isArray(value) ? value.map((item) => masked(item, path)) : value;
}
