/** What is signed, and what a signature is worth. */
import { createPrivateKey, generateKeyPairSync, verify } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isPublicKey, privateKeyOf, publicKeyOf } from '../../src/update/keys.js';
import { isNewer, newestIn } from '../../src/update/offered.js';
import { isOrigin } from '../../src/update/origin.js';
import { isReleaseName, releaseIn, signPackage } from '../../src/update/release.js';
import { newSigner, refusalOf, scratch, writePackage, writeRelease } from './helpers.js';

describe('a release', () => {
  it('names every file with bytes and sha256, its manifest too, and opens with the key that signed it', async () => {
    const folder = await scratch();
    const signer = newSigner();
    const signed = await writeRelease(folder, 1, '2026.11.1', signer);
    const opened = await releaseIn(folder, [newSigner().text, signer.text]);
    expect(opened).toMatchObject({ release: '2026.11.1', model: 'tiny-1', sha256: signed.sha256, bytes: signed.bytes });
    expect(Object.keys(opened.files)).toEqual(expect.arrayContaining(['manifest.json', 'weights.safetensors', 'tokenizer/vocab.json']));
    const signature = Buffer.from(await readFile(join(folder, 'release.sig'), 'utf8'), 'base64');
    expect(verify(null, await readFile(join(folder, 'release.json')), publicKeyOf(signer.text), signature)).toBe(true); // by anybody's means
  });

  it('is refused without a key, with another key, with another byte, and when it is cut', async () => {
    const folder = await scratch();
    const signer = newSigner();
    await writeRelease(folder, 1, '1', signer);
    for (const keys of [[], [newSigner().text]]) expect(await refusalOf(releaseIn(folder, keys))).toMatchObject({ details: { reason: 'signature' } });
    const text = await readFile(join(folder, 'release.json'));
    for (const changed of [Buffer.concat([text, Buffer.from(' ')]), text.subarray(0, 100)]) {
      await writeFile(join(folder, 'release.json'), changed);
      expect(await refusalOf(releaseIn(folder, [signer.text]))).toMatchObject({ code: 'ERR_UPDATE', details: { reason: 'signature' } });
    }
  });

  it('is not made of a package that is not whole', async () => {
    const folder = await scratch();
    writePackage(folder, 1);
    await writeFile(join(folder, 'weights.safetensors'), 'short');
    expect(await refusalOf(signPackage(folder, '1', newSigner().privateKey))).toMatchObject({ code: 'ERR_MODEL_CHECKSUM' });
  });

  it('has a name that fits a topic and a terminal', () => {
    expect(['1', '2026.11.1', 'v2-rc.1', 'a'.repeat(64)].every(isReleaseName)).toBe(true);
    expect(['', '.1', '1.', 'a b', '../x', 'ü', 'a'.repeat(65)].some(isReleaseName)).toBe(false);
  });

  it('is offered when it is newer, its numbers compared as numbers, and was not taken back', async () => {
    expect(isNewer('2026.10.1', '2026.9.30')).toBe(true);
    expect(isNewer('2026.9.30', '2026.10.1')).toBe(false);
    const folder = await scratch();
    const signer = newSigner();
    const nine = await writeRelease(join(folder, 'nine'), 9, '2026.9.30', signer);
    const ten = await writeRelease(join(folder, 'ten'), 10, '2026.10.1', signer);
    await writeRelease(join(folder, 'foreign'), 11, '2026.11.1', newSigner());
    expect(await newestIn(folder, [signer.text], [], null)).toMatchObject({ source: 'ten', release: { id: ten.id } });
    expect(await newestIn(folder, [signer.text], [ten.id], null)).toMatchObject({ source: 'nine', release: { id: nine.id } });
    expect(await newestIn(folder, [signer.text], [], '2026.10.1')).toBeNull();
    expect(await newestIn(join(folder, 'gone'), [signer.text], [], null)).toBeNull();
  });
});

describe('keys and origins', () => {
  it('are read, or refused without repeating a private key', async () => {
    const signer = newSigner();
    const pem = signer.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    expect(privateKeyOf(Buffer.from(pem), 'k').export({ type: 'pkcs8', format: 'pem' })).toBe(pem);
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    for (const wrong of [other.toString(), pem.slice(0, 60), 'secret']) {
      expect(() => privateKeyOf(Buffer.from(wrong), 'k')).toThrow(/Ed25519 private key/);
      expect(() => privateKeyOf(Buffer.from(wrong), 'k')).not.toThrow(wrong.slice(28, 60));
    }
    expect(createPrivateKey(pem).asymmetricKeyType).toBe('ed25519');
    expect([signer.text, 'A'.repeat(43), `${'A'.repeat(43)}=`, `${'A'.repeat(44)}=`].map(isPublicKey)).toEqual([true, false, true, false]);
    expect(
      ['https://a.example', 'https://a.example:8443', 'http://a.example', 'https://a.example/', 'https://u:p@a.example', 'a'].map(isOrigin),
    ).toEqual([true, true, false, false, false, false]);
  });
});
