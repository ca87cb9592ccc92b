/** Finds and loads the native binary, once per process. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiphaError } from '../errors.js';
import type { Addon } from './addon.js';

const FILE = 'mipha_edge.node';
let loaded: Addon | undefined;

/**
 * The native binary, from build/Release (or build/Debug) of this package. Throws ERR_ADDON_LOAD with every attempt and what to run.
 * `root` is another package root, for tests.
 */
export function loadAddon(root?: string): Addon {
  if (root === undefined) {
    loaded ??= load(packageRoot());
    return loaded;
  }
  return load(root);
}

/** Path of the library behind the tensorrt backend: MIPHA_TENSORRT, or what setup compiles where it finds TensorRT's headers. It need not be there. */
export function tensorRtLibrary(): string {
  return process.env.MIPHA_TENSORRT || join(packageRoot(), 'build', 'Release', 'mipha_tensorrt.so');
}

/** Path of the library behind the cuda backend: MIPHA_CUDA, or what setup and `npm run build:cuda` compile. It need not be there. */
export function cudaLibrary(): string {
  return process.env.MIPHA_CUDA || join(packageRoot(), 'build', 'Release', 'mipha_cuda.so');
}

/** The folder of this project's package.json: two levels above, from src/addon as well as from dist/addon. */
export function packageRoot(): string {
  return dirname(dirname(dirname(fileURLToPath(import.meta.url))));
}

function load(root: string): Addon {
  const require = createRequire(import.meta.url);
  const attempts: { path: string; reason: string }[] = [];
  for (const flavour of ['Release', 'Debug']) {
    const path = join(root, 'build', flavour, FILE);
    if (!existsSync(path)) {
      attempts.push({ path, reason: 'no such file' });
      continue;
    }
    try {
      return require(path) as Addon;
    } catch (error) {
      attempts.push({ path, reason: (error as Error).message });
    }
  }
  const remedies = [
    `compile it: npm rebuild mipha-edge (in a clone: npm run setup); needs Python 3, make and g++ 9 or newer`,
    `this process: Node ${process.version}, ${process.platform}-${process.arch}; built for linux-x64 and linux-arm64`,
  ];
  const tried = attempts.map(({ path, reason }) => `  ${path}: ${reason}`).join('\n');
  throw new MiphaError('ERR_ADDON_LOAD', `The native binary ${FILE} cannot be loaded. Tried:\n${tried}\nWhat to do:\n  ${remedies.join('\n  ')}`, {
    details: { attempts, remedies },
  });
}
