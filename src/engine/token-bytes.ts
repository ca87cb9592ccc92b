/** The bytes behind a vocabulary's entries, in the two ways of writing them: GPT-2's byte symbols, and sentencepiece's text with single bytes beside it. */
import { formatError } from '../package/format.js';
import { preTokenizersOf, SPACE, type TokenizerJson } from '../package/tokenizer-json.js';

export interface Writing {
  /** Of an entry of the vocabulary. */
  bytes(token: string): Uint8Array;
  /** Of an added token, which is written as its text. */
  addedBytes(token: string): Uint8Array;
}

const utf8 = new TextEncoder();

/** Throws ERR_MODEL_FORMAT when it is neither, or a byte is missing: then some text could not be written. */
export function writingOf(json: TokenizerJson): Writing {
  const { model } = json;
  const isByteLevel = preTokenizersOf(json).some(({ type }) => type === 'ByteLevel');
  if (!isByteLevel && !model.byte_fallback) throw formatError('tokenizer', 'byte-level or sentencepiece BPE', 'a vocabulary without all bytes');
  const isMissing = (token: string, byte: number) =>
    model.vocab[token] === undefined && (isByteLevel || byte > 0x7f || model.vocab[String.fromCharCode(byte)] === undefined); // Gemma writes its tab as one
  const missing = (isByteLevel ? SYMBOLS : BYTE_TOKENS).find(isMissing);
  if (missing !== undefined) throw formatError('tokenizer', 'all 256 bytes in the vocabulary', `one without ${missing}`);
  return isByteLevel ? BYTE_LEVEL : SENTENCEPIECE;
}

/** GPT-2's printable symbol of each byte: itself where it is printable Latin-1, else the next free character from U+0100 on. */
const SYMBOLS: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
})();
const BYTE_OF = new Map(SYMBOLS.map((symbol, byte) => [symbol, byte]));

const BYTE_LEVEL: Writing = {
  /** Entries that are not written in byte symbols are taken as they are. */
  bytes(token) {
    const bytes = Array.from(token, (symbol) => BYTE_OF.get(symbol));
    return bytes.includes(undefined) ? utf8.encode(token) : Uint8Array.from(bytes as number[]);
  },
  addedBytes: (token) => utf8.encode(token),
};

const BYTE_TOKENS: readonly string[] = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
const BYTE_OF_TOKEN = new Map(BYTE_TOKENS.map((token, byte) => [token, byte]));

const SENTENCEPIECE: Writing = {
  bytes(token) {
    const byte = BYTE_OF_TOKEN.get(token);
    return byte === undefined ? spaced(token) : Uint8Array.of(byte);
  },
  addedBytes: spaced,
};

function spaced(token: string): Uint8Array {
  return utf8.encode(token.replaceAll(SPACE, ' '));
}
