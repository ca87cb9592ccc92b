/** One process at a time in a folder. A lock whose process is gone, or is another one by now, is no lock. */
import { readFileSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiphaError } from './errors.js';

const LOCK_FILE = 'lock';

/** "PID START", where START is when the process began; undefined when there is none of that number. */
function processOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`; // field 22 of proc(5), after the name
  } catch {
    return undefined;
  }
}

/** The process that holds the lock of this folder; null: nobody does. */
export async function holderOf(folder: string): Promise<number | null> {
  const [number, since] = (await readFile(join(folder, LOCK_FILE), 'utf8').catch(() => '')).split(' ');
  return since !== undefined && processOf(Number(number)) === `${number} ${since}` ? Number(number) : null;
}

/**
 * `doing` is what whoever holds the lock does, in words. `name`: a part of this process that is known to be alone; its lock is left by one that ended
 * without a word. Throws ERR_BUSY while another one holds it.
 */
export async function lock(folder: string, doing: string, name?: string): Promise<{ release: () => Promise<void> }> {
  const path = join(folder, LOCK_FILE);
  const own = `${processOf(process.pid)}${name === undefined ? '' : ` ${name}`}`;
  for (;;) {
    try {
      await writeFile(path, own, { flag: 'wx' });
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readFile(path, 'utf8').catch(() => '');
    const [number, since] = holder.split(' ');
    const pid = Number(number);
    const isOwn = name !== undefined && holder === own;
    if (holder !== '' && !isOwn && processOf(pid) === `${number} ${since}`) {
      throw new MiphaError('ERR_BUSY', `${folder}: process ${pid} ${doing}`, { details: { path, pid } });
    }
    await rm(path, { force: true });
  }
}
