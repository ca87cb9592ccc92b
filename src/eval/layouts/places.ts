/** Files that may lie in one of several places. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { dataError } from '../item.js';

/** The first that is there. Throws ERR_OPTION that names them all. */
export function fileIn(folder: string, names: readonly string[], what: string): string {
  const found = firstIn(folder, names);
  if (found === undefined) throw dataError(folder, `${what} in ${names.join(' or ')}`, 'none of them');
  return found;
}

export function firstIn(folder: string, names: readonly string[]): string | undefined {
  return names.map((name) => join(folder, name)).find((path) => existsSync(path));
}
