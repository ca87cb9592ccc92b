// How native code is linked that travels: with the C++ library inside, and against the oldest versions of what it takes from glibc.
import { fileURLToPath } from 'node:url';

/** Paths from the root of the project. */
export const OLD_GLIBC = 'scripts/pack/old_glibc.c';
export const EXPORTS = fileURLToPath(new URL('exports.map', import.meta.url)); // of the addon: what Node looks for, and nothing else
/** Of old_glibc.c, in C; a builtin of the compiler is none of its functions. */
export const OLD_GLIBC_FLAGS = ['-x', 'c', '-O2', '-fPIC', '-fno-builtin', '-Wall', '-Wextra', '-Werror'];
/** Before glibc 2.34 functions of threads, libraries and shared memory were in these, which are empty today. */
const ONCE_APART = ['-Wl,--push-state,--no-as-needed', '-l:libdl.so.2', '-l:libpthread.so.0', '-l:librt.so.1', '-Wl,--pop-state'];

/** `object`: of old_glibc.c. */
export function linkFlags(object) {
  return [object, '-static-libstdc++', ...ONCE_APART];
}
