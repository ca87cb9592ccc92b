/** Where watches are recorded. */
import { join } from 'node:path';
import type { Config } from './schema.js';

/** Undefined: nowhere, and nothing may be recorded. */
export function recordFolderOf({ recorder, state_dir }: Pick<Config, 'recorder' | 'state_dir'>): string | undefined {
  return recorder.folder ?? (state_dir === undefined ? undefined : join(state_dir, 'record'));
}
