/** npm run build:cuda and setup's part of it, in a clone with small sources: with an nvcc that only writes its output, and with a real one where it is. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NVCC } from '../support/nvcc.js';
import { node, ROOT } from './run.js';

const KERNELS = 'native/backend/cuda/kernels';

let clone = '';
const inClone = (path: string) => join(clone, path);
const library = () => inClone('build/Release/mipha_cuda.so');
const errorFile = () => inClone('build/cuda-error.txt');

beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'mipha cuda ')); // with a space, as folders of users have
  const scripts = ['setup', 'arguments', 'tensorrt-shim', 'cuda-toolkit', 'cuda-library', 'cuda/nvcc', 'pack/portable'].map(
    (name) => `scripts/${name}.mjs`,
  );
  for (const path of [...scripts, 'package.json']) await cp(join(ROOT, path), inClone(path));
  const sources = {
    [`${KERNELS}/scale.cu`]:
      '#include "backend/cuda/kernels/scale.h"\n__global__ void twice(float* x) { x[threadIdx.x] *= kTwo; }\ncudaError_t scale(float* x) {\n  twice<<<1, 32>>>(x);\n  return cudaGetLastError();\n}\n',
    [`${KERNELS}/shift.cu`]: '__global__ void shift(int* x) { x[threadIdx.x] += 1; }\n',
    [`${KERNELS}/scale.h`]: '#pragma once\n#include <cuda_runtime_api.h>\nconstexpr float kTwo = 2;\ncudaError_t scale(float* x);\n',
    'native/backend/cuda/runtime/interface.cc':
      '#include "backend/cuda/kernels/scale.h"\n#include "core/words.h"\nextern "C" __attribute__((visibility("default"))) int mipha_cuda_interface() {\n  return scale(nullptr) + words();\n}\n',
    'native/core/words.h': 'int words();\n',
    'native/core/words.cc': '#include "core/words.h"\nint words() { return 1; }\n',
    'native/gyp/sources.gypi': '{"variables": {"cuda_runtime_sources": ["native/backend/cuda/runtime/interface.cc", "native/core/words.cc"]}}',
  };
  for (const [path, text] of Object.entries(sources)) {
    await mkdir(join(inClone(path), '..'), { recursive: true });
    await writeFile(inClone(path), text);
  }
});
afterEach(() => rm(clone, { recursive: true }));

const build = (args: string[], env: NodeJS.ProcessEnv = {}) => node([inClone('scripts/cuda-library.mjs'), '--jobs', '1', ...args], { env });

describe('npm run build:cuda with an nvcc that only writes', () => {
  /** An Orin's GPU as nvidia-smi tells it, so that a test on an Orin sees the same. */
  let env: NodeJS.ProcessEnv;
  const calls = async () => (await readFile(inClone('log'), 'utf8').catch(() => '')).split('\n').filter((line) => line.includes(' -c native/'));
  const compiled = async () => (await calls()).map((line) => /-c (\S+)/.exec(line)?.[1]);

  /** Lists headers of ours as compilers do. `extra` runs before it writes. */
  const compiler = (extra = '') => `#!/bin/sh
echo "$0 $*" >> "${clone}/log"
case "$*" in
  *--version*) echo "Cuda compilation tools, release 12.6, V12.6.68"; exit;;
  *--list-gpu-code*) printf 'sm_80\\nsm_87\\nsm_90\\n'; exit;;
  *--dryrun*) echo '#$ INCLUDES="-I/opt/cuda/targets/x/include"  ' >&2; echo '#$ LIBRARIES=  "-L/opt/cuda/lib/stubs" "-L/opt/cuda/lib"' >&2; exit;;
esac
for word; do
  case "$last" in -o) out=$word;; -MF) list=$word;; -c) source=$word;; esac
  last=$word
done
${extra}
[ -z "$list" ] || { printf '%s : %s \\\\\\n    /usr/include/features.h' "$out" "$source" > "$list"; sed -n 's/^#include "\\(.*\\)"$/ native\\/\\1/p' "$source" | tr -d '\\n' >> "$list"; }
echo made > "$out"
`;
  const tools = async (extra = '') => {
    await mkdir(inClone('home/bin'), { recursive: true });
    for (const name of ['home/bin/nvcc', 'g++']) await writeFile(inClone(name), compiler(extra), { mode: 0o755 });
    await writeFile(inClone('nvidia-smi'), '#!/bin/sh\necho "Orin, 8.7"\n', { mode: 0o755 });
    env = { PATH: `${clone}:${process.env.PATH}`, CUDA_HOME: inClone('home'), CXX: inClone('g++') };
  };
  beforeEach(() => tools());

  it('compiles every file for the GPU of this machine, says how far it is, and links them', async () => {
    const { code, stdout, stderr } = await build([], env);
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toBe('mipha-edge: compiling the CUDA backend for sm_87 with nvcc 12.6: 4 of 4 files, minutes in all');
    expect(lines[1]).toMatch(/^ {2}1 of 4 {2}native\/backend\/cuda\/kernels\/scale\.cu {2}[\d.]+ s(, about \d+ s left)?$/);
    expect(lines.at(-1)).toMatch(/^mipha-edge: build\/Release\/mipha_cuda\.so for sm_87: [\d.]+ s$/);
    expect(await compiled()).toEqual([
      `${KERNELS}/scale.cu`,
      `${KERNELS}/shift.cu`,
      'native/backend/cuda/runtime/interface.cc',
      'native/core/words.cc',
    ]);
    const [kernel, , runtime] = await calls();
    expect(kernel).toContain('home/bin/nvcc -std=c++17 -O3 -gencode=arch=compute_87,code=sm_87 -cudart static');
    expect(runtime).toContain('-DMIPHA_CUDA_BUILT="sm_87" -isystem /opt/cuda/targets/x/include -Inative');
    const link = (await readFile(inClone('log'), 'utf8')).split('\n').find((line) => line.includes('-shared')) ?? '';
    expect(link).toContain('-L/opt/cuda/lib -lcudart_static');
    expect(link).not.toContain('stubs');
    expect(await readFile(library(), 'utf8')).toBe('made\n');
  });

  it('compiles for what it is told, the shipped set by one word', async () => {
    await build(['--arch', '90,ptx'], env);
    const [kernel, , runtime] = await calls();
    expect(kernel).toContain('-gencode=arch=compute_90,code=sm_90 -gencode=arch=compute_80,code=compute_80 ');
    expect(runtime).toContain('-DMIPHA_CUDA_BUILT="sm_90 compute_80"');
    const { code, stderr } = await build(['--all'], env); // this nvcc knows no 110
    expect(code).toBe(1);
    expect(stderr).toContain('makes no code for compute capability 11.0: a newer CUDA toolkit does, or take PTX');
    expect(stderr).not.toMatch(/^\s+at /m);
    for (const arch of ['75', '8.7', 'sm_87', '', '87,']) {
      const refused = await build(['--arch', arch], env);
      expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^--arch: expected compute capabilities from 80 on/) });
    }
    expect((await build(['--all', '--arch', '87'], env)).code).toBe(2);
  });

  it('compiles again only what has changed', async () => {
    await build([], env);
    const first = await stat(library());
    const again = async () => {
      await rm(inClone('log'));
      const outcome = await build([], env);
      return { outcome, files: await compiled() };
    };
    expect(await again()).toEqual({ outcome: { code: 0, stdout: '', stderr: '' }, files: [] });
    await appendFile(inClone(`${KERNELS}/scale.h`), '// changed\n');
    expect((await again()).files).toEqual([`${KERNELS}/scale.cu`, 'native/backend/cuda/runtime/interface.cc']);
    expect((await stat(library())).ino).not.toBe(first.ino); // not written into: a process may have it open
    await rm(library());
    const { outcome, files } = await again();
    expect(files).toEqual([]);
    expect(outcome.stderr).toContain('0 of 4 files');
    expect(existsSync(library())).toBe(true);
    await rm(inClone(`${KERNELS}/shift.cu`));
    expect((await again()).files).toEqual([]);
    expect(await readFile(inClone('log'), 'utf8')).toMatch(/-shared(?!.*shift)/);
  });

  it('goes on after a failure where it was, and leaves the words for doctor', async () => {
    await tools('[ "$source" != native/core/words.cc ] || { echo "words.cc:1: error: no" >&2; exit 1; }');
    const failed = await build([], env);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(/this command failed: .*\nwords\.cc:1: error: no\n$/) });
    expect(existsSync(library())).toBe(false);
    expect(await readFile(errorFile(), 'utf8')).toContain('words.cc:1: error: no');
    await tools();
    await rm(inClone('log'));
    expect((await build([], env)).code).toBe(0);
    expect(await compiled()).toEqual(['native/core/words.cc']);
    expect(existsSync(errorFile())).toBe(false);
  });

  it('knows what helps when g++ is too new for nvcc, and shows warnings', async () => {
    await tools('echo "#error -- unsupported GNU version! gcc versions later than 13 are not supported!" >&2; exit 1');
    expect((await build([], env)).stderr).toContain('CXX=g++-13 npm run build:cuda');
    await tools('[ -z "$source" ] || echo "$source: warning: unused" >&2');
    expect((await build([], env)).stderr).toContain('shift.cu: warning: unused\n');
  });

  it('names sources that are not there', async () => {
    await rm(inClone(KERNELS), { recursive: true });
    expect((await build([], env)).stderr).toBe(`mipha-edge: ${KERNELS} has no file that ends in .cu: the sources are not whole\n`);
  });

  const setup = (changes: NodeJS.ProcessEnv = {}) => node([inClone('scripts/setup.mjs'), 'cuda'], { env: { ...env, ...changes } });

  it('is a part of setup where nvcc and a GPU are', async () => {
    expect((await setup()).stderr).toContain('compiling the CUDA backend for sm_87');
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' });
    await build(['--arch', '87,90'], env);
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' }); // more than is needed here stays
    await build(['--arch', '90'], env);
    expect((await setup()).stderr).toContain('for sm_87 with'); // of no use here
    await rm(inClone('nvidia-smi'));
    await rm(library());
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(existsSync(library())).toBe(false);
  });

  it('does not keep setup from going on when it fails', async () => {
    await tools('[ -z "$source" ] || { echo "fatal error: cuda_runtime_api.h: No such file" >&2; exit 1; }');
    const { code, stderr } = await setup();
    expect(code).toBe(0);
    expect(stderr).toContain('mipha-edge: CUDA cannot be used, everything else can: this command failed:');
    expect(await readFile(errorFile(), 'utf8')).toContain('fatal error: cuda_runtime_api.h');
  });
});

