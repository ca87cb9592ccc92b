/**
 * Text ↔ ids, and the bytes behind every id, for any byte-pair encoding that knows all bytes: GPT-2's kind and sentencepiece's.
 * Special tokens are never produced from text: a user who types "<|endoftext|>" gets ordinary ids, so no question can end a turn.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as BytePairEncoder } from '@huggingface/tokenizers';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { fileError, formatError, parseJson, textOf, validate } from '../package/format.js';
import { IMAGE } from '../package/prompts.js';
import { idsSchema, type TokenizerJson, tokenizerSchema } from '../package/tokenizer-json.js';
import { type Opening, preTokenizerFor } from './pre-tokenizer.js';
import { writingOf } from './token-bytes.js';

export interface TokenizerOptions {
  /** Tokens that are special besides those that say so themselves. */
  special?: Iterable<string>;
  /** Remove the spaces before punctuation that Hugging Face removes when decoding. */
  cleanUp: boolean;
}

export class Tokenizer {
  /** Ids are below this. */
  readonly size: number;
  readonly cleanUp: boolean;
  /** Bytes of the longest token: n bytes of text are never fewer than n / this tokens. */
  readonly longestToken: number;
  private readonly encoders: Record<Opening, BytePairEncoder>;
  private readonly bytesById: (Uint8Array | undefined)[];
  private readonly special = new Map<string, number>();

  /** Throws ERR_MODEL_FORMAT when it cannot write every text. */
  constructor(json: TokenizerJson, { special = [], cleanUp }: TokenizerOptions) {
    this.cleanUp = cleanUp;
    const { model } = json;
    const names = new Set([...special, IMAGE]); // the picture's token is not always called special
    for (const name of names) if (model.vocab[name] !== undefined) this.special.set(name, model.vocab[name]);
    for (const token of json.added_tokens) if (token.special || names.has(token.content)) this.special.set(token.content, token.id);
    const added = json.added_tokens.filter(({ content }) => !this.special.has(content));

    const writing = writingOf(json);
    const words = Object.entries(model.vocab);
    this.size = 1 + Math.max(...[words, json.added_tokens.map(({ id }) => ['', id] as const)].map(largestId));
    this.bytesById = Array(this.size);
    for (const [token, id] of words) this.bytesById[id] = writing.bytes(token);
    for (const { content, id } of added) this.bytesById[id] = writing.addedBytes(content);
    for (const id of this.special.values()) this.bytesById[id] = EMPTY;
    this.longestToken = this.bytesById.reduce((longest, bytes) => Math.max(longest, bytes?.length ?? 0), 1);
    this.encoders = encodersOf({ ...json, added_tokens: added }, this.special);
  }

  /** Nothing is added to the text's own ids but the space that some tokenizers begin a text with; `continued`: it goes on behind a token. */
  encode(text: string, opening: Opening = 'apart'): number[] {
    return this.encoders[opening].encode(text, { add_special_tokens: false }).ids;
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

const EMPTY = new Uint8Array(0);

function largestId(entries: readonly (readonly [string, number])[]): number {
  return entries.reduce((largest, [, id]) => Math.max(largest, id), -1);
}

/** Without the special tokens and the merges that would make them: where these are left in, some vocabularies merge "</" and "s>". */
function encodersOf(json: TokenizerJson, special: ReadonlyMap<string, number>): Record<Opening, BytePairEncoder> {
  const { normalizer, model, added_tokens } = json;
  const vocab = { ...model.vocab };
  for (const token of special.keys()) delete vocab[token];
  const pairs = model.merges.map((pair) => (typeof pair === 'string' ? pair.split(' ') : pair));
  const merges = pairs.filter(([left, right]) => !special.has(`${left}${right}`));
  const stray = merges.find(([left, right]) => vocab[`${left}${right}`] === undefined);
  if (stray !== undefined) throw formatError('tokenizer', 'merges into entries of the vocabulary', stray);
  const encoder = (opening: Opening, of: object) =>
    new BytePairEncoder(
      {
        normalizer,
        pre_tokenizer: preTokenizerFor(json, opening),
        model: of,
        post_processor: null,
        decoder: null,
        added_tokens,
      },
      {},
    );
  try {
    const encoders = {
      apart: encoder('apart', { ...model, vocab, merges }),
      continued: encoder('continued', { type: 'BPE', vocab: {}, merges: [] }),
    };
    encoders.continued.model = encoders.apart.model; // the large part
    return encoders;
  } catch (error) {
    throw formatError('tokenizer', 'patterns that can be compiled', (error as Error).message, error);
  }
}

/**
 * From a folder with tokenizer.json, or with vocab.json, merges.txt and added_tokens.json of a tokenizer that splits words as GPT-2's. `special`: tokens
 * that must be special, whatever the files say. Throws ERR_MODEL_MISSING, ERR_MODEL_FORMAT.
 */
export async function loadTokenizer(folder: string, special: readonly string[] = []): Promise<Tokenizer> {
  const config = await readJsonIfThere(join(folder, 'tokenizer_config.json'), configSchema);
  const flagged = Object.values(config?.added_tokens_decoder ?? {}).filter((token) => token.special);
  const json = (await readJsonIfThere(join(folder, 'tokenizer.json'), tokenizerSchema)) ?? (await gpt2Json(folder));
  return new Tokenizer(json, {
    special: [...special, ...flagged.map(({ content }) => content)],
    cleanUp: config?.clean_up_tokenization_spaces ?? true,
  });
}

/** What tokenizer.json would say. */
async function gpt2Json(folder: string): Promise<TokenizerJson> {
  const vocab = await readJson(join(folder, 'vocab.json'), idsSchema);
  const listed = (await readJsonIfThere(join(folder, 'added_tokens.json'), idsSchema)) ?? {};
  const path = join(folder, 'merges.txt');
  const merges = (await readText(path)).split('\n').filter((line, index) => line !== '' && !(index === 0 && line.startsWith('#version')));
  return validate(
    path,
    {
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
      model: { type: 'BPE', vocab, merges },
      added_tokens: Object.entries(listed).map(([content, id]) => ({ content, id, special: false })),
    },
    tokenizerSchema,
  );
}

const configSchema = z.object({
  clean_up_tokenization_spaces: z.boolean().optional(),
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), z.object({ content: z.string(), special: z.boolean() })).optional(),
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
