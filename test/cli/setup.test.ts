import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { node, ROOT } from './run.js';

let clone = '';
beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'mipha-setup-'));
  for (const path of ['scripts/setup.mjs', 'package.json', 'package-lock.json']) await cp(join(ROOT, path), join(clone, path));
  await mkdir(join(clone, 'native'));
  await writeFile(join(clone, 'binding.gyp'), '{}');
});
afterEach(() => rm(clone, { recursive: true }));

describe('setup', () => {
  it('does nothing and says nothing when all is there', async () => {
    expect(await node([join(ROOT, 'scripts', 'setup.mjs')])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('names the missing tools and the command that installs them', async () => {
    const { code, stderr } = await node([join(clone, 'scripts', 'setup.mjs'), 'addon'], { env: { PATH: clone, CXX: '', MAKE: '', PYTHON: '' } });
    expect(code).toBe(1);
    expect(stderr).toContain('python3, make, g++');
    expect(stderr).toContain('sudo apt-get install -y python3 make g++');
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('shows the end of the output of a step that failed', async () => {
    // Packages are missing and npm is a script that fails.
    const npm = join(clone, 'npm.js');
    await writeFile(npm, 'console.error("no network today"); process.exit(7);');
    const { code, stderr } = await node([join(clone, 'scripts', 'setup.mjs')], { env: { npm_execpath: npm } });
    expect(code).toBe(1);
    expect(stderr).toContain('installing packages');
    expect(stderr).toContain('no network today');
  });
});
