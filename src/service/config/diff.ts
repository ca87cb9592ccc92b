/** What a new configuration changes. */
import { isDeepStrictEqual } from 'node:util';
import { own } from '../own.js';
import { isPlain } from './layers.js';
import type { Config } from './schema.js';
import { needsRestart, type Path } from './shape.js';

export interface ConfigDiff {
  /** Paths of the settings that differ: `log.level`, `cameras.front.uri`, `watches.door` when all of it is new or gone. */
  changed: readonly string[];
  /** Their first parts, each once: `cameras`, `log`. */
  sections: readonly (keyof Config)[];
  /** Those of `changed` that only a restart applies. */
  restart: readonly string[];
  /** Ids of cameras and watches that are new, gone or different in any setting. */
  cameras: IdDiff;
  watches: IdDiff;
}

export interface IdDiff {
  added: readonly string[];
  removed: readonly string[];
  changed: readonly string[];
}

export function diffConfig(before: Config, after: Config): ConfigDiff {
  const paths = differences(before, after, []);
  const name = (path: Path) => path.join('.');
  return {
    changed: paths.map(name),
    sections: [...new Set(paths.map(([section]) => section as keyof Config))],
    restart: paths.filter(needsRestart).map(name),
    cameras: diffIds(before.cameras, after.cameras),
    watches: diffIds(before.watches, after.watches),
  };
}

/** The same as `after`, but with the settings of `before` where only a restart applies new ones: what is in force while the process runs. */
export function inForce(before: Config, after: Config): Config {
  const keep = (old: unknown, fresh: unknown, path: Path): unknown => {
    if (path.length > 0 && needsRestart(path)) return old;
    if (!isPlain(old) || !isPlain(fresh)) return fresh;
    const keys = [...new Set([...Object.keys(fresh), ...Object.keys(old).filter((key) => needsRestart([...path, key]))])];
    return Object.fromEntries(
      keys.map((key) => [key, keep(own(old, key), own(fresh, key), [...path, key])]).filter(([, value]) => value !== undefined),
    );
  };
  return keep(before, after, []) as Config;
}

function differences(before: unknown, after: unknown, path: Path): Path[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isPlain(before) || !isPlain(after)) return [path];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
    differences(own(before, key), own(after, key), [...path, key]),
  );
}

function diffIds(before: Record<string, unknown>, after: Record<string, unknown>): IdDiff {
  return {
    added: Object.keys(after).filter((id) => !Object.hasOwn(before, id)),
    removed: Object.keys(before).filter((id) => !Object.hasOwn(after, id)),
    changed: Object.keys(after).filter((id) => Object.hasOwn(before, id) && !isDeepStrictEqual(before[id], after[id])),
  };
}
