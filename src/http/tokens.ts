/** Who may come in from other machines: tokens of 256 bits, in files. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { MiphaError } from '../errors.js';
import { redactor } from '../redact.js';

/** A viewer sees and asks, an operator may change the node too. */
export const ROLES = ['viewer', 'operator'] as const;
export type Role = (typeof ROLES)[number];

export interface Token {
  role: Role;
  digest: Buffer; // SHA-256
}

const MOST_BYTES = 65_536;
const MOST_TOKENS = 16;
const CHARACTERS = /^[\w+/=.~-]+$/;
const HEX = /^[0-9a-f]+$/i;
/** In base64, and in hexadecimal digits. */
const LEAST = { base64: 43, hex: 64 };

/** What makes one, for messages. */
export const MAKES_TOKEN = 'openssl rand -hex 32';

/**
 * The tokens of a file, one a line: two of them let one take the place of the other without a gap. `option` names the setting in errors. Throws
 * ERR_CONFIG, which never tells content.
 */
export async function readTokens(file: string, role: Role, option: string): Promise<Token[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw refused(option, 'a readable file', `${file} (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
  if (bytes.length > MOST_BYTES) throw refused(option, `at most ${MOST_BYTES} bytes`, `${file}, which has ${bytes.length}`);
  const lines = bytes
    .toString('latin1')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  redactor.add(lines);
  if (lines.length === 0) throw refused(option, `a token (${MAKES_TOKEN})`, `${file}, which is empty`);
  if (lines.length > MOST_TOKENS) throw refused(option, `at most ${MOST_TOKENS} tokens, one a line`, `${file}, which has ${lines.length} lines`);
  for (const [index, line] of lines.entries()) {
    if (isLong(line)) continue;
    const expected = `tokens of 256 bits, ${LEAST.hex} hexadecimal digits or ${LEAST.base64} characters of base64 (${MAKES_TOKEN})`;
    throw refused(option, expected, `${file}, whose token ${index + 1} has ${line.length} characters`);
  }
  return lines.map((line) => ({ role, digest: digestOf(line) }));
}

function isLong(token: string): boolean {
  return CHARACTERS.test(token) && token.length >= (HEX.test(token) ? LEAST.hex : LEAST.base64);
}

/** The role of a token, null for one that is not known; every token is compared, in the same time. */
export function roleOf(given: string, tokens: readonly Token[]): Role | null {
  const digest = digestOf(given);
  const found = tokens.filter((token) => timingSafeEqual(token.digest, digest)).map(({ role }) => role);
  return found.includes('operator') ? 'operator' : (found[0] ?? null);
}

export function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function refused(option: string, expected: string, received: string, cause?: unknown): MiphaError {
  return new MiphaError('ERR_CONFIG', `${option}: expected ${expected}, received ${received}`, {
    details: { issues: [{ path: option, expected, received, origin: 'file' }] },
    ...(cause === undefined ? {} : { cause }),
  });
}
