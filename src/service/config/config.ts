/** A node's configuration: read from its layers, validated whole, changed while it runs. */
import { readFile } from 'node:fs/promises';
import { fileText, NotUtf8 } from '../../utf8.js';
import { type Changes, patchOver } from '../state-dir.js';
import { fileIssues } from './files.js';
import { type ConfigIssue, issuesOf, refuse, whereIs } from './issues.js';
import { type ConfigInput, isPlain, type Layer, mergeInto, type Origin, type Read, readEnvironment, readFlags, readYaml } from './layers.js';
import { type Config, configSchema } from './schema.js';
import { learnSecrets } from './secrets.js';
import { holdsLocal, isLocal, type Path, shapeAt } from './shape.js';

export type { ConfigIssue } from './issues.js';
export type { ConfigInput, Origin } from './layers.js';
export type { Config } from './schema.js';

export interface ConfigSources {
  /** YAML; without it environment and flags alone make the configuration. */
  file?: string;
  env?: NodeJS.ProcessEnv;
  /** `--set` assignments, in order. */
  flags?: readonly (readonly [path: string, value: string])[];
  /** False: leave out whether the files that the settings name are there. */
  checkFiles?: boolean;
}

export interface LoadedConfig {
  /** With all defaults; paths absolute. */
  config: Config;
  /** As written: file, environment, flags and changes over MQTT merged, before defaults. */
  input: ConfigInput;
  /** The layers behind `input`; later ones win. */
  layers: readonly Layer[];
  /** What is not wrong but worth a look. */
  warnings: readonly string[];
}

/** Throws ERR_CONFIG; `details.issues` lists every ConfigIssue of all layers. */
export async function loadConfig({ file, env = process.env, flags = [], checkFiles = true }: ConfigSources): Promise<LoadedConfig> {
  const yaml = file === undefined ? null : readYaml(file, await readConfigFile(file));
  if (yaml !== null && yaml.issues.length > 0) refuse(yaml.issues); // nothing in it can be read
  const loaded = validate([...(yaml === null ? [] : [yaml]), readEnvironment(env), readFlags(flags)]);
  if (!checkFiles) return loaded;
  const { missing, warnings } = await fileIssues(loaded.config);
  if (missing.length > 0) refuse(missing.map(({ path, ...issue }) => ({ path: path.join('.'), ...issue, ...whereIs(path, loaded.layers) })));
  return { ...loaded, warnings };
}

/** A configuration that a program makes itself; `flags` are assignments over it. Throws ERR_CONFIG. */
export function configOf(values: ConfigInput, flags: ConfigSources['flags'] = []): LoadedConfig {
  learnSecrets(values);
  const layer: Layer = { origin: 'default', values, place: () => ({ source: 'the program' }) };
  return validate([{ layer, issues: [] }, readFlags(flags)]);
}

/**
 * The configuration with `patch` merged over it (RFC 7396: null removes). Throws ERR_CONFIG; `details.forbidden` lists paths that are local.
 * Watches are removed by replaceWatch() only.
 */
export function mergeOptions(loaded: LoadedConfig, patch: ConfigInput): LoadedConfig {
  const parts = leaves(patch);
  const forbidden = parts.filter(([path, value]) => isLocal(path) || path.includes('__proto__') || (value === null && holdsLocal(path)));
  const unknown = parts.filter(([path, value]) => value === null && shapeAt(path) === undefined); // merging would lose them
  const gone = parts.filter(([path, value]) => value === null && path[0] === 'watches' && path.length <= 2);
  const issues = [
    ...forbidden.map(([path]) => mqttIssue(path, 'a setting that may be changed over MQTT', path.join('.'))),
    ...unknown.map(([path]) => mqttIssue(path, 'a setting that exists', path.join('.'))),
    ...gone.map(([path]) => mqttIssue(path, 'a watch, or the request watch/delete to remove one', 'null')),
  ];
  if (issues.length > 0) refuse(issues, forbidden.length > 0 ? { forbidden: forbidden.map(([path]) => path.join('.')) } : {});
  return changed(loaded, patch);
}

function mqttIssue(path: Path, expected: string, received: string): ConfigIssue {
  return { path: path.join('.'), expected, received, origin: 'mqtt', source: 'MQTT' };
}

