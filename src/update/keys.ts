/** Ed25519 keys as configurations and commands have them: a public key is its 32 bytes in base64, a private one a PEM file of PKCS #8. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { optionError } from '../errors.js';

export const KEY_WORDS = 'an Ed25519 public key: 32 bytes in base64, as mipha model sign prints it';
const KEY = /^[A-Za-z0-9+/]{43}=$/;

/** Whether such a text is a public key. */
export function isPublicKey(text: string): boolean {
  return KEY.test(text);
}

export function publicKeyOf(text: string): KeyObject {
  const x = Buffer.from(text, 'base64').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

/** The public half as text. */
export function publicTextOf(privateKey: KeyObject): string {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('base64');
}

/** Throws ERR_OPTION; never repeats anything of the file. */
export function privateKeyOf(pem: Buffer, file: string): KeyObject {
  const expected = 'a PEM file with an Ed25519 private key, without a passphrase (openssl genpkey -algorithm ed25519 -out FILE)';
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw optionError('key', expected, file);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw optionError('key', expected, `${file}: ${key.asymmetricKeyType}`);
}
