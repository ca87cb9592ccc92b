/** Bringing a release to this machine: into a folder that nobody takes for a package, going on where an earlier attempt was cut, and renamed when it is whole. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MiphaError } from '../errors.js';
import { makeFolder } from '../make-folder.js';
import { giveToOwner, replaceFile, syncFolder } from '../state-files.js';
import { refused } from './refused.js';
import { MOST_RELEASE_BYTES, MOST_SIGNATURE_BYTES, openRelease, RELEASE_FILE, type Release, SIGNATURE_FILE } from './release.js';
import type { Source } from './source.js';

export const INCOMING = '.incoming-';
/** Of the disk, for everybody else. */
const MARGIN_BYTES = 64 * 1024 * 1024;
/** Attempts in a row that brought not one byte. */
const MOST_ATTEMPTS = 5;
const PAUSE_MS = 1000;

export interface BringOptions {
  signal: AbortSignal;
  /** Share of all bytes that are here, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
  /** Before the second attempt; doubled before each further one. Default 1000. */
  pauseMs?: number | undefined;
}

/** release.json with its signature. Throws ERR_UPDATE, also when `sha256` is not that of release.json. */
export async function releaseAt(source: Source, keys: readonly string[], sha256: string | undefined, signal: AbortSignal): Promise<Release> {
  const text = await source.small(RELEASE_FILE, MOST_RELEASE_BYTES, signal);
  const signature = await source.small(SIGNATURE_FILE, MOST_SIGNATURE_BYTES, signal);
  const release = openRelease(source.name, text, signature, keys);
  if (sha256 === undefined || sha256 === release.sha256) return release;
  throw refused('checksum', `${source.name}: ${RELEASE_FILE}: expected the sha256 ${sha256}, received ${release.sha256}`, {
    expected: sha256,
    received: release.sha256,
  });
}

/** Throws ERR_UPDATE where the disk has no room for what is still to come. */
export async function checkSpace(models: string, release: Release): Promise<void> {
  if (await isFolder(join(models, release.id))) return;
  const { bavail, bsize } = await statfs(models);
  const there = await bytesIn(join(models, `${INCOMING}${release.id}`));
  const [needed, free] = [Math.max(0, release.bytes - there) + MARGIN_BYTES, bavail * bsize];
  if (free >= needed) return;
  throw refused('space', `${models}: expected ${needed} bytes of room for ${release.release}, received ${free}`, {
    expected: needed,
    received: free,
  });
}

