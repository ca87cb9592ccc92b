/** Whether the file of a password or key can be used. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { MiphaError } from '../errors.js';

const MOST_BYTES = 65_536;
const OTHERS_READ = 0o004;

export interface Secret {
  /** Without one newline at the end. */
  text: string;
  /** What the owner of the machine should put right. */
  warning: string | null;
}

/** `option` names the setting in errors. Throws ERR_CONFIG, which tells path and reason and never content. */
export async function readSecret(path: string, option: string): Promise<Secret> {
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
    const buffer = Buffer.alloc(MOST_BYTES + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > MOST_BYTES) throw wrong(`at most ${MOST_BYTES} bytes`, `${path}, which has more`);
    const text = buffer.toString('utf8', 0, bytesRead).replace(/\r?\n$/, '');
    buffer.fill(0);
    const exposed = (status.mode & OTHERS_READ) !== 0;
    return { text, warning: exposed ? `${path} can be read by every user of this machine (chmod o-r)` : null };
  } finally {
    await file.close();
  }
}
