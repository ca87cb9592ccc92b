// Where nvcc is on this machine, and how the kernels are compiled.
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Orin, Hopper, Thor: machine code of these is shipped. */
export const TARGETS = [87, 90, 110];
/** nvcc's version that has first made code for a target. */
const SINCE = { 110: [13, 0] };
/** How kernels are shipped, but for the target; `native` is an include folder. */
export const KERNEL_FLAGS = ['-std=c++17', '-O3'];

/** { path, version: '13.0.88' } of the nvcc in CUDA_HOME, /usr/local/cuda/bin (a Jetson's, not on its PATH) or on the PATH; null without. */
export function findNvcc(environment = process.env) {
  const folders = [environment.CUDA_HOME && join(environment.CUDA_HOME, 'bin'), '/usr/local/cuda/bin', ...(environment.PATH ?? '').split(':')];
  const path = folders
    .filter(Boolean)
    .map((folder) => join(folder, 'nvcc'))
    .find((file) => existsSync(file));
  if (path === undefined) return null;
  const { stdout, error } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  if (error) throw error;
  const version = /\bV(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (version === undefined) throw new Error(`${path} --version: expected a line with V13.0.88 or the like, received\n${stdout}`);
  return { path, version };
}

/** Whether this version of nvcc makes code for a target. */
export function makes(version, target) {
  const [major, minor] = version.split('.').map(Number);
  const [sinceMajor, sinceMinor] = SINCE[target] ?? [0, 0];
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
}

/** Compiles one source to a cubin of one target; rejects with what nvcc says. */
export function compileCubin(nvcc, source, target, include, cubin) {
  const flags = [...KERNEL_FLAGS, '-I', include, '-gencode', `arch=compute_${target},code=sm_${target}`, '-cubin', '-o', cubin, source];
  return new Promise((resolve, reject) => {
    execFile(nvcc.path, flags, { encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${source} does not compile for sm_${target}\n${stdout}${stderr}`));
      else resolve();
    });
  });
}
