/** Finds and loads the native binary, once per process. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiphaError } from '../errors.js';
import type { Addon } from './addon.js';
import { ADDON_FILE, CUDA_FILE, findPrebuilt, type Prebuilt } from './prebuilt.js';

/** Where the native binary came from. */
export interface Loaded {
  addon: Addon;
  path: string;
  prebuilt: string | null; // name of the platform package; null: compiled here
  passedOver: { path: string; reason: string }[]; // what could not be loaded before it, and a platform package that does not fit
}

const ABSENT = 'no such file';
let loaded: Loaded | undefined;
let prebuilt: Prebuilt | null | undefined;

/**
 * The native binary: what was compiled in build/Release (or build/Debug) of this package, else that of the platform package. Throws ERR_ADDON_LOAD with every
 * attempt and what to run. `root` is another package root, for tests.
 */
export function loadAddon(root?: string): Addon {
  return loadedAddon(root).addon;
}

/** The same, with where it came from. */
export function loadedAddon(root?: string): Loaded {
  if (root !== undefined) return load(root, findPrebuilt(root));
  loaded ??= load(packageRoot(), prebuiltHere());
  return loaded;
}

/** Path of the library behind the tensorrt backend: MIPHA_TENSORRT, or what setup compiles where it finds TensorRT's headers. It need not be there. */
export function tensorRtLibrary(): string {
  return process.env.MIPHA_TENSORRT || join(packageRoot(), 'build', 'Release', 'mipha_tensorrt.so');
}

/**
 * Path of the library behind the cuda backend: MIPHA_CUDA, what setup and `npm run build:cuda` compile, or the platform package's. It need not be
 * there.
 */
export function cudaLibrary(): string {
  if (process.env.MIPHA_CUDA) return process.env.MIPHA_CUDA;
  const compiled = join(packageRoot(), 'build', 'Release', CUDA_FILE);
  return existsSync(compiled) ? compiled : (prebuiltHere()?.cuda?.path ?? compiled);
}

/** The folder of this project's package.json: two levels above, from src/addon as well as from dist/addon. */
export function packageRoot(): string {
  return dirname(dirname(dirname(fileURLToPath(import.meta.url))));
}

/** Looked for once in a process: its files are compared byte by byte. */
function prebuiltHere(): Prebuilt | null {
  if (prebuilt === undefined) prebuilt = findPrebuilt(packageRoot());
  return prebuilt;
}

function load(root: string, platformPackage: Prebuilt | null): Loaded {
  const require = createRequire(import.meta.url);
  const attempts: { path: string; reason: string }[] = [];
  const compiled = ['Release', 'Debug'].map((flavour) => ({ path: join(root, 'build', flavour, ADDON_FILE), prebuilt: null }));
  const fits = platformPackage?.reason === null ? [{ path: platformPackage.addon, prebuilt: platformPackage.name }] : [];
  if (platformPackage !== null && platformPackage.reason !== null) attempts.push({ path: platformPackage.name, reason: platformPackage.reason });
  for (const { path, prebuilt } of [...compiled, ...fits]) {
    try {
      if (existsSync(path)) return { addon: require(path) as Addon, path, prebuilt, passedOver: attempts.filter(({ reason }) => reason !== ABSENT) };
      attempts.push({ path, reason: ABSENT });
    } catch (error) {
      attempts.push({ path, reason: (error as Error).message });
    }
  }
  const remedies = [
    `compile it: npm rebuild mipha-edge (in a clone: npm run setup); needs Python 3, make and g++ 9 or newer`,
    `this process: Node ${process.version}, ${process.platform}-${process.arch}; there are packages for linux-x64 and linux-arm64 with glibc`,
  ];
  const tried = attempts.map(({ path, reason }) => `  ${path}: ${reason}`).join('\n');
  throw new MiphaError(
    'ERR_ADDON_LOAD',
    `The native binary ${ADDON_FILE} cannot be loaded. Tried:\n${tried}\nWhat to do:\n  ${remedies.join('\n  ')}`,
    {
      details: { attempts, remedies },
    },
  );
}
