import { copyFile, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { convert } from '../../src/package/convert.js';
import { type Manifest, manifestText } from '../../src/package/manifest.js';
import { openPackage } from '../../src/package/verify.js';
import { temporaryFolder, writeTiny } from './helpers.js';

async function tinyPackage(): Promise<string> {
  const from = await temporaryFolder();
  await writeTiny(from);
  const out = join(await temporaryFolder(), 'package');
  await convert(from, out, { name: 'tiny', selfTest: async () => ({ ids: [1] }) });
  return out;
}

async function editManifest(folder: string, edit: (manifest: Manifest) => unknown): Promise<void> {
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as Manifest;
  edit(manifest);
  await writeFile(join(folder, 'manifest.json'), manifestText(manifest));
}

describe('a whole package', () => {
  it('opens, reporting progress up to one', async () => {
    const seen: number[] = [];
    const { folder, manifest } = await openPackage(await tinyPackage(), { onProgress: (fraction) => seen.push(fraction) });
    expect(manifest.name).toBe('tiny');
    expect(folder).toContain('package');
    expect(seen.at(-1)).toBe(1);
  });

  it('stops when asked', async () => {
    const stop = AbortSignal.abort(new Error('enough'));
    await expect(openPackage(await tinyPackage(), { signal: stop })).rejects.toMatchObject({ message: 'enough' });
  });
});

describe('damage', () => {
  it('of any one bit of any file is found', async () => {
    const folder = await tinyPackage();
    for (const name of ['weights.safetensors', 'golden.json', 'tokenizer/vocab.json', 'tokenizer/merges.txt']) {
      const path = join(folder, name);
      const bytes = await readFile(path);
      for (let i = 0; i < 5; i++) {
        const damaged = Buffer.from(bytes);
        const at = Math.floor((bytes.byteLength - 1) * (i / 4));
        damaged[at] = (damaged[at] as number) ^ (1 << i);
        await writeFile(path, damaged);
        await expect(openPackage(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_CHECKSUM', details: { path } });
      }
      await writeFile(path, bytes);
    }
    await openPackage(folder);
  });

  it('of length is found before anything is hashed', async () => {
    const folder = await tinyPackage();
    await truncate(join(folder, 'weights.safetensors'), 100);
    await expect(openPackage(folder)).rejects.toMatchObject({
      code: 'ERR_MODEL_CHECKSUM',
      message: expect.stringMatching(/weights.safetensors: expected \d+ bytes, received 100 bytes/),
    });
  });

  it('by absence names the file', async () => {
    const folder = await tinyPackage();
    await rm(join(folder, 'tokenizer', 'merges.txt'));
    await expect(openPackage(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', message: expect.stringMatching(/merges.txt/) });
    await rm(join(folder, 'manifest.json'));
    await expect(openPackage(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', message: expect.stringMatching(/manifest.json/) });
    await expect(openPackage(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING' });
  });

  it('by a link in place of a file is refused', async () => {
    const folder = await tinyPackage();
    await rename(join(folder, 'golden.json'), join(folder, 'other.json'));
    await symlink('other.json', join(folder, 'golden.json'));
    await expect(openPackage(folder)).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/golden.json: expected a file, received a link/),
    });
  });
});

describe('manifest', () => {
  let sound: string;
  beforeAll(async () => {
    const from = await mkdtemp(join(tmpdir(), 'mipha-package-test-'));
    await writeTiny(from);
    await convert(from, join(from, 'package'));
    sound = await readFile(join(from, 'package', 'manifest.json'), 'utf8');
    await rm(from, { recursive: true });
  });

  const zeros = '0'.repeat(64);
  it.each<[string, (manifest: Manifest) => unknown, RegExp]>([
    ['a later version', (m) => Object.assign(m, { formatVersion: 2 }), /formatVersion/],
    ['an unknown key', (m) => Object.assign(m, { stopId: 3 }), /stopId/],
    ['no weights', (m) => delete m.files['weights.safetensors'], /an entry weights.safetensors/],
    ['a path that climbs', (m) => Object.assign(m.files, { '../x': { bytes: 1, sha256: zeros } }), /\.\.\/x/],
    ['an absolute path', (m) => Object.assign(m.files, { '/etc/passwd': { bytes: 1, sha256: zeros } }), /etc/],
    ['a hidden climb', (m) => Object.assign(m.files, { 'tokenizer/../../x': { bytes: 1, sha256: zeros } }), /tokenizer/],
    ['a hash that is none', (m) => Object.assign(m.files, { a: { bytes: 1, sha256: 'zz' } }), /files.a.sha256: .*64 hexadecimal digits/],
    ['nothing that ends an answer', (m) => m.prompt.stops.pop(), /prompt.stops/],
    ['a prompt that says it otherwise', (m) => Object.assign(m.prompt, { afterPicture: 'joined' }), /prompt.afterPicture.*joined/],
    ['sizes that do not divide', (m) => Object.assign(m.architecture.language, { heads: 3 }), /language.heads: expected a multiple of 2, received 3/],
    ['sizes beyond reason', (m) => Object.assign(m.architecture.vision, { hidden: 1e6 }), /vision.hidden/],
    ['more tokens than rows', (m) => Object.assign(m.architecture.language, { tokens: 25 }), /language.tokens: expected at most 24, received 25/],
    ['a precision nobody knows', (m) => Object.assign(m.recipe, { 'language.head': 'w4' }), /recipe.language.head/],
    ['another aspect', (m) => Object.assign(m.preprocessing, { aspect: 'anyres' }), /preprocessing.aspect/],
    ['another filter', (m) => Object.assign(m.preprocessing, { filter: 'lanczos' }), /preprocessing.filter/],
    ['one number for a colour', (m) => Object.assign(m.preprocessing, { background: 127 }), /preprocessing.background/],
    ['a colour out of range', (m) => Object.assign(m.preprocessing, { background: [0, 256, 0] }), /preprocessing.background.1/],
    [
      'a crop larger than the picture',
      (m) => Object.assign(m.preprocessing, { aspect: 'crop', shortestSide: 27 }),
      /preprocessing.shortestSide: expected at least vision.imageSize \(28\), received 27/,
    ],
  ])('with %s is refused', async (_, edit, message) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'manifest.json'), sound);
    await editManifest(folder, edit);
    await expect(openPackage(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) });
  });

  it('that is no JSON, or a folder, is refused', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'manifest.json'), sound.slice(0, 200));
    await expect(openPackage(folder)).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/manifest.json: expected JSON/),
    });
    await copyFile(join(folder, 'manifest.json'), join(folder, 'x'));
    await expect(openPackage(join(folder, 'x'))).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING' });
  });
});
