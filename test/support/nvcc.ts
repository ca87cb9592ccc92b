import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../architecture/sources.js';

interface Nvcc {
  path: string;
  version: string;
  release: string; // 13.0.88
  isOld: boolean;
}
const { findCompiler } = (await import(pathToFileURL(join(ROOT, 'scripts/cuda-toolkit.mjs')).href)) as { findCompiler(): { nvcc: Nvcc | null } };

/** The one that the scripts take; null without. */
export const { nvcc: NVCC } = findCompiler();
