/** Writing a folder so that it either appears whole under its name or not at all. */
import { randomBytes } from 'node:crypto';
import { lstat, open, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { MiphaError, optionError } from '../errors.js';
import { makeNewFolder } from '../make-folder.js';
import { MANIFEST_FILE, type Manifest, manifestText, parseManifest } from './manifest.js';

/** Runs `write` in a new folder beside `out` and renames it to `out`; on any failure the folder is removed. */
export async function atomically<T>(out: string, write: (partial: string) => Promise<T>): Promise<T> {
  const target = resolve(out);
  await refuseExisting(target);
  const partial = `${target}.partial-${randomBytes(6).toString('hex')}`;
  await makeNewFolder(partial).catch((error: unknown) => {
    throw optionError('out', `a folder that can be made (${(error as NodeJS.ErrnoException).code})`, out);
  });
  try {
    const result = await write(partial);
    await refuseExisting(target);
    await rename(partial, target);
    return result;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw asWriteError(out, error);
  }
}

/** A full disk and the like, seen while writing; everything else is an error of its own already. */
function asWriteError(out: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall === undefined || error instanceof MiphaError
    ? error
    : new MiphaError('ERR_OPTION', `Option out: ${out} cannot be written (${code})`, {
        details: { option: 'out', expected: 'a folder that can be written', received: code },
        cause: error,
      });
}

export async function refuseExisting(out: string): Promise<void> {
  const present = await lstat(out).then(
    () => true,
    () => false,
  );
  if (present) throw optionError('out', 'a folder that does not exist yet', out);
}

/** Checked on the way out too: what is written can be opened. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const text = manifestText(manifest);
  parseManifest(join(folder, MANIFEST_FILE), text);
  await writeDurably(join(folder, MANIFEST_FILE), new TextEncoder().encode(text));
}

export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.writeFile(bytes);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
