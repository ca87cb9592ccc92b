/** Making a folder with its parents, where mkdir's own `recursive` would never return: where a parent can be neither found nor made, as below /proc. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A new folder; what is there already is EEXIST. `mode` is for every folder made. Throws the error of the system. */
export async function makeNewFolder(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await makeFolder(dirname(path), mode);
    await mkdir(path, { mode });
  }
}

/** As `makeNewFolder`, and content with a folder that is there. */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  try {
    await makeNewFolder(path, mode);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && (await stat(path)).isDirectory();
    if (!isThere) throw error;
  }
}
