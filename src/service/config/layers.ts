/** Where a configuration comes from: a YAML file, the environment, flags, changes made over MQTT. Each is a layer over the one before. */
import { dirname, resolve } from 'node:path';
import { type Document, isAlias, isCollection, isMap, isPair, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { ConfigIssue } from './issues.js';
import { learnSecrets, shown } from './secrets.js';
import { childShape, configShape, isRecordShape, keysOf, type Path, type SettingShape, shapeAt } from './shape.js';

/** A configuration as somebody wrote it: keys absent, nothing checked. */
export type ConfigInput = Record<string, unknown>;
export type Origin = 'default' | 'file' | 'env' | 'flag' | 'mqtt';

export interface Place {
  /** File name, variable or flag. */
  source: string;
  line?: number;
  column?: number;
}

export interface Layer {
  origin: Origin;
  values: ConfigInput;
  /** Where `path`, or what holds it, was written. */
  place(path: Path): Place;
}

export interface Read {
  layer: Layer;
  issues: ConfigIssue[];
}

const ENV_PREFIX = 'MIPHA_CONFIG_';
const FILE_CHARS = 1_000_000;
const MOST_DEPTH = 32;
const MOST_ALIASES = 100;

/** YAML 1.2. Relative paths in it are relative to `file`. */
export function readYaml(file: string, text: string): Read {
  const lines = new LineCounter();
  const issues: ConfigIssue[] = [];
  const broken = (expected: string, received: string, offset?: number) => {
    const at = offset === undefined ? undefined : lines.linePos(offset);
    issues.push({ path: '', expected, received, origin: 'file', source: file, ...(at === undefined ? {} : { line: at.line, column: at.col }) });
  };
  const nothing: Read = { layer: { origin: 'file', values: {}, place: () => ({ source: file }) }, issues };
  if (text.length > FILE_CHARS) {
    broken(`at most ${FILE_CHARS} characters`, `${text.length} characters`);
    return nothing;
  }
  const document = parseDocument(text, { lineCounter: lines, version: '1.2', schema: 'core', uniqueKeys: true, strict: true, prettyErrors: false });
  learnFrom(document);
  for (const { code, message, pos } of [...document.errors, ...document.warnings]) broken('YAML', yamlWords(code, message), pos[0]);
  if (issues.length > 0) return nothing;
  for (const { expected, received, offset } of structureProblems(document)) broken(expected, received, offset);
  if (issues.length > 0) return nothing;
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: MOST_ALIASES }) ?? {};
  } catch (error) {
    const unknown = error instanceof ReferenceError && error.message.startsWith('Unresolved alias');
    if (unknown) broken('an anchor for every alias', 'an alias without one (a value that begins with * needs quotes)');
    else broken(`at most ${MOST_ALIASES} aliases`, 'more');
    return nothing;
  }
  if (!isPlain(values)) {
    broken('an object', Array.isArray(values) ? 'a list' : 'a single value', document.contents?.range?.[0]);
    return nothing;
  }
  const place = (path: Path): Place => {
    const offset = offsetOf(document.contents, path);
    if (offset === undefined) return { source: file };
    const { line, col } = lines.linePos(offset);
    return { source: file, line, column: col };
  };
  learnSecrets(values);
  const plain = withoutNulls(values, configShape()) as ConfigInput;
  return { layer: { origin: 'file', values: absolute(plain, dirname(resolve(file))), place }, issues };
}

/** A file that is no YAML is refused, not unread: what can be told of its addresses is secret too. */
function learnFrom(document: Document): void {
  visit(document, {
    Pair: (_, { key, value }) => {
      if (isScalar(key) && isScalar(value)) learnSecrets({ [String(key.value)]: value.value });
    },
    Scalar: (_, { value }) => learnSecrets(value),
  });
}

