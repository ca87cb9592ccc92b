/**
 * GPT-2's byte-level BPE as Phi uses it (CodeGen tokenizer): text ↔ ids, and the bytes behind every id.
 * Special tokens are never produced from text: a user who types "<|endoftext|>" gets ordinary ids, so no question can end a turn.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as BytePairEncoder } from '@huggingface/tokenizers';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { fileError, parseJson, textOf } from '../package/format.js';

export interface TokenizerParts {
  vocab: Record<string, number>;
  /** "left right" pairs, best first. */
  merges: string[];
  /** Matched in raw text before anything else, leftmost-longest; no special ones. Phi: runs of spaces and of tabs. */
  added: Record<string, number>;
  /** Never produced from text, never shown. */
  special: Record<string, number>;
  /** Remove the spaces before punctuation that Hugging Face removes when decoding. */
  cleanUp: boolean;
}

export class Tokenizer {
  /** Ids are below this. */
  readonly size: number;
  readonly cleanUp: boolean;
  /** Bytes of the longest token: n bytes of text are never fewer than n / this tokens. */
  readonly longestToken: number;
  private readonly encoder: BytePairEncoder;
  private readonly bytesById: (Uint8Array | undefined)[] = [];
  private readonly special: ReadonlyMap<string, number>;

  /** Throws ERR_MODEL_FORMAT when the parts do not make a byte-level BPE. */
  constructor(parts: TokenizerParts) {
    this.cleanUp = parts.cleanUp;
    this.special = new Map(Object.entries(parts.special));
    const specialIds = new Set(this.special.values());
    for (const [token, id] of Object.entries(parts.vocab)) if (!specialIds.has(id)) this.bytesById[id] = symbolsToBytes(token);
    for (const [token, id] of Object.entries(parts.added)) this.bytesById[id] = new TextEncoder().encode(token);
    this.size = Math.max(this.bytesById.length, ...[...specialIds].map((id) => id + 1));
    this.longestToken = this.bytesById.reduce((longest, bytes) => Math.max(longest, bytes?.length ?? 0), 1);
    const missing = SYMBOLS.find((symbol) => parts.vocab[symbol] === undefined);
    if (missing !== undefined)
      throw new MiphaError('ERR_MODEL_FORMAT', `tokenizer: expected all 256 byte symbols in the vocabulary, ${missing} is missing`);
    this.encoder = new BytePairEncoder(
      {
        normalizer: null,
        pre_tokenizer: PRE_TOKENIZER,
        model: { type: 'BPE', vocab: parts.vocab, merges: parts.merges.map((pair) => pair.split(' ', 2)) },
        post_processor: null,
        decoder: null,
        added_tokens: Object.entries(parts.added).map(([content, id]) => ({ content, id, special: false, normalized: false })),
      },
      {},
    );
  }

  encode(text: string): number[] {
    return this.encoder.encode(text, { add_special_tokens: false }).ids;
  }

  /** Special and unknown ids are left out; bytes that are no UTF-8 become U+FFFD. No clean-up, see text.ts. */
  decode(ids: Iterable<number>): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.joined(ids));
  }

  /** The bytes of the ids, one after the other. */
  joined(ids: Iterable<number>): Uint8Array {
    return Buffer.concat(Array.from(ids, (id) => this.bytes(id)));
  }

  /** Empty for special ids and ids that do not exist. */
  bytes(id: number): Uint8Array {
    return this.bytesById[id] ?? EMPTY;
  }

  /** Id of a special token such as "<|endoftext|>". Throws ERR_MODEL_FORMAT when there is none. */
  specialId(token: string): number {
    const id = this.special.get(token);
    if (id === undefined) throw new MiphaError('ERR_MODEL_FORMAT', `tokenizer: no special token ${token}`, { details: { token } });
    return id;
  }

  /** Bytes of the ids 0..vocab-1 one after the other, and where each begins [vocab + 1]. Special and padded ids are empty. */
  table(vocab: number): { vocabulary: Uint8Array; offsets: Uint32Array } {
    const offsets = new Uint32Array(vocab + 1);
    for (let id = 0; id < vocab; id++) offsets[id + 1] = (offsets[id] as number) + this.bytes(id).length;
    return { vocabulary: this.joined(Array(vocab).keys()), offsets };
  }
}

