/** Which release in the folder of the configuration is newer than the one that serves. */
import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Release, releaseIn } from './release.js';

const MOST_FOLDERS = 200;
const collator = new Intl.Collator('en', { numeric: true });

export interface Offered {
  release: Release;
  /** As a request names it. */
  source: string;
}

/** 2026.10.1 comes after 2026.9.30. */
export function isNewer(release: string, than: string): boolean {
  return collator.compare(release, than) > 0;
}

/** The newest release that a key vouches for, by its name; null: there is none newer. `failed`: ids that are not offered again. `present`: null where what serves is no release. */
export async function newestIn(
  folder: string | undefined,
  keys: readonly string[],
  failed: readonly string[],
  present: string | null,
): Promise<Offered | null> {
  if (folder === undefined) return null;
  const names = await readdir(await realpath(folder).catch(() => folder)).catch(() => [] as string[]); // a stick that is not in
  let newest: Offered | null = null;
  for (const source of names.sort().slice(0, MOST_FOLDERS)) {
    const release = await releaseIn(join(folder, source), keys).catch(() => null);
    if (release === null || failed.includes(release.id)) continue;
    const least: string | null = newest?.release.release ?? present;
    if (least === null || isNewer(release.release, least)) newest = { release, source };
  }
  return newest;
}
