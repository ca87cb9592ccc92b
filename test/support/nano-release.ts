/** The shipped model as a release of another name; `spoilt`: its golden answer is another than it gives. */
import { createHash, type KeyObject } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signPackage } from '../../src/update/release.js';
import { NANO } from './nano.js';

export function copyNano(to: string, name: string, { spoilt = false } = {}): void {
  const manifest = JSON.parse(readFileSync(join(NANO, 'manifest.json'), 'utf8'));
  for (const file of Object.keys(manifest.files)) cpSync(join(NANO, file), join(to, file));
  manifest.name = name;
  if (spoilt) {
    const golden = JSON.parse(readFileSync(join(to, 'golden.json'), 'utf8'));
    golden.ids[0]++;
    const text = JSON.stringify(golden);
    writeFileSync(join(to, 'golden.json'), text);
    manifest.files['golden.json'] = { bytes: text.length, sha256: createHash('sha256').update(text).digest('hex') };
  }
  writeFileSync(join(to, 'manifest.json'), JSON.stringify(manifest));
}

export async function nanoRelease(to: string, release: string, key: KeyObject, options?: { spoilt?: boolean }): Promise<void> {
  copyNano(to, `nano-${release}`, options);
  await signPackage(to, release, key);
}
