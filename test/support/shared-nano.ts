/**
 * One calibrated mipha-nano for all tests of a run, made by the first that asks. For reading: who changes it copies it first.
 * The folder is new with each run, so it can never be that of other code.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { calibrateNano } from './calibrated.js';

const FOLDER = 'MIPHA_TEST_SHARED';

/** Path of the package. Where processes ask at the same time, one makes it and the others wait. */
export async function sharedNano(): Promise<string> {
  const folder = process.env[FOLDER];
  if (folder === undefined) throw new Error(`${FOLDER} is not set: the project of this test has no shared-nano.ts among its globalSetup`);
  const nano = join(folder, 'nano');
  const maker = join(folder, 'maker');
  while (!existsSync(nano)) {
    if (!claimed(maker)) {
      await sleep(50);
      continue;
    }
    try {
      const { out } = await calibrateNano(mkdtempSync(join(folder, 'making-')));
      writeFileSync(join(folder, 'state'), stateOf(out));
      renameSync(out, nano);
    } finally {
      rmSync(maker, { force: true });
    }
  }
  return nano;
}

/** vitest's globalSetup: the folder of this run, and at its end the proof that no test has changed what all shared. */
export default function prepare(): () => void {
  process.env[FOLDER] ??= mkdtempSync(join(tmpdir(), 'mipha-shared-'));
  const folder = process.env[FOLDER];
  return () => {
    const nano = join(folder, 'nano');
    const changed = existsSync(nano) && stateOf(nano) !== readFileSync(join(folder, 'state'), 'utf8');
    rmSync(folder, { recursive: true, force: true });
    if (changed) throw new Error('a test has changed the shared nano');
  };
}

/** Whether this process may make it: nobody else does, or who did is dead. */
function claimed(maker: string): boolean {
  try {
    writeFileSync(maker, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    if (dead(maker)) rmSync(maker, { force: true });
    return false;
  }
}

function dead(maker: string): boolean {
  try {
    const pid = Number(readFileSync(maker, 'utf8'));
    return pid > 0 && !existsSync(`/proc/${pid}`);
  } catch {
    return false; // it has just finished
  }
}

/** Names, sizes and times of everything in it. */
function stateOf(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    })
    .join('\n');
}