/** Not a matter of the system's packages: CI says elsewhere that nvcc is missing, and what is not tested for that. */
describe.skipIf(NVCC?.isOld !== false)('npm run build:cuda with a real nvcc', () => {
  it('makes a library that needs nothing of CUDA to be opened', async () => {
    const { code, stderr } = await build(['--arch', '87,ptx']);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(await readFile(inClone('build/Release/mipha_cuda.json'), 'utf8'))).toEqual({
      cuda: NVCC?.version,
      code: ['sm_87', 'compute_80'],
    });
    expect(stderr).not.toMatch(/warning/i);
    const tell = (command: string, ...args: string[]) => spawnSync(command, [...args, library()], { encoding: 'utf8' }).stdout;
    expect(tell('readelf', '--dynamic')).not.toMatch(/NEEDED.*(cuda|nv)/i);
    const exported = tell('nm', '--dynamic', '--defined-only').trim().split('\n');
    expect(exported.map((line) => line.split(' ').at(-1))).toEqual(['mipha_cuda_interface']);
    expect(tell('readelf', '--sections', '--wide')).toContain('.nv_fatbin');
    expect(await build(['--arch', '87,ptx'])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it.skipIf(Number(NVCC?.version) < 13)('makes for all GPUs what may be in a package', async () => {
    await cp(join(ROOT, 'scripts', 'pack'), inClone('scripts/pack'), { recursive: true });
    const { code, stderr } = await build(['--all']);
    expect(code, stderr).toBe(0);
    const { stagePlatform } = (await import(pathToFileURL(join(ROOT, 'scripts', 'pack.mjs')).href)) as {
      stagePlatform(folder: string, cpu: string, paths: string[]): { files: Record<string, object> };
    };
    const { files } = stagePlatform(inClone('stage'), process.arch, [library()]);
    expect(files['mipha_cuda.so']).toMatchObject({ cuda: NVCC?.version, code: ['sm_87', 'sm_90', 'sm_110', 'compute_80'] });
  });
});
