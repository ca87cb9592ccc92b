/**
 * Overrides: what was changed over MQTT, as one merge patch (RFC 7396) over what file, environment and flags say. It holds the changed keys and
 * nothing else, so that everything else follows the file.
 */
import { isDeepStrictEqual } from 'node:util';
import { nearestKey } from '../../errors.js';
import { own } from '../own.js';
import { leaves, merge, patchOver } from './change.js';
import type { LoadedConfig } from './config.js';
import { refuse, show } from './issues.js';
import { type ConfigInput, isOtherKind, isPlain, type Layer, says } from './layers.js';
import type { Config } from './schema.js';
import type { Path } from './shape.js';

export interface Overridden extends LoadedConfig {
  /** Overrides that do not fit what the file says now; they are kept, and not in force. */
  unfit: ConfigInput;
}

/** An override, and what file, environment or flag say about the same setting. */
export interface Override {
  path: string;
  /** Null: it removes what the file says. */
  value: unknown;
  /** Undefined: they say nothing. */
  over: { value: unknown; source: string } | undefined;
}

/** Each of these stands or falls alone, or with those before it: a section, one camera, one watch. */
function parts(overrides: ConfigInput): ConfigInput[] {
  const byId = new Set(['cameras', 'watches']); // last, and cameras first: watches name them
  const sections = Object.entries(overrides).filter(([key]) => !byId.has(key));
  const entries = [...byId].flatMap((key) => {
    const value = own(overrides, key);
    if (value === undefined) return [];
    return isPlain(value) ? Object.entries(value).map(([id, item]) => ({ [key]: { [id]: item } })) : [{ [key]: value }];
  });
  return [...sections.map(([key, value]) => ({ [key]: value })), ...entries];
}

/** What file, environment and flags say, with the overrides in force; `source` is where they are kept. Those that no longer fit draw a warning. */
export function withOverrides(base: LoadedConfig, overrides: ConfigInput, source: string): Overridden {
  if (Object.keys(overrides).length === 0) return { ...base, unfit: {} };
  try {
    return { ...merge(base, overrides, { source }), unfit: {} };
  } catch {
    return withFitting(base, overrides, source);
  }
}

function withFitting(base: LoadedConfig, overrides: ConfigInput, source: string): Overridden {
  let current = base;
  let failed: { part: ConfigInput; error: Error }[] = [];
  for (let [left, isNew] = [parts(overrides), true]; isNew; left = failed.map(({ part }) => part)) {
    failed = []; // watches name each other, so one that does not fit alone may fit after another
    for (const part of left) {
      try {
        current = merge(current, part, { source });
      } catch (error) {
        failed.push({ part, error: error as Error });
      }
    }
    isNew = failed.length > 0 && failed.length < left.length;
  }
  let unfit: ConfigInput = {};
  const warnings = failed.map(({ part, error }) => {
    unfit = patchOver(unfit, part);
    return `The override ${overridePaths(part).join(', ')} (${source}) does not fit the configuration and is not in force: ${error.message}`;
  });
  return { ...current, warnings: [...base.warnings, ...warnings], unfit };
}

/** What makes of one configuration the other. */
export function differenceOf(base: Config, wanted: Config): ConfigInput {
  return difference(base, wanted) as ConfigInput;
}

function difference(base: unknown, wanted: unknown): unknown {
  if (!isPlain(base) || !isPlain(wanted) || isOtherKind(base, wanted)) return wanted;
  const keys = [...new Set([...Object.keys(base), ...Object.keys(wanted)])];
  const changed = keys.filter((key) => !isDeepStrictEqual(own(base, key), own(wanted, key)));
  return Object.fromEntries(changed.map((key) => [key, own(wanted, key) === undefined ? null : difference(own(base, key), own(wanted, key))]));
}

/** `log.level`, `watches.door.question`; only `watches.door` for a watch that can stand alone, or that is removed. */
export function overridePaths(overrides: ConfigInput): string[] {
  return [...new Set(leaves(overrides).map(([path]) => nameOf(path, overrides)))];
}

function nameOf(path: Path, overrides: ConfigInput): string {
  const [section, id = ''] = path;
  const watch = section === 'watches' ? own(overrides.watches as ConfigInput, `${id}`) : undefined;
  const alone = isPlain(watch) && Object.hasOwn(watch, 'camera') && Object.hasOwn(watch, 'question');
  return (alone ? path.slice(0, 2) : path).join('.');
}

/**
 * The overrides without those at or below `paths`, and which those are; without paths all of them go. Throws ERR_CONFIG when there is none at one
 * of the paths.
 */
export function dropOverrides(overrides: ConfigInput, paths?: readonly string[]): { rest: ConfigInput; dropped: string[] } {
  const all = leaves(overrides).map(([path, value]) => ({ path, value, name: path.join('.') }));
  const below = (name: string, path: string) => name === path || name.startsWith(`${path}.`);
  const known = all.map(({ name }) => name);
  const unknown = (paths ?? []).filter((path) => !known.some((name) => below(name, path)));
  if (unknown.length > 0) {
    const expected = known.length === 0 ? 'an override, and there is none' : `an override (${overridePaths(overrides).join(', ')})`;
    refuse(unknown.map((path) => ({ path, expected, received: 'a setting without one', origin: 'mqtt', ...near(path, known) })));
  }
  const goes = (name: string) => paths === undefined || paths.some((path) => below(name, path));
  let rest: ConfigInput = {};
  for (const { path, value, name } of all) if (!goes(name)) rest = patchOver(rest, nested(path, value));
  const dropped = all.filter(({ name }) => goes(name)).map(({ path }) => nameOf(path, overrides));
  return { rest, dropped: [...new Set(dropped)] };
}

function near(path: string, known: readonly string[]): { nearest?: string } {
  const nearest = nearestKey(path, known);
  return nearest === undefined ? {} : { nearest };
}

function nested(path: Path, value: unknown): ConfigInput {
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as ConfigInput;
}

/** Those in force. */
export function overridesOf({ layers }: LoadedConfig): Override[] {
  const own = layers.find(({ origin }) => origin === 'mqtt');
  if (own === undefined) return [];
  const below = layers.filter(({ origin }) => origin !== 'mqtt');
  return leaves(own.values).map(([path, value]) => ({ path: path.join('.'), value, over: said(below, path) }));
}

function said(layers: readonly Layer[], path: Path): Override['over'] {
  const layer = layers.findLast((candidate) => says(candidate, path));
  if (layer === undefined) return undefined;
  const { source, line } = layer.place(path);
  const value = path.reduce<unknown>((owner, key) => (owner as Record<string, unknown>)[key], layer.values);
  return { value, source: line === undefined ? source : `${source}:${line}` };
}

/** What an operator who edits the file should know. Questions are personal data and stay out of the log. */
export function conflictsOf(loaded: LoadedConfig): string[] {
  return overridesOf(loaded).flatMap(({ path, value, over }) => {
    if (over === undefined || isDeepStrictEqual(value, over.value)) return [];
    const personal = path.endsWith('.question');
    const words = (said: unknown) => (personal ? 'another text' : show(said));
    const override = value === null ? 'the override removes it' : `the override${personal ? '' : ` ${show(value)}`} is in force`;
    return [`${path}: ${over.source} says ${words(over.value)}, ${override}; drop it with the request overrides/drop, or mipha drop-overrides`];
  });
}
