/** Whether the files that a configuration names are there. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openSource } from '../../camera/source.js';
import { decodePath, splitUri } from '../../camera/uri.js';
import type { MiphaErrorOf } from '../../errors.js';
import { type Role, readTokens } from '../../http/tokens.js';
import { checkSecretFile } from '../secrets.js';
import { recordFolderOf } from './record-folder.js';
import type { Config } from './schema.js';
import { shown } from './secrets.js';
import type { Path } from './shape.js';

const ANY_SIDE_PX = 384;
/** Who may come in with the tokens of which file. */
export const TOKEN_FILES = [
  { key: 'viewer_token_file', role: 'viewer' },
  { key: 'operator_token_file', role: 'operator' },
] as const;

export interface MissingFile {
  path: Path;
  expected: string;
  received: string;
}

/**
 * `missing` stops a node from starting. What cameras show, and where watches are recorded, may come and go (a stick, a network folder), so there it is
 * a warning: it is tried again for ever.
 */
export async function fileIssues(config: Config): Promise<{ missing: MissingFile[]; warnings: string[] }> {
  const missing: MissingFile[] = [];
  const warnings: string[] = [];
  const require = async (path: Path, file: string | undefined, expected: string, test: (file: string) => Promise<string | null>) => {
    const problem = file === undefined ? null : await test(file);
    if (problem !== null) missing.push({ path, expected, received: `${file} (${problem})` });
  };
  const secret = async (path: Path, file: string | undefined) =>
    await require(path, file, 'a readable file', async (file) => {
      const problem = await readableFile(file);
      const warning = problem === null ? await checkSecretFile(file, path.join('.')) : null;
      if (warning !== null) warnings.push(warning);
      return problem;
    });
  const { mqtt, http, model, state_dir: stateDir } = config;
  for (const key of ['ca_file', 'cert_file'] as const) await require(['mqtt', key], mqtt[key], 'a readable file', readableFile);
  for (const key of ['key_file', 'password_file'] as const) await secret(['mqtt', key], mqtt[key]);
  for (const { key, role } of TOKEN_FILES) {
    const [path, file] = [['http', key], http[key]];
    await secret(path, file);
    if (file !== undefined && (await readableFile(file)) === null) missing.push(...(await unfitTokens(path, file, role)));
  }
  await require(['model', 'folder'], model.folder, 'a package folder with manifest.json', (folder) => readableFile(join(folder, 'manifest.json')));
  await require(['model', 'updates', 'ca_file'], model.updates.ca_file, 'a readable file', readableFile);
  await require(['state_dir'], stateDir, 'a folder that can be written, or one that can be made', writableFolder);
  const recorded = Object.values(config.watches).some(({ record }) => record) ? recordFolderOf(config) : undefined;
  const unfit = recorded === undefined ? null : await writableFolder(recorded);
  if (unfit !== null) warnings.push(`recorder: ${recorded} cannot be written (${unfit}); nothing is recorded until it can, all else goes on`);
  for (const [id, { uri, enabled }] of Object.entries(config.cameras)) {
    const path = decodePath(splitUri(uri).rest);
    const file = /^(file|v4l2|images):/.test(uri) && !/[*[{]/.test(path) ? path : undefined; // patterns are left to the camera
    if (enabled && file !== undefined && (await reason(access(file, constants.R_OK))) !== null) {
      warnings.push(`cameras.${id}.uri: ${shown(file, [])} is not there now, or cannot be read; the camera is tried again until it can`);
    }
    const { afterEnd } = openSource(uri, { sidePx: ANY_SIDE_PX });
    if (enabled && afterEnd !== undefined && !splitUri(uri).options.has('loop'))
      warnings.push(`cameras.${id}.uri: ends after one pass and stays offline then; ${afterEnd}`);
  }
  return { missing, warnings };
}

async function unfitTokens(path: Path, file: string, role: Role): Promise<MissingFile[]> {
  try {
    await readTokens(file, role, path.join('.'));
    return [];
  } catch (error) {
    const { issues = [] } = (error as MiphaErrorOf<'ERR_CONFIG'>).details;
    return issues.map(({ expected, received }) => ({ path, expected, received }));
  }
}

async function readableFile(file: string): Promise<string | null> {
  const problem = await reason(access(file, constants.R_OK));
  if (problem !== null) return problem;
  return (await stat(file)).isFile() ? null : 'no file';
}

async function writableFolder(folder: string): Promise<string | null> {
  const status = await stat(folder).catch(() => null);
  if (status === null) return null; // is made at the start
  return status.isDirectory() ? await reason(access(folder, constants.W_OK | constants.X_OK)) : 'no folder';
}

async function reason(work: Promise<unknown>): Promise<string | null> {
  return work.then(
    () => null,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
}
