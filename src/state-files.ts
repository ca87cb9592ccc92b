/** Small files that are whole at every moment, whatever happens to the process or the machine. */
import { lchown, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileText } from './utf8.js';

const MOST_BYTES = 4_000_000;

/** The file holds the old text or the new one: written beside, flushed, renamed, and the folder flushed too. It belongs to the folder's owner. */
export async function replaceFile(folder: string, name: string, text: string, mode = 0o600): Promise<void> {
  const temporary = join(folder, `.${name}.new`);
  try {
    const file = await open(temporary, 'w', mode);
    try {
      await file.writeFile(text);
      if (process.getuid?.() === 0) {
        const { uid, gid } = await stat(folder); // a command of root's must not lock the service out
        if (uid !== 0) await file.chown(uid, gid);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(folder, name));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(folder);
}

/** All of a folder belongs to whom the folder around it belongs to: a command of root's must not lock the service out. */
export async function giveToOwner(folder: string): Promise<void> {
  const { uid, gid } = await stat(dirname(folder));
  if (process.getuid?.() !== 0 || uid === 0) return;
  for (const name of await readdir(folder, { recursive: true })) await lchown(join(folder, name), uid, gid);
  await lchown(folder, uid, gid);
}

/** What was renamed or removed in it stays so. */
export async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, 'r');
  await directory.sync().finally(() => directory.close());
}

/** Null when there is no such file. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`);
    return fileText(bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message.split('\n')[0] ?? 'unknown reason';
}
