/** Opens a package and checks all of it: schema, file list, sizes, sha256. Runs at every load; nothing unchecked serves. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { MiphaError } from '../errors.js';
import { readText } from './checkpoint.js';
import { fileError, formatError } from './format.js';
import { hashFile } from './hash.js';
import { type FileRecord, MANIFEST_FILE, type Manifest, parseManifest, WEIGHTS_FILE } from './manifest.js';

export interface OpenOptions {
  signal?: AbortSignal | undefined;
  /** Fraction of all bytes checked, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
}

export interface OpenedPackage {
  folder: string;
  manifest: Manifest;
}

/** Of which everything is checked but the bytes of its weights. */
export interface OpeningPackage extends OpenedPackage {
  /** The rest, to be called once. Throws as openPackage does. */
  checkWeights(signal?: AbortSignal): Promise<void>;
}

/** Throws ERR_MODEL_MISSING, ERR_MODEL_FORMAT or ERR_MODEL_CHECKSUM naming the file; `signal.reason` when aborted. */
export async function openPackage(folder: string, options: OpenOptions = {}): Promise<OpenedPackage> {
  const { checkWeights, ...opened } = await openBeforeWeights(folder, options);
  await checkWeights(options.signal);
  return opened;
}

/** For who has something to do with the weights while they are checked. Throws as openPackage does. */
export async function openBeforeWeights(folder: string, { signal, onProgress }: OpenOptions = {}): Promise<OpeningPackage> {
  const manifest = await readManifest(folder);
  const { [WEIGHTS_FILE]: weights, ...others } = manifest.files as Manifest['files'] & { [WEIGHTS_FILE]: FileRecord };
  const files = Object.entries(manifest.files);
  for (const [name, { bytes }] of files) await checkSize(join(folder, name), bytes);
  const total = files.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  let checked = 0;
  const onBytes = (bytes: number) => {
    checked += bytes;
    onProgress?.(Math.min(1, checked / total));
  };
  const check = async (name: string, { sha256 }: FileRecord, signal?: AbortSignal) => {
    const path = join(folder, name);
    const received = (await hashFile(path, { signal, onBytes })).sha256;
    if (received !== sha256) throw checksumError(path, sha256, received);
  };
  for (const [name, record] of Object.entries(others)) await check(name, record, signal);
  return { folder, manifest, checkWeights: (signal) => check(WEIGHTS_FILE, weights, signal) };
}

/** The manifest alone, its files unchecked. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST_FILE);
  return parseManifest(path, await readText(path));
}

/** Cheap, and finds most accidents (a copy cut short, an LFS pointer) before gigabytes are hashed. Links are refused: they may lead outside. */
async function checkSize(path: string, expected: number): Promise<void> {
  const stat = await lstat(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  if (!stat.isFile()) throw formatError(path, 'a file', stat.isSymbolicLink() ? 'a link' : 'something else');
  if (stat.size !== expected) throw checksumError(path, `${expected} bytes`, `${stat.size} bytes`);
}

function checksumError(path: string, expected: string, received: string): MiphaError {
  return new MiphaError('ERR_MODEL_CHECKSUM', `${path}: expected ${expected}, received ${received}; the file is damaged or was changed`, {
    details: { path, expected, received },
  });
}
