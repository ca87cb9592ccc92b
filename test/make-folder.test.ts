import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeFolder, makeNewFolder } from '../src/make-folder.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-folders-'));
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(folder, { recursive: true });
});

it('makes parents, with the mode that was asked for', async () => {
  await makeFolder(join(folder, 'a', 'b', 'c'), 0o700);
  expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700);
  await makeFolder(join(folder, 'a', 'b', 'c'));
  await expect(makeNewFolder(join(folder, 'a', 'b', 'c'))).rejects.toMatchObject({ code: 'EEXIST' });
  await makeNewFolder(join(folder, 'a', 'x', 'y'));
  expect(existsSync(join(folder, 'a', 'x', 'y'))).toBe(true);
});

it('takes no file for a folder', async () => {
  writeFileSync(join(folder, 'file'), '');
  await expect(makeFolder(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolder(join(folder, 'file', 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

it('gives up where nothing can be made', { timeout: 5000 }, async () => {
  await expect(makeFolder('/proc/mipha')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(makeFolder('/proc/mipha/a/b')).rejects.toMatchObject({ code: 'ENOENT' });
});
