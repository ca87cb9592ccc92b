/** A node's configuration: read from its layers and validated whole. */
import { readFile } from 'node:fs/promises';
import { fileText, NotUtf8 } from '../../utf8.js';
import { fileIssues } from './files.js';
import { type ConfigIssue, issuesOf, refuse, whereIs } from './issues.js';
import { type ConfigInput, type Layer, mergeInto, type Origin, type Read, readEnvironment, readFlags, readYaml } from './layers.js';
import { type Config, configSchema } from './schema.js';
import { learnSecrets } from './secrets.js';
import type { Path } from './shape.js';

export type { ConfigIssue } from './issues.js';
export type { ConfigInput, Origin } from './layers.js';
export type { Config } from './schema.js';

export interface ConfigSources {
  /** YAML; without it environment and flags alone make the configuration. */
  file?: string;
  /** What stands in `file`, instead of what does. */
  text?: string | undefined;
  env?: NodeJS.ProcessEnv;
  /** `--set` assignments, in order. */
  flags?: readonly (readonly [path: string, value: string])[];
  /** False: leave out whether the files that the settings name are there. */
  checkFiles?: boolean;
}

export interface LoadedConfig {
  /** With all defaults; paths absolute. */
  config: Config;
  /** As written: file, environment, flags and overrides merged, before defaults. */
  input: ConfigInput;
  /** The layers behind `input`; later ones win. */
  layers: readonly Layer[];
  /** What is not wrong but worth a look. */
  warnings: readonly string[];
}

/** Throws ERR_CONFIG; `details.issues` lists every ConfigIssue of all layers. */
export async function loadConfig({ file, text, env = process.env, flags = [], checkFiles = true }: ConfigSources): Promise<LoadedConfig> {
  const yaml = file === undefined ? null : readYaml(file, text ?? (await readConfigFile(file)));
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

/** Where the value of a setting came from. */
export function originOf({ layers }: LoadedConfig, path: Path): Origin {
  for (const { origin, values } of layers.toReversed()) {
    const value = valueAt(values, path);
    if (value !== undefined) return value === null ? 'default' : origin;
  }
  return 'default';
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

/** `known` are issues found before. Throws ERR_CONFIG. */
export function parse(input: ConfigInput, layers: readonly Layer[], known: readonly ConfigIssue[]): Config {
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
