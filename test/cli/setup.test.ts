import { appendFile, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../../src/addon/load.js';
import { node, ROOT } from './run.js';

let clone = '';
beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'mipha-setup-'));
  const scripts = ['setup', 'arguments', 'tensorrt-shim', 'cuda-library', 'cuda-toolkit', 'cuda/nvcc', 'pack/portable'].map(
    (name) => `scripts/${name}.mjs`,
  );
  for (const path of [...scripts, 'package.json', 'package-lock.json']) await cp(join(ROOT, path), join(clone, path));
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

describe('setup of the TensorRT shim', () => {
  const stub = join(ROOT, 'native', 'test', 'tensorrt_stub');
  const setup = (env: NodeJS.ProcessEnv = { MIPHA_TENSORRT_INCLUDE: join(clone, 'include') }) =>
    node([join(clone, 'scripts', 'setup.mjs'), 'shim'], { env: { MIPHA_CUDA_INCLUDE: '', CXX: join(clone, 'hasty'), ...env } });
  const shim = () => join(clone, 'build', 'Release', 'mipha_tensorrt.so');
  const version = () => join(clone, 'include', 'NvInferVersion.h');

  beforeEach(async () => {
    await cp(join(ROOT, 'native', 'backend', 'tensorrt'), join(clone, 'native', 'backend', 'tensorrt'), { recursive: true });
    await cp(stub, join(clone, 'include'), { recursive: true });
    // The compiler without its optimizer, which takes most of the time.
    await writeFile(join(clone, 'hasty'), '#!/bin/sh\nexec g++ "$@" -O0 -Wfatal-errors\n', { mode: 0o755 });
    // A number, as in NVIDIA's, and one that no library here has: the stub's declarations are not for real ones.
    const header = await readFile(version(), 'utf8');
    await writeFile(version(), header.replace('STUB_TENSORRT_MAJOR 10', 'STUB_TENSORRT_MAJOR 99').replace('MAJOR STUB_TENSORRT_MAJOR', 'MAJOR 99'));
  });

  it('does nothing and says nothing without headers, or with only some of them', async () => {
    await rm(join(clone, 'include', 'NvOnnxParser.h'));
    for (const env of [{ MIPHA_TENSORRT_INCLUDE: '' }, undefined]) {
      expect(await setup(env)).toEqual({ code: 0, stdout: '', stderr: '' });
      await expect(stat(shim())).rejects.toThrow('ENOENT');
    }
  });

  it('compiles what the addon can open, which then says what is missing', async () => {
    expect((await setup()).stderr).toMatch(/^mipha-edge: compiling the TensorRT shim for 99\.3\.0\.26 \(seconds\) \.\.\. [\d.]+ s\n$/);
    const facts = loadAddon().tensorrtFacts(shim());
    await expect(facts).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE', message: expect.stringContaining('libcudart.so.101') });
  });

  it('compiles once, and again when the sources or the headers change', async () => {
    const CXX = join(clone, 'compiler'); // quick: only writes its output
    await writeFile(CXX, '#!/bin/sh\nfor word; do [ "$last" = -o ] && echo compiled > "$word"; last=$word; done\n', { mode: 0o755 });
    const quick = () => setup({ MIPHA_TENSORRT_INCLUDE: join(clone, 'include'), CXX });
    expect((await quick()).stderr).toContain('compiling');
    const first = await stat(shim());
    expect(await quick()).toEqual({ code: 0, stdout: '', stderr: '' });
    await appendFile(join(clone, 'native', 'backend', 'tensorrt', 'shim.cc'), '// changed\n');
    expect((await quick()).stderr).toContain('compiling');
    expect((await stat(shim())).ino).not.toBe(first.ino); // not written into: a process may have it open
    await writeFile(version(), (await readFile(version(), 'utf8')).replace('MINOR 3', 'MINOR 13'));
    expect((await quick()).stderr).toContain('for 99.13.0.26');
    await rm(shim());
    expect((await quick()).stderr).toContain('compiling');
  });

  it('warns in the words of the compiler and goes on when it does not compile', async () => {
    await appendFile(join(clone, 'include', 'NvInfer.h'), '#error these headers want another compiler\n');
    const { code, stderr } = await setup();
    expect(code).toBe(0);
    expect(stderr).toContain('TensorRT cannot be used, everything else can');
    expect(stderr).toContain('error: #error these headers want another compiler');
    expect(await readFile(join(clone, 'build', 'tensorrt-error.txt'), 'utf8')).toContain('error:');
  });

  it('check:tensorrt names missing headers, and fails when the compiler does', async () => {
    await cp(join(ROOT, 'scripts', 'check-tensorrt.mjs'), join(clone, 'scripts', 'check-tensorrt.mjs'));
    const check = (CXX: string) =>
      node([join(clone, 'scripts', 'check-tensorrt.mjs')], { env: { MIPHA_TENSORRT_INCLUDE: join(clone, 'include'), MIPHA_CUDA_INCLUDE: '', CXX } });
    expect(await check('true')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^TensorRT 99\.3\.0\.26, .*: the shim compiles\n$/) });
    expect(await check('false')).toMatchObject({ code: 1, stdout: expect.stringContaining('the shim does not compile') });
    await rm(join(clone, 'include', 'NvOnnxParser.h'));
    expect(await check('true')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^NvOnnxParser\.h not found\./) });
  });
});
