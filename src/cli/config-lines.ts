/** What commands about configurations share: issues as lines, and the overrides that a node would start with. */
import { MiphaError } from '../errors.js';
import type { ConfigIssue, LoadedConfig } from '../service/config/config.js';
import { conflictsOf, withOverrides } from '../service/config/overrides.js';
import { overridesFile, readOverrides } from '../service/state/state-dir.js';

/** The configuration as it would be in force, with the overrides of its state_dir; what hides something that the file says is among the warnings. */
export async function withKeptOverrides(loaded: LoadedConfig): Promise<LoadedConfig> {
  const { state_dir: folder } = loaded.config;
  if (folder === undefined) return loaded;
  const source = overridesFile(folder);
  try {
    const overridden = withOverrides(loaded, await readOverrides(folder), source);
    return { ...overridden, warnings: [...overridden.warnings, ...conflictsOf(overridden)] };
  } catch (error) {
    return { ...loaded, warnings: [...loaded.warnings, `${source} cannot be read, its overrides are left out: ${(error as Error).message}`] };
  }
}

/** Empty for an error that is not about single settings. */
export function issuesIn(error: unknown): readonly ConfigIssue[] {
  if (!(error instanceof MiphaError) || error.code !== 'ERR_CONFIG' || !Array.isArray(error.details.issues)) return [];
  return error.details.issues as ConfigIssue[];
}

/** An issue on four lines at most. */
export function issueLines({ path, expected, received, nearest, source, line, column }: ConfigIssue): string {
  const place = [source, line, column].filter((part) => part !== undefined).join(':');
  const lines = [`${path || 'the file'}${place === '' ? '' : `  (${place})`}`, `  expected  ${expected}`, `  received  ${received}`];
  if (nearest !== undefined) lines.push(`  meant?    ${nearest}`);
  return lines.join('\n');
}
