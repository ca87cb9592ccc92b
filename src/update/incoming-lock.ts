/** One process at a time brings or removes packages; which of them serves may be changed meanwhile. */
import { join } from 'node:path';
import { MiphaError } from '../errors.js';
import { lock } from '../lock.js';
import { makeFolder } from '../make-folder.js';
import { giveToOwner } from '../state-files.js';

/** Throws ERR_BUSY while another one has it. */
export async function lockIncoming(models: string): Promise<{ release: () => Promise<void> }> {
  const folder = join(models, '.lock');
  await makeFolder(folder, 0o700);
  await giveToOwner(folder);
  try {
    return await lock(folder, 'is installing or removing a model');
  } catch (error) {
    if (!(error instanceof MiphaError) || error.code !== 'ERR_BUSY') throw error;
    throw new MiphaError('ERR_BUSY', `${models}: process ${error.details.pid} is installing or removing a model`, {
      details: error.details,
      cause: error,
    });
  }
}