/** The configuration with this watch in place of the one of that name, or without it (null). Throws ERR_CONFIG. */
export function replaceWatch(loaded: LoadedConfig, id: string, spec: ConfigInput | null): LoadedConfig {
  // a merge would keep what the old watch had and the new one leaves out
  const without = mergeInto(loaded.input, { watches: { [id]: null } }) as ConfigInput;
  return changed({ ...loaded, input: without }, { watches: { [id]: spec } });
}

/**
 * What was changed over MQTT and kept, over what was loaded now. A change that no longer fits, because file and changes have parted, is left out,
 * with a warning.
 */
export function withChanges(loaded: LoadedConfig, { options, watches }: Changes): LoadedConfig {
  let current = loaded;
  const warnings = [...loaded.warnings];
  const attempt = (what: string, change: () => LoadedConfig) => {
    try {
      current = change();
    } catch (error) {
      warnings.push(`${what}, changed over MQTT, no longer fits and is left out: ${(error as Error).message}`);
    }
  };
  for (const [key, value] of Object.entries(options)) {
    const parts = key === 'cameras' && isPlain(value) ? Object.entries(value).map(([id, camera]) => ({ [id]: camera })) : [value];
    for (const part of parts) attempt(key, () => mergeOptions(current, { [key]: part }));
  }
  for (const [id, spec] of Object.entries(watches)) attempt(`watch ${id}`, () => replaceWatch(current, id, spec));
  return { ...current, warnings };
}

/** Where the value of a setting came from. */
export function originOf({ layers }: LoadedConfig, path: Path): Origin {
  for (const { origin, values } of layers.toReversed()) {
    const value = valueAt(values, path);
    if (value !== undefined) return value === null ? 'default' : origin;
  }
  return 'default';
}

function changed(loaded: LoadedConfig, patch: ConfigInput): LoadedConfig {
  const layer: Layer = { origin: 'mqtt', values: patch, place: () => ({ source: 'MQTT' }) };
  const input = mergeInto(loaded.input, patch) as ConfigInput;
  const config = parse(input, [...loaded.layers, layer], []);
  // changes are one layer, however many there were
  const earlier = loaded.layers.filter(({ origin }) => origin !== 'mqtt');
  const before = loaded.layers.find(({ origin }) => origin === 'mqtt')?.values ?? {};
  return { config, input, layers: [...earlier, { ...layer, values: patchOver(before, patch) }], warnings: loaded.warnings };
}

function validate(reads: readonly Read[]): LoadedConfig {
  const layers = reads.map(({ layer }) => layer);
  const input = layers.reduce<unknown>((below, { values }) => mergeInto(below, values), {}) as ConfigInput;
  const config = parse(
    input,
    layers,
    reads.flatMap(({ issues }) => issues),
  );
  return { config, input, layers, warnings: [] };
}

/** `known` are issues found before. */
function parse(input: ConfigInput, layers: readonly Layer[], known: readonly ConfigIssue[]): Config {
  const result = configSchema.safeParse(input, { reportInput: true });
  if (result.success && known.length === 0) return result.data;
  return refuse([...known, ...(result.success ? [] : issuesOf(result.error, input, layers))]);
}

async function readConfigFile(file: string): Promise<string> {
  try {
    return fileText(await readFile(file));
  } catch (error) {
    if (error instanceof NotUtf8) {
      const { words, line, column } = error.at;
      return refuse([{ path: '', expected: 'UTF-8', received: words, origin: 'file', source: file, line, column }]);
    }
    const { code } = error as NodeJS.ErrnoException;
    return refuse([{ path: '', expected: 'a readable file', received: `${file} (${code})`, origin: 'file', source: file }]);
  }
}

/** All values that are no objects, with their paths; an empty object is one. */
function leaves(value: unknown, path: Path = []): [Path, unknown][] {
  if (!isPlain(value) || Object.keys(value).length === 0) return path.length === 0 ? [] : [[path, value]];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}

/** Undefined: not mentioned. Null: it, or what holds it, was removed. */
function valueAt(values: unknown, path: Path): unknown {
  let value = values;
  for (const key of path) {
    if (value === null) return null;
    if (typeof value !== 'object' || value === undefined || !Object.hasOwn(value, key)) return undefined;
    value = (value as ConfigInput)[key];
  }
  return value;
}
