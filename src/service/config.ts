/** A node's configuration: read from its layers, validated whole, changed while it runs. */
import { readFile } from 'node:fs/promises';
import { MiphaError } from '../errors.js';
import { fileIssues } from './config-files.js';
import { type ConfigIssue, issuesOf, refuse, whereIs } from './config-issues.js';
import { type ConfigInput, isPlain, type Layer, mergeInto, type Origin, readEnvironment, readFlags, readYaml } from './config-layers.js';
import { type Config, configSchema } from './config-schema.js';
import { isLocal, type Path } from './config-shape.js';
import { type Changes, patchOver } from './state-dir.js';

export type { ConfigIssue } from './config-issues.js';
export type { ConfigInput, Origin } from './config-layers.js';
export type { Config } from './config-schema.js';

export interface LoadOptions {
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
export async function loadConfig({ file, env = process.env, flags = [], checkFiles = true }: LoadOptions): Promise<LoadedConfig> {
  const reads = [...(file === undefined ? [] : [readYaml(file, await readConfigFile(file))]), readEnvironment(env), readFlags(flags)];
  const issues = reads.flatMap((read) => read.issues);
  if (issues.length > 0) refuse(issues);
  const loaded = validate(reads.map(({ layer }) => layer));
  if (!checkFiles) return loaded;
  const { missing, warnings } = await fileIssues(loaded.config);
  if (missing.length > 0) refuse(missing.map(({ path, ...issue }) => ({ path: path.join('.'), ...issue, ...whereIs(path, loaded.layers) })));
  return { ...loaded, warnings };
}

/** A configuration that a program makes itself; `flags` are assignments over it. Throws ERR_CONFIG. */
export function configOf(values: ConfigInput, flags: LoadOptions['flags'] = []): LoadedConfig {
  const { layer, issues } = readFlags(flags);
  if (issues.length > 0) refuse(issues);
  return validate([{ origin: 'default', values, place: () => ({ source: 'the program' }) }, layer]);
}

/** The configuration with `patch` merged over it (RFC 7396: null removes). Throws ERR_CONFIG; `details.forbidden` lists paths that are local. */
export function mergeOptions(loaded: LoadedConfig, patch: ConfigInput): LoadedConfig {
  const forbidden = leaves(patch)
    .filter((path) => isLocal(path) || path.includes('__proto__'))
    .map(join);
  if (forbidden.length > 0) {
    const expected = 'a setting that may be changed over MQTT';
    const issues: ConfigIssue[] = forbidden.map((path) => ({ path, expected, received: path, origin: 'mqtt' }));
    throw new MiphaError('ERR_CONFIG', `Not to be changed over MQTT: ${forbidden.join(', ')}`, { details: { issues, forbidden } });
  }
  return changed(loaded, patch);
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
  const result = validate([...loaded.layers, layer], mergeInto(loaded.input, patch) as ConfigInput);
  // changes are one layer, however many there were
  const earlier = loaded.layers.filter(({ origin }) => origin !== 'mqtt');
  const before = loaded.layers.find(({ origin }) => origin === 'mqtt')?.values ?? {};
  return { ...result, layers: [...earlier, { ...layer, values: patchOver(before, patch) }], warnings: loaded.warnings };
}

function validate(layers: readonly Layer[], input?: ConfigInput): LoadedConfig {
  const merged = input ?? (layers.reduce<unknown>((below, { values }) => mergeInto(below, values), {}) as ConfigInput);
  const result = configSchema.safeParse(merged, { reportInput: true });
  if (!result.success) refuse(issuesOf(result.error, merged, layers));
  return { config: result.data, input: merged, layers, warnings: [] };
}

async function readConfigFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return refuse([{ path: '', expected: 'a readable file', received: `${file} (${code})`, origin: 'file', source: file }]);
  }
}

/** Paths of all values that are no objects; an empty object is one. */
function leaves(value: unknown, path: Path = []): Path[] {
  if (!isPlain(value) || Object.keys(value).length === 0) return path.length === 0 ? [] : [path];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}

const join = (path: Path) => path.join('.');

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