/** Messages of the parser that repeat what it stumbled over, a piece of a password perhaps, in other words. Line and column say where it is. */
const YAML_WORDS: Record<string, string> = {
  BAD_DIRECTIVE: 'a directive that YAML does not have (a value that begins with % needs quotes)',
  BAD_DQ_ESCAPE: 'an escape sequence that YAML does not have (in single quotes a backslash is nothing special)',
  TAG_RESOLVE_FAILED: 'an unknown tag (a value that begins with ! needs quotes)',
};

function yamlWords(code: string, message: string): string {
  return YAML_WORDS[code] ?? (code === 'UNEXPECTED_TOKEN' ? (message.split(': ')[0] ?? message) : message);
}

/** What must not be walked or merged: nesting without bound, an alias inside its own anchor, which never ends, and the one key that is no key. */
function structureProblems(document: Document): { expected: string; received: string; offset: number | undefined }[] {
  const problems: { expected: string; received: string; offset: number | undefined }[] = [];
  visit(document, {
    Node: (_, node, path) => {
      const offset = node.range?.[0];
      if (path.length > 2 * MOST_DEPTH) {
        problems.push({ expected: `nesting of at most ${MOST_DEPTH} levels`, received: 'more', offset });
        return visit.BREAK;
      }
      if (isAlias(node) && path.some((above) => isCollection(above) && above.anchor === node.source))
        problems.push({ expected: 'no alias within its own anchor', received: 'one', offset });
      if (isScalar(node) && node.value === '__proto__') problems.push({ expected: 'another word', received: '__proto__', offset });
      return undefined;
    },
  });
  return problems;
}

/** Offset of the key at `path`, or of the nearest key above it. */
function offsetOf(root: unknown, path: Path): number | undefined {
  let node = root;
  let offset: number | undefined;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined || !isScalar(pair.key)) return offset;
      offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isCollection(node) && typeof key === 'number') {
      const item = node.items[key] as { range?: [number, number, number] | null } | undefined;
      offset = item?.range?.[0] ?? offset;
      node = item;
    } else {
      return offset;
    }
  }
  return offset;
}

/**
 * Every variable MIPHA_CONFIG_A__B sets a.b. `__` separates levels, names are lower-cased; in the ids of cameras and watches, which have hyphens
 * but no underscores, `_` stands for a hyphen. Relative paths are relative to the working directory.
 */
export function readEnvironment(env: NodeJS.ProcessEnv): Read {
  const assignments = Object.entries(env)
    .filter((entry): entry is [string, string] => entry[0].startsWith(ENV_PREFIX) && entry[1] !== undefined)
    .map(([name, text]) => ({ source: name, path: pathOfVariable(name), text }));
  return readAssignments('env', assignments);
}

/** Flags `--set a.b=value` as [path, value]. */
export function readFlags(flags: readonly (readonly [path: string, value: string])[]): Read {
  return readAssignments(
    'flag',
    flags.map(([path, text]) => ({ source: `--set ${path}`, path: path.split('.'), text })),
  );
}

function pathOfVariable(name: string): string[] {
  let shape: SettingShape | undefined = configShape();
  return name
    .slice(ENV_PREFIX.length)
    .toLowerCase()
    .split('__')
    .map((part) => {
      const key = shape !== undefined && isRecordShape(shape) ? part.replaceAll('_', '-') : part;
      shape = shape === undefined ? undefined : childShape(shape, key);
      return key;
    });
}

interface Assignment {
  source: string;
  path: string[];
  text: string;
}

