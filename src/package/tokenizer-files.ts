/** The tokenizer files of a checkpoint: which are there, how many ids they know, and the real end token. Tokenizing itself is the engine's. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { fileError, formatError, parseJson, textOf } from './format.js';
import type { FileRecord } from './manifest.js';

export const END_TOKEN = '<|endoftext|>';
const FILES = ['vocab.json', 'merges.txt', 'added_tokens.json', 'tokenizer_config.json', 'special_tokens_map.json', 'tokenizer.json'];
const MAX_BYTES = 64 * 1024 * 1024;

export interface TokenizerFiles {
  files: { name: string; bytes: Uint8Array; record: FileRecord }[];
  tokens: number; // ids are 0 … tokens − 1
  end: number; // id of <|endoftext|>; what config.json says is ignored
}

const id = z.int().min(0).max(4_000_000);
const vocabulary = z.record(z.string(), id);
const tokenizerSchema = z.looseObject({
  model: z.looseObject({ vocab: vocabulary }),
  added_tokens: z.array(z.looseObject({ id, content: z.string() })).default([]),
});

/** Needs vocab.json and merges.txt, or tokenizer.json; otherwise ERR_MODEL_MISSING. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const found = await Promise.all(FILES.map((name) => readIfPresent(folder, name)));
  const files = found.filter((file) => file !== undefined);
  const text = (name: string) => {
    const file = files.find((candidate) => candidate.name === name);
    return file === undefined ? undefined : textOf(join(folder, name), file.bytes);
  };
  const ids = collectIds(folder, text);
  const end = ids.get(END_TOKEN);
  if (end === undefined) throw formatError(`${folder}: tokenizer`, `a token ${END_TOKEN}`, `${ids.size} tokens without it`);
  return { files, tokens: [...ids.values()].reduce((most, value) => Math.max(most, value), -1) + 1, end };
}

async function readIfPresent(folder: string, name: string): Promise<TokenizerFiles['files'][number] | undefined> {
  const path = join(folder, name);
  try {
    const bytes = new Uint8Array(await readFile(path));
    if (bytes.byteLength > MAX_BYTES) throw formatError(path, `at most ${MAX_BYTES} bytes`, bytes.byteLength);
    return { name, bytes, record: { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') } };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(path, error);
  }
}

/** Token → id, over everything that adds tokens. */
function collectIds(folder: string, text: (name: string) => string | undefined): Map<string, number> {
  const single = text('tokenizer.json');
  if (single !== undefined) {
    const { model, added_tokens: added } = parseJson(join(folder, 'tokenizer.json'), single, tokenizerSchema);
    return new Map([...Object.entries(model.vocab), ...added.map((token) => [token.content, token.id] as const)]);
  }
  const vocab = text('vocab.json');
  const missing = vocab === undefined ? 'vocab.json' : text('merges.txt') === undefined ? 'merges.txt' : undefined;
  if (missing !== undefined) {
    const [path, remedy] = [join(folder, missing), 'a tokenizer is vocab.json with merges.txt, or tokenizer.json'];
    throw new MiphaError('ERR_MODEL_MISSING', `${path}: no such file; ${remedy}`, { details: { path, remedy } });
  }
  const added = text('added_tokens.json') ?? '{}';
  return new Map([
    ...Object.entries(parseJson(join(folder, 'vocab.json'), vocab ?? '', vocabulary)),
    ...Object.entries(parseJson(join(folder, 'added_tokens.json'), added, vocabulary)),
  ]);
}
