/** Where installed models are kept. */
import { join } from 'node:path';
import type { Config } from './schema.js';

/** Undefined: nowhere, and none can be installed. */
export function modelsFolderOf({ state_dir }: Pick<Config, 'state_dir'>): string | undefined {
  return state_dir === undefined ? undefined : join(state_dir, 'models');
}
