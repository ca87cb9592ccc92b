/**
 * The CUDA backend's library with the machine without a GPU (native/test/machine) behind it, and gpu_answers: compiled by CMake, which does again
 * only what has changed. For PTX of one target; `npm run test:native` runs all.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { alone } from './alone.js';
import { pathOf } from './program-list.js';

const { findCompiler, LEAST_VERSION } = (await import(pathToFileURL(resolve('scripts/cuda-toolkit.mjs')).href)) as {
  findCompiler(): { nvcc: { path: string; isOld: boolean } | null };
  LEAST_VERSION: string;
};

export const FOLDER = resolve('build/machine');
export const GPU_ANSWERS = join(FOLDER, 'gpu_answers');
/** What the suites find in their environment. Fewer multiprocessors are fewer blocks that each prepare the same rows. */
export const MACHINE_ENV = { MIPHA_CUDA: join(FOLDER, 'mipha_cuda.so'), MIPHA_MACHINE_TARGET: '87', MIPHA_MACHINE_PROCESSORS: '2' };

/** What is missing to compile it and how to get it; empty: nothing. */
export const MACHINE_LACKS = lacks();

function lacks(): string {
  const { nvcc } = findCompiler();
  if (nvcc === null || nvcc.isOld) return `nvcc ${LEAST_VERSION} or later: the CUDA toolkit; CUDA_HOME names its folder`;
  const missing = [...(pathOf('cmake') === undefined ? ['CMake'] : []), ...(hasGoogleTest() ? [] : ['GoogleTest'])];
  return missing.length > 0 ? `${missing.join(' and ')}: apt-get install -y cmake libgtest-dev` : '';
}

/** Debian's sources, or headers where the compiler finds them: what native/CMakeLists.txt takes. */
function hasGoogleTest(): boolean {
  if (existsSync('/usr/src/googletest/googletest/CMakeLists.txt')) return true;
  return spawnSync(process.env.CXX ?? 'g++', ['-E', '-x', 'c++', '-include', 'gtest/gtest.h', '/dev/null']).status === 0;
}

/** vitest's globalSetup. */
export default async function prepare(): Promise<void> {
  if (MACHINE_LACKS !== '') {
    console.warn(`\nNOT TESTED HERE is the CUDA backend on the machine without a GPU. It needs ${MACHINE_LACKS}\n`);
    return;
  }
  await alone(FOLDER, () => {
    cmake('-S', 'native', '-B', FOLDER, '-DCMAKE_BUILD_TYPE=Release', `-DMIPHA_CUDA_TARGETS=${MACHINE_ENV.MIPHA_MACHINE_TARGET}`);
    cmake('--build', FOLDER, '--target', 'mipha_cuda', 'gpu_answers', '-j', '2');
  });
}

function cmake(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync(pathOf('cmake') as string, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cmake ${args.join(' ')}\n${`${stdout}\n${stderr}`.split('\n').slice(-40).join('\n')}`);
}
