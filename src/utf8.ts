/** Text out of bytes that must be UTF-8: every character as it was written, or an error that says where it is not. */
import { isUtf8 } from 'node:buffer';

export interface BadByte {
  /** From the beginning, in bytes. */
  offset: number;
  /** From 1. */
  line: number;
  /** In characters, from 1. */
  column: number;
  /** `the byte 0xE4 at offset 17` */
  words: string;
}

export class NotUtf8 extends Error {
  override readonly name = 'NotUtf8';

  constructor(readonly at: BadByte) {
    super(`expected UTF-8, received ${at.words} (line ${at.line})`);
  }
}

/** Of a file: without the byte order mark that some editors put in front. Throws NotUtf8. */
export function fileText(bytes: Uint8Array): string {
  return utf8Text(bytes).replace(/^\ufeff/, '');
}

/** Throws NotUtf8. */
export function utf8Text(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new NotUtf8(firstBad(bytes));
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function firstBad(bytes: Uint8Array): BadByte {
  let [good, bad] = [0, bytes.length]; // lengths: of a beginning that may be continued, and of one that may not or is all there is
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isBeginning(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  let offset = good;
  while (!isUtf8(bytes.subarray(0, offset))) offset--; // the first byte of the sequence that is wrong or cut off
  const before = new TextDecoder().decode(bytes.subarray(0, offset)).split('\n');
  const byte = (bytes[offset] as number).toString(16).toUpperCase().padStart(2, '0');
  return { offset, line: before.length, column: [...(before.at(-1) ?? '')].length + 1, words: `the byte 0x${byte} at offset ${offset}` };
}

function isBeginning(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
