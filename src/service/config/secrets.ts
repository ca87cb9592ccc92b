/** What of a configuration is secret, told to the filter before anything about that configuration is said. */
import { isCredential, looksLikeAddress } from '../../address.js';
import { mask, secretsIn } from '../../camera/mask.js';
import { BEGINNINGS } from '../../camera/schemes.js';
import { HIDDEN, redactor } from '../../redact.js';
import type { Path } from './shape.js';

/** `values` may be anything: what somebody wrote, before it is checked. Settings that nobody knows are looked at too, for they are quoted. */
export function learnSecrets(values: unknown, path: Path = []): void {
  redactor.add(secretsWithin(values, path));
}

function secretsWithin(value: unknown, path: Path): string[] {
  if (typeof value === 'string') return secretsAt(value, path);
  if (typeof value === 'number') return isPassword(path) ? [String(value)] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [...(looksLikeAddress(key) ? secretsIn(key) : []), ...secretsWithin(item, [...path, key])]);
}

function secretsAt(text: string, path: Path): string[] {
  const begin = addressIn(text, path);
  if (begin !== undefined) return secretsIn(text.slice(begin));
  return isPassword(path) ? [text] : [];
}

/** Where it begins: at once in a setting that holds addresses, in others wherever a scheme stands. */
function addressIn(text: string, path: Path): number | undefined {
  if (holdsAddress(path) || BEGINNINGS.some((beginning) => text.startsWith(beginning.replace('//', '')))) return 0;
  const end = text.indexOf('://');
  if (end < 0) return undefined;
  let begin = end;
  while (begin > 0 && /[a-z0-9+.-]/i.test(text[begin - 1] as string)) begin--;
  return begin;
}

function holdsAddress(path: Path): boolean {
  return (path[0] === 'cameras' && (path.length === 2 || path.at(-1) === 'uri')) || (path[0] === 'mqtt' && path.at(-1) === 'url');
}

/** There is no such setting, which does not keep people from writing one. */
function isPassword(path: Path): boolean {
  const name = String(path.at(-1) ?? '');
  return isCredential(name) && !name.endsWith('_file') && path[0] !== 'watches';
}

/** The value of a setting as it may be shown. */
export function shown(text: string, path: Path): string {
  const begin = addressIn(text, path);
  if (begin !== undefined) return redactor.text(text.slice(0, begin) + mask(text.slice(begin)));
  return isPassword(path) ? HIDDEN : redactor.text(text);
}
