/** Whether the file of a password, key or token can be used. Who needs its content reads it, see src/mqtt/client.ts and src/http/tokens.ts. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { MiphaError } from '../errors.js';

const MOST_BYTES = 65_536;
const OTHERS_READ = 0o004;

/**
 * Returns what the owner of the machine should put right, or null. `option` names the setting in errors. Throws ERR_CONFIG, which tells path and
 * reason and never content.
 */
export async function checkSecretFile(path: string, option: string): Promise<string | null> {
  const wrong = (expected: string, received: string, cause?: unknown) =>
    new MiphaError('ERR_CONFIG', `${option}: expected ${expected}, received ${received}`, {
      details: { issues: [{ path: option, expected, received, origin: 'file' }] },
      cause,
    });
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe without a writer must not hang
  } catch (cause) {
    throw wrong('a readable file', `${path} (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw wrong('a file', `${path}, which is none`);
    if (status.size > MOST_BYTES) throw wrong(`at most ${MOST_BYTES} bytes`, `${path}, which has ${status.size}`);
    return (status.mode & OTHERS_READ) === 0 ? null : `${path} can be read by every user of this machine (chmod o-r)`;
  } finally {
    await file.close();
  }
}
