/** Packages of a few kilobytes that are whole by their manifest, though no engine could load them, and releases of them. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Manifest } from '../../src/package/manifest.js';
import { publicTextOf } from '../../src/update/keys.js';
import { type Release, signPackage } from '../../src/update/release.js';

const NANO_MANIFEST = 'models/mipha-nano/manifest.json';

export interface Signer {
  privateKey: KeyObject;
  text: string; // of the public key
}

export function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, text: publicTextOf(privateKey) };
}

/** Different bytes for different `seed`s; every file of the package with about so many. */
export function writePackage(folder: string, seed: number, bytes = 3000): void {
  const manifest = JSON.parse(readFileSync(NANO_MANIFEST, 'utf8')) as Manifest;
  for (const [index, name] of Object.keys(manifest.files).entries()) {
    const data = Buffer.alloc(bytes + index, `${seed} ${name} `);
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), data);
    manifest.files[name] = { bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') };
  }
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, name: `tiny-${seed}` }));
}

export async function writeRelease(folder: string, seed: number, name: string, signer: Signer, bytes?: number): Promise<Release> {
  writePackage(folder, seed, bytes);
  return await signPackage(folder, name, signer.privateKey);
}

/** Gone when the test is over. */
export async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mipha-update-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** What a promise is rejected with. */
export async function refusalOf(work: Promise<unknown>): Promise<{ code: string; message: string; details: Record<string, unknown> }> {
  return await work.then(
    () => {
      throw new Error('it was not refused');
    },
    (error) => error,
  );
}
