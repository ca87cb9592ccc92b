/** What is wrong with a configuration, in words: path, what was expected, what came, the nearest key, and where it was written. */
import type { z } from 'zod';
import { MiphaError, nearestKey } from '../../errors.js';
import { own } from '../own.js';
import { checkTogether } from './checks.js';
import type { Layer, Origin } from './layers.js';
import { says } from './layers.js';
import { shown } from './secrets.js';
import { configShape, inWords, keysOf, type Path, shapeAt } from './shape.js';

export interface ConfigIssue {
  /** `cameras.front.uri`; empty: the whole file. */
  path: string;
  expected: string;
  received: string;
  /** The known name that was probably meant. */
  nearest?: string;
  origin: Origin;
  /** File name, variable or flag. */
  source?: string;
  line?: number;
  column?: number;
}

const MOST_SHOWN = 80;
const IN_MESSAGE = 10;

/** Every issue of a zod error about `input`, which came from these layers; the last of them wins. In the order of the file, then the others. */
export function issuesOf(error: z.ZodError, input: unknown, layers: readonly Layer[]): ConfigIssue[] {
  const found = error.issues.flatMap(flatten);
  // zod looks at settings together only when each for itself is right
  checkTogether(input, { addIssue: (issue) => found.push(...flatten(issue as z.core.$ZodIssue)) });
  const issues = new Map<string, ConfigIssue>();
  for (const issue of found.map((each) => describe(each, input, layers))) issues.set(`${issue.path}\n${issue.expected}`, issue);
  const order = (issue: ConfigIssue) => (issue.origin === 'file' ? (issue.line ?? 0) : Number.MAX_SAFE_INTEGER);
  return [...issues.values()].sort((a, b) => order(a) - order(b));
}

interface Found {
  path: Path;
  expected?: string;
  received?: string;
  nearest?: string | undefined;
  /** A number or boolean came. */
  unquoted?: boolean;
}

function flatten(issue: z.core.$ZodIssue): Found[] {
  const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const owner = issue.input;
        const shape = path.length === 0 ? configShape() : shapeAt(path, owner);
        const known = shape === undefined ? [] : keysOf(shape);
        return { path: [...path, key], expected: `one of the names ${known.join(', ')}`, received: show(key), nearest: nearestKey(key, known) };
      });
    case 'invalid_key':
      return [{ path, expected: issue.issues[0]?.message ?? 'another name', received: show(path.at(-1)) }];
    case 'custom': {
      const known = (issue.params?.known ?? []) as string[];
      const named = issue.params?.nearest as string | undefined;
      const nearest = named ?? (typeof issue.input === 'string' ? nearestKey(issue.input, known) : undefined);
      const part = own(issue.input as Record<string, unknown> | null | undefined, String(path.at(-1))); // a rule about several has their owner as input
      return [{ path, expected: issue.message, received: show(part ?? issue.input, path), nearest }];
    }
    case 'invalid_format':
      return [{ path, expected: issue.message, received: show(issue.input, path) }];
    case 'invalid_union': {
      if (issue.discriminator === undefined) return [{ path, received: show(issue.input, path) }];
      const options = (issue as { options?: unknown[] }).options ?? [];
      const named = own(issue.input as Record<string, unknown>, issue.discriminator);
      const written = path.at(-1) === issue.discriminator ? path : [...path, issue.discriminator];
      const nearest = typeof named === 'string' ? nearestKey(named, options.map(String)) : undefined;
      return [{ path: written, expected: `one of ${options.join(', ')}`, received: show(named, written), nearest }];
    }
    case 'invalid_value': {
      const nearest = typeof issue.input === 'string' ? nearestKey(issue.input, issue.values.map(String)) : undefined;
      return [{ path, received: show(issue.input, path), nearest, unquoted: typeof issue.input === 'number' }];
    }
    default:
      return [{ path, received: show(issue.input, path), unquoted: typeof issue.input === 'number' || typeof issue.input === 'boolean' }];
  }
}

function describe(found: Found, input: unknown, layers: readonly Layer[]): ConfigIssue {
  const { path, nearest } = found;
  const shape = shapeAt(path, input);
  const received = `${found.received ?? 'nothing'}${found.unquoted && shape?.type === 'string' ? ' (in quotes it is text)' : ''}`;
  const expected = found.expected ?? (shape === undefined ? 'another value' : inWords(shape));
  return { path: path.join('.'), expected, received, ...(nearest === undefined ? {} : { nearest }), ...whereIs(path, layers) };
}

/** The topmost layer that says something about `path`, or about what should hold it. */
export function whereIs(path: Path, layers: readonly Layer[]): Pick<ConfigIssue, 'origin' | 'source' | 'line' | 'column'> {
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length);
    const layer = layers.findLast((candidate) => says(candidate, part));
    if (layer !== undefined) return { origin: layer.origin, ...layer.place(part) };
  }
  const file = layers.find(({ origin }) => origin === 'file');
  return file === undefined ? { origin: 'default' } : { origin: 'file', source: file.place([]).source };
}

/** Throws ERR_CONFIG with every issue in `details.issues`. */
export function refuse(issues: readonly ConfigIssue[], details: Record<string, unknown> = {}): never {
  const shown = issues.slice(0, IN_MESSAGE).map(sentence);
  if (issues.length > shown.length) shown.push(`and ${issues.length - shown.length} more`);
  throw new MiphaError('ERR_CONFIG', shown.join('; '), { details: { issues, ...details } });
}

/** `mipha.yaml:3 (mqtt.urll): expected …, received … (did you mean url?)` */
export function sentence({ path, expected, received, nearest, source, line }: ConfigIssue): string {
  const where = source === undefined ? '' : line === undefined ? source : `${source}:${line}`;
  const subject = where === '' ? path || 'configuration' : path === '' ? where : `${where} (${path})`;
  return `${subject}: expected ${expected}, received ${received}${nearest === undefined ? '' : ` (did you mean ${nearest}?)`}`;
}

/** The value at `path` as it was written, short and without secrets. */
export function show(value: unknown, path: Path = []): string {
  if (value === undefined) return 'nothing';
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return `the number ${shown(String(value), path)}`;
  if (typeof value === 'string') {
    const text = shown(value, path);
    return JSON.stringify(text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN - 3)}...` : text);
  }
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return 'an object';
}
