/** File systems of their own, of memory, for tests of full and read-only disks. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `mount('remount,ro,')` makes it read-only. */
export async function mounted(bytes: number, body: (path: string, mount: (options: string) => void) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'mipha-disk-'));
  const mount = (options: string) => {
    const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `${options}size=${bytes}`, 'tmpfs', path], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  };
  mount('');
  try {
    await body(path, mount);
  } finally {
    spawnSync('umount', ['-l', path]);
    await rm(path, { recursive: true, force: true });
  }
}

/** False where only root may mount one: then it is said that `what` is not tested. In CI the tests themselves say that they cannot. */
export function canMount(what: string): boolean {
  if (process.env.CI) return true;
  const path = join(tmpdir(), `mipha-probe-${process.pid}`);
  spawnSync('mkdir', ['-p', path]);
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path], { encoding: 'utf8' });
  if (status === 0) spawnSync('umount', [path]);
  spawnSync('rmdir', [path]);
  if (status !== 0) console.warn(`\nNOT TESTED HERE is ${what}: it takes root to mount a file system (${error?.message ?? stderr.trim()})\n`);
  return status === 0;
}