/** From a folder with tokenizer.json, or with vocab.json, merges.txt and added_tokens.json. Throws ERR_MODEL_MISSING, ERR_MODEL_FORMAT. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const config = await readJsonIfThere(join(folder, 'tokenizer_config.json'), configSchema);
  const cleanUp = config?.clean_up_tokenization_spaces ?? true;
  const whole = await readJsonIfThere(join(folder, 'tokenizer.json'), wholeSchema);
  if (whole !== undefined) {
    const pick = (special: boolean) =>
      Object.fromEntries(whole.added_tokens.filter((token) => token.special === special).map((token) => [token.content, token.id]));
    const merges = whole.model.merges.map((pair) => (typeof pair === 'string' ? pair : pair.join(' ')));
    return new Tokenizer({ vocab: whole.model.vocab, merges, added: pick(false), special: pick(true), cleanUp });
  }
  const vocab = await readJson(join(folder, 'vocab.json'), idsSchema);
  const listed = (await readJsonIfThere(join(folder, 'added_tokens.json'), idsSchema)) ?? {};
  const mergesPath = join(folder, 'merges.txt');
  const merges = (await readText(mergesPath)).split('\n').filter((line, index) => line !== '' && !(index === 0 && line.startsWith('#version')));
  const bad = merges.find((line) => !/^\S+ \S+$/.test(line));
  if (bad !== undefined) throw new MiphaError('ERR_MODEL_FORMAT', `${mergesPath}: expected two symbols per line, received ${JSON.stringify(bad)}`);

  const special: Record<string, number> = {};
  for (const [id, token] of Object.entries(config?.added_tokens_decoder ?? {})) if (token.special) special[token.content] = Number(id);
  const end = vocab[END_OF_TEXT] ?? listed[END_OF_TEXT];
  if (end !== undefined) special[END_OF_TEXT] = end;
  const added = Object.fromEntries(Object.entries(listed).filter(([token]) => special[token] === undefined));
  return new Tokenizer({ vocab, merges, added, special, cleanUp });
}

const END_OF_TEXT = '<|endoftext|>';
const EMPTY = new Uint8Array(0);

/** GPT-2's pre-tokenizer. \p{White_Space} is what \s means to the original (JavaScript's \s has U+FEFF and lacks U+0085). */
const PRE_TOKENIZER = {
  type: 'Sequence',
  pretokenizers: [
    {
      type: 'Split',
      behavior: 'Isolated',
      invert: false,
      pattern: {
        Regex:
          "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+",
      },
    },
    { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
  ],
};

/** GPT-2's printable symbol of each byte: itself where it is printable Latin-1, else the next free character from U+0100 on. */
const SYMBOLS: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
})();
const BYTE_OF = new Map(SYMBOLS.map((symbol, byte) => [symbol, byte]));

/** A vocabulary entry's bytes; entries that are not written in byte symbols are taken as they are. */
function symbolsToBytes(token: string): Uint8Array {
  const bytes = Array.from(token, (symbol) => BYTE_OF.get(symbol));
  return bytes.includes(undefined) ? new TextEncoder().encode(token) : Uint8Array.from(bytes as number[]);
}

const id = z.int().min(0).max(10_000_000);
const idsSchema = z.record(z.string(), id);
const configSchema = z.object({
  clean_up_tokenization_spaces: z.boolean().optional(),
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), z.object({ content: z.string(), special: z.boolean() })).optional(),
});
const wholeSchema = z.object({
  model: z.object({ type: z.literal('BPE'), vocab: idsSchema, merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])) }),
  pre_tokenizer: z.object({ type: z.literal('ByteLevel'), add_prefix_space: z.literal(false) }),
  normalizer: z.null(),
  added_tokens: z.array(z.object({ id, content: z.string().min(1), special: z.boolean() })),
});

async function readText(path: string): Promise<string> {
  try {
    return textOf(path, await readFile(path));
  } catch (error) {
    throw fileError(path, error);
  }
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  return parseJson(path, await readText(path), schema);
}

async function readJsonIfThere<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  return existsSync(path) ? await readJson(path, schema) : undefined;
}