function readAssignments(origin: 'env' | 'flag', assignments: Assignment[]): Read {
  const values: ConfigInput = {};
  const issues: ConfigIssue[] = [];
  const sources = new Map<string, string>();
  for (const { source, path, text } of assignments) {
    const name = path.join('.');
    const wrong = (expected: string, received: string) => issues.push({ path: name, expected, received, origin, source });
    if (path.some((key) => key === '' || key === '__proto__')) {
      wrong('names of settings', name);
      continue;
    }
    const shape = shapeAt(path);
    learnSecrets(path.reduceRight<unknown>((value, key) => ({ [key]: value }), text));
    const parsed = parseValue(text, shape);
    const value = parsed === null && shape === undefined ? '' : parsed; // a name that nobody knows must not vanish with its value
    if (value === undefined) {
      wrong('a YAML value', shown(text, path));
      continue;
    }
    if (!assign(values, path, value)) wrong('one value for a setting', 'a value for the setting and for a part of it');
    sources.set(name, source);
  }
  const place = (path: Path): Place => {
    for (let length = path.length; length > 0; length--) {
      const source = sources.get(path.slice(0, length).join('.'));
      if (source !== undefined) return { source };
    }
    // something that holds what was set: any of its parts will do
    const prefix = path.map((key) => `${key}.`).join('');
    return { source: [...sources].find(([name]) => name.startsWith(prefix))?.[1] ?? origin };
  };
  return { layer: { origin, values: absolute(values, process.cwd()), place }, issues };
}

/** What the schema takes as text stays as it was written; elsewhere one YAML value. Nothing at all is null: not set. Undefined: no YAML. */
function parseValue(text: string, shape: SettingShape | undefined): unknown {
  if (text.trim() === '') return null;
  if (shape?.type === 'string') return text;
  if (text.length > FILE_CHARS) return undefined;
  const document = parseDocument(text, { version: '1.2', schema: 'core', strict: true, prettyErrors: false });
  if (document.errors.length > 0 || document.warnings.length > 0 || structureProblems(document).length > 0) return undefined;
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    return undefined;
  }
}

/** False when a value stands where an object would be needed. */
function assign(target: ConfigInput, path: string[], value: unknown): boolean {
  let owner = target;
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(owner, key) ? owner[key] : undefined;
    if (next === undefined) owner[key] = {};
    else if (!isPlain(next)) return false;
    owner = owner[key] as ConfigInput;
  }
  const last = path.at(-1) as string;
  if (isPlain(owner[last]) && Object.hasOwn(owner, last)) return false;
  owner[last] = value;
  return true;
}

export function isPlain(value: unknown): value is ConfigInput {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A known setting that is null is as if it were not there: "cameras:" with all its lines commented out. */
function withoutNulls(value: unknown, shape: SettingShape | undefined): unknown {
  if (!isPlain(value) || shape === undefined) return value;
  const known = keysOf(shape);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => item !== null || !known.includes(key))
      .map(([key, item]) => [key, withoutNulls(item, childShape(shape, key, value))]),
  );
}

/** Relative paths become absolute, from `folder`. */
function absolute<T>(value: T, folder: string, shape: SettingShape | undefined = configShape()): T {
  if (shape === undefined) return value;
  if (typeof value === 'string' && value !== '') {
    if (shape.path === 'file') return resolve(folder, value) as T;
    const [, scheme, rest] = (shape.path === 'uri' && /^(images:\/\/|file:\/\/)(?!\/|[^/?@]*:.*@)(.+)$/s.exec(value)) || [];
    const encoded = folder.replace(/[%?]/g, encodeURIComponent);
    return (scheme === undefined ? value : `${scheme}${resolve(encoded, rest as string)}`) as T;
  }
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, absolute(item, folder, childShape(shape, key, value))])) as T;
}

/** JSON Merge Patch (RFC 7396), where an object whose `type` differs replaces the old one whole: it is another kind of thing. */
export function mergeInto(base: unknown, patch: unknown): unknown {
  if (!isPlain(patch)) return patch;
  const merged = new Map(isPlain(base) && !isOtherKind(base, patch) ? Object.entries(base) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergeInto(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/** Both name a type, and not the same one. A watch or camera called `type` is none. */
export function isOtherKind({ type: before }: ConfigInput, { type: after }: ConfigInput): boolean {
  return typeof before === 'string' && typeof after === 'string' && before !== after;
}

/** True when the layer says something about exactly this path. */
export function says(layer: Layer, path: Path): boolean {
  let value: unknown = layer.values;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return false;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value !== undefined && value !== null;
}
