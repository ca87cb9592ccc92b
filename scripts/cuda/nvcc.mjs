// How the kernels are compiled.
import { execFile } from 'node:child_process';

/** Orin, Hopper, Thor: machine code of these is shipped. */
export const TARGETS = [87, 90, 110];
/** nvcc's version that has first made code for a target. */
const SINCE = { 110: [13, 0] };
/** How kernels are shipped, but for the target; `native` is an include folder. */
export const KERNEL_FLAGS = ['-std=c++17', '-O3'];

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
