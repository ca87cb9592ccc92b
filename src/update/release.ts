/**
 * A release: a package whose files somebody vouches for. Beside them lie `release.json`, which names each with its bytes and sha256, and `release.sig`,
 * the Ed25519 signature of the bytes of release.json in base64. So the sha256 of release.json stands for the whole.
 */
import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { formatError, parseJson } from '../package/format.js';
import { hashFile } from '../package/hash.js';
import { fileSchema, insidePath, MANIFEST_FILE, type Manifest, WEIGHTS_FILE } from '../package/manifest.js';
import { openPackage, readManifest } from '../package/verify.js';
import { replaceFile } from '../state-files.js';
import { publicKeyOf } from './keys.js';
import { refused } from './refused.js';

export const RELEASE_FILE = 'release.json';
export const SIGNATURE_FILE = 'release.sig';
/** Of release.json, and of release.sig. */
export const MOST_RELEASE_BYTES = 1_000_000;
export const MOST_SIGNATURE_BYTES = 1000;
const MOST_FILES = 1000;

export const RELEASE_WORDS = 'letters, digits, and . _ + - between them, at most 64, e.g. 2026.11.1';
const releaseName = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,62}[A-Za-z0-9])?$/, `expected ${RELEASE_WORDS}`);

const releaseSchema = z.strictObject({
  format: z.literal(1),
  release: releaseName,
  model: z.string().min(1).max(200), // name of the package
  files: z.record(insidePath, fileSchema),
});
export type ReleaseFiles = z.infer<typeof releaseSchema>['files'];

export interface Release extends z.infer<typeof releaseSchema> {
  /** Of release.json, hexadecimal. */
  sha256: string;
  /** The beginning of it: the name of its folder. */
  id: string;
  bytes: number; // of all files
  /** As they lie on the disk. */
  text: Buffer;
  signature: Buffer;
}

export function isReleaseName(text: string): boolean {
  return releaseName.safeParse(text).success;
}

/** Throws ERR_UPDATE unless one of the keys vouches for it; ERR_MODEL_FORMAT for what is no release. `where` is for the error. */
export function openRelease(where: string, text: Buffer, signature: Buffer, keys: readonly string[]): Release {
  const bytes = Buffer.from(signature.toString('latin1').trim(), 'base64');
  if (!keys.some((key) => verify(null, text, publicKeyOf(key), bytes))) {
    const expected = `the signature of ${RELEASE_FILE} by ${keys.length === 1 ? 'the key' : `one of ${keys.length} keys`} of model.updates.keys`;
    throw refused('signature', `${where}: ${SIGNATURE_FILE}: expected ${expected}, received another one`, { expected });
  }
  const parsed = parseJson(`${where}: ${RELEASE_FILE}`, text.toString(), releaseSchema);
  const names = Object.keys(parsed.files);
  const wrong = (expected: string, received: unknown) => formatError(`${where}: ${RELEASE_FILE}: files`, expected, received);
  if (!names.includes(MANIFEST_FILE)) throw wrong(`an entry ${MANIFEST_FILE}`, names);
  if (names.length > MOST_FILES) throw wrong(`at most ${MOST_FILES} files`, names.length);
  const own = names.find((name) => name === RELEASE_FILE || name === SIGNATURE_FILE);
  if (own !== undefined) throw wrong('files of a package', own);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const total = Object.values(parsed.files).reduce((sum, file) => sum + file.bytes, 0);
  return { ...parsed, sha256, id: sha256.slice(0, 16), bytes: total, text, signature };
}

/** Of a folder on this machine; its other files unchecked. */
export async function releaseIn(folder: string, keys: readonly string[]): Promise<Release> {
  const [text, signature] = await Promise.all([RELEASE_FILE, SIGNATURE_FILE].map((name) => readFile(join(folder, name))));
  return openRelease(folder, text as Buffer, signature as Buffer, keys);
}

/** What somebody called the release in this folder, signed or not; null: it is none. */
export async function releaseNameIn(folder: string): Promise<string | null> {
  try {
    return releaseSchema.parse(JSON.parse(await readFile(join(folder, RELEASE_FILE), 'utf8'))).release;
  } catch {
    return null;
  }
}

/** What the package in this folder is called where it is no release: the beginning of the sha256 of its weights. */
export async function revisionIn(folder: string): Promise<string> {
  const { files } = await readManifest(folder);
  return files[WEIGHTS_FILE]?.sha256.slice(0, 12) ?? '';
}

/** Checks every file of the package, then writes release.json and release.sig beside them. */
export async function signPackage(folder: string, release: string, key: KeyObject, onProgress?: (fraction: number) => void): Promise<Release> {
  const { manifest } = await openPackage(folder, { onProgress });
  const files = await releaseFiles(folder, manifest);
  const text = Buffer.from(`${JSON.stringify({ format: 1, release, model: manifest.name, files }, null, 2)}\n`);
  const signature = `${sign(null, text, key).toString('base64')}\n`;
  await replaceFile(folder, RELEASE_FILE, text.toString(), 0o644);
  await replaceFile(folder, SIGNATURE_FILE, signature, 0o644);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
  return { format: 1, release, model: manifest.name, files, sha256, id: sha256.slice(0, 16), bytes, text, signature: Buffer.from(signature) };
}

async function releaseFiles(folder: string, { files }: Manifest): Promise<ReleaseFiles> {
  return { [MANIFEST_FILE]: await hashFile(join(folder, MANIFEST_FILE)), ...files };
}