/** Resolves to the folder of the release, whole. What has come stays for the next attempt unless it is wrong or the disk is full. */
export async function bring(models: string, source: Source, release: Release, options: BringOptions): Promise<string> {
  const whole = join(models, release.id);
  if (await isFolder(whole)) return whole;
  await checkSpace(models, release);
  const incoming = join(models, `${INCOMING}${release.id}`);
  await makeFolder(incoming, 0o755);
  try {
    await bringAll(incoming, source, release, options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    await rm(incoming, { recursive: true, force: true });
    throw refused('space', `${models}: the disk is full (${code}); ${release.release} would take ${release.bytes} bytes`, { cause: error });
  }
  await giveToOwner(incoming);
  await rename(incoming, whole);
  await syncFolder(models);
  return whole;
}

async function bringAll(incoming: string, source: Source, release: Release, options: BringOptions): Promise<void> {
  let here = 0;
  const onBytes = (bytes: number) => {
    here += bytes;
    options.onProgress?.(release.bytes === 0 ? 1 : Math.min(1, Math.max(0, here / release.bytes)));
  };
  const folders = new Set([incoming]);
  for (const [name, file] of Object.entries(release.files)) {
    const path = join(incoming, name);
    await makeFolder(dirname(path), 0o755);
    for (let folder = dirname(path); folder !== incoming; folder = dirname(folder)) folders.add(folder);
    await bringFile(path, source, name, file, onBytes, options);
  }
  await replaceFile(incoming, RELEASE_FILE, release.text.toString(), 0o644);
  await replaceFile(incoming, SIGNATURE_FILE, release.signature.toString(), 0o644);
  for (const folder of folders) await syncFolder(folder);
}

type Wanted = Release['files'][string];

async function bringFile(
  path: string,
  source: Source,
  name: string,
  file: Wanted,
  onBytes: (bytes: number) => void,
  options: BringOptions,
): Promise<void> {
  const { signal, pauseMs = PAUSE_MS } = options;
  for (let attempt = 1; ; attempt++) {
    const before = await sizeOf(path);
    try {
      if (await received(path, source, name, file, onBytes, signal)) return;
      attempt = 0; // what an earlier attempt had left was wrong, and is gone
    } catch (error) {
      const isPassing = error instanceof MiphaError && error.code === 'ERR_UPDATE' && error.retryable;
      if ((await sizeOf(path)) > before) attempt = 1;
      if (!isPassing || attempt >= MOST_ATTEMPTS) throw error;
      await pause(pauseMs * 2 ** (attempt - 1), undefined, { signal }).catch(() => {});
      signal.throwIfAborted();
    }
  }
}

/** The file is whole and on the disk; false: an earlier attempt had left something else, begin anew. Throws ERR_UPDATE when what came now is something else. */
async function received(
  path: string,
  source: Source,
  name: string,
  { bytes, sha256 }: Wanted,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const file = await open(path, 'a+', 0o644);
  let told = 0;
  const tell = (count: number) => {
    told += count;
    onBytes(count);
  };
  try {
    let hash: Hash = createHash('sha256');
    const there = (await file.stat()).size;
    if (there > bytes) await file.truncate(0);
    let at = there > bytes ? 0 : await hashed(path, there, hash, signal);
    const wasThere = at > 0;
    if (at < bytes) {
      const { from, pieces } = await source.read(name, at, signal);
      if (from !== at) {
        await file.truncate(0);
        hash = createHash('sha256');
        at = 0;
      }
      tell(at);
      await append(file, source, name, pieces, hash, at, bytes, tell);
    } else {
      tell(at);
    }
    await file.sync();
    if (hash.digest('hex') === sha256) return true;
    await file.truncate(0);
    if (wasThere) {
      tell(-told);
      return false;
    }
  } catch (error) {
    tell(-told);
    throw error;
  } finally {
    await file.close();
  }
  throw refused('checksum', `${source.name}: ${name}: expected the sha256 ${sha256}, received another one`, { expected: sha256 });
}

async function append(
  file: FileHandle,
  source: Source,
  name: string,
  pieces: AsyncIterable<Uint8Array>,
  hash: Hash,
  from: number,
  bytes: number,
  onBytes: (bytes: number) => void,
): Promise<void> {
  let at = from;
  for await (const piece of pieces) {
    if (at + piece.length > bytes) throw refused('checksum', `${source.name}: ${name}: expected ${bytes} bytes, received more`, { expected: bytes });
    await file.appendFile(piece);
    hash.update(piece);
    at += piece.length;
    onBytes(piece.length);
  }
  if (at < bytes)
    throw refused(source.isRemote ? 'unreachable' : 'checksum', `${source.name}: ${name}: expected ${bytes} bytes, received ${at}`, {
      expected: bytes,
      received: at,
    });
}

async function hashed(path: string, bytes: number, hash: Hash, signal: AbortSignal): Promise<number> {
  if (bytes === 0) return 0;
  for await (const piece of createReadStream(path, { end: bytes - 1, signal })) hash.update(piece);
  return bytes;
}

async function sizeOf(path: string): Promise<number> {
  return await lstat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(
    names.map(
      async (name) =>
        await lstat(join(folder, name)).then(
          (entry) => (entry.isFile() ? entry.size : 0),
          () => 0,
        ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

export async function isFolder(path: string): Promise<boolean> {
  return await lstat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
