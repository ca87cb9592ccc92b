/** The parts of a camera's URI, and its options: strict, because a misspelt option that is ignored costs somebody a day. */
import { nearestKey, optionError } from '../errors.js';
import { mask, URI_OPTIONS } from './mask.js';

export interface CameraUri {
  scheme: string;
  /** As shown: with all secrets masked. */
  name: string;
  /** Between `scheme://` and the options, still percent-encoded. */
  rest: string;
  /** After the question mark. */
  query: string;
  options: URLSearchParams;
}

/** Splits `scheme://rest?options`. */
export function splitUri(uri: string): CameraUri {
  const rest = uri.slice(uri.indexOf('://') + 3);
  const mark = rest.indexOf('?');
  const query = mark < 0 ? '' : rest.slice(mark + 1);
  return {
    scheme: uri.slice(0, uri.indexOf(':')),
    name: mask(uri),
    rest: mark < 0 ? rest : rest.slice(0, mark),
    query,
    options: new URLSearchParams(query),
  };
}

/** Throws ERR_OPTION for an option that its scheme does not have and for one given twice. */
export function checkOptions({ scheme, name, options }: CameraUri): void {
  const known = URI_OPTIONS[scheme] ?? [];
  for (const key of options.keys()) {
    const label = `${name}: ${key}`;
    if (!known.includes(key))
      throw optionError(label, known.length > 0 ? `one of the options ${known.join(', ')}` : 'no options', key, nearestKey(key, known));
    if (options.getAll(key).length > 1) throw optionError(label, 'one value', options.getAll(key));
  }
}

export function numberOption(uri: CameraUri, key: string, fallback: number, range: { min: number; max: number; whole?: boolean }): number {
  const text = uri.options.get(key);
  if (text === null) return fallback;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= range.min && value <= range.max && (!range.whole || Number.isInteger(value))) return value;
  throw optionError(`${uri.name}: ${key}`, `a ${range.whole ? 'whole ' : ''}number from ${range.min} to ${range.max}`, text);
}

export function choiceOption<const T extends string>(uri: CameraUri, key: string, fallback: T, choices: readonly T[]): T {
  const text = uri.options.get(key);
  if (text === null) return fallback;
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  throw optionError(`${uri.name}: ${key}`, `one of ${choices.join(', ')}`, text, nearestKey(text, choices));
}

export function booleanOption(uri: CameraUri, key: string): boolean {
  return choiceOption(uri, key, 'false', ['true', 'false']) === 'true';
}

/** Percent-decoded; a path with a stray % is taken as it stands. */
export function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
