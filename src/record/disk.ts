/** What a record needs of the file system: the calls of node:fs/promises; tests put a full, slow or broken disk in their place. */
import * as fs from 'node:fs/promises';

export type Disk = Pick<typeof fs, 'open' | 'mkdir' | 'readdir' | 'readFile' | 'rename' | 'rm' | 'stat' | 'statfs' | 'writeFile'>;
export type DiskFile = Awaited<ReturnType<Disk['open']>>;

export const systemDisk: Disk = fs;

export const BLOCK_BYTES = 4096; // what the smallest file takes on the usual file systems
const ENTRY_BYTES = 64; // of a picture's name in its folder

/** What a file of so many bytes takes. */
export function blocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** What a folder with so many entries takes. */
export function folderBlocks(entries: number): number {
  return BLOCK_BYTES + blocks(entries * ENTRY_BYTES);
}

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

/** `fallback` where there is no such file or folder. */
export async function ifThere<T>(work: Promise<T>, fallback: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return fallback;
    throw error;
  }
}

/** A file or a folder: what was written, or which names there are, stays so. */
export async function syncPath(disk: Disk, path: string): Promise<void> {
  const file = await disk.open(path, 'r');
  await file.sync().finally(() => file.close());
}
