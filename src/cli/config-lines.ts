/** What a command about configurations prints: issues as lines. */
import { MiphaError } from '../errors.js';
import type { ConfigIssue } from '../service/config/config.js';

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
