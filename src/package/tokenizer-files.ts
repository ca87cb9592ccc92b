/** The tokenizer files of a checkpoint: which are there, how many ids they know, and that they know the tokens of the prompt. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { fileError, formatError, parseJson, textOf } from './format.js';
import type { FileRecord, PromptTemplate } from './manifest.js';
import { tokensOf } from './prompts.js';
import { idsSchema, tokenizerSchema } from './tokenizer-json.js';

const FILES = ['vocab.json', 'merges.txt', 'added_tokens.json', 'tokenizer_config.json', 'special_tokens_map.json', 'tokenizer.json'];
const MAX_BYTES = 64 * 1024 * 1024;

/** Whose words are split as GPT-2 splits them: all that vocab.json and merges.txt do not say. */
const SPLIT_AS_GPT2 = /^(CodeGen|GPT2)Tokenizer(Fast)?$/;
const SAVE = "transformers' AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes one";

export interface TokenizerFiles {
  files: { name: string; bytes: Uint8Array; record: FileRecord }[];
  tokens: number; // ids are 0 … tokens − 1
}

/** Needs tokenizer.json, or vocab.json and merges.txt of a tokenizer that splits as GPT-2's. Throws ERR_MODEL_MISSING, ERR_MODEL_FORMAT. */
export async function readTokenizerFiles(folder: string, template: PromptTemplate): Promise<TokenizerFiles> {
  const found = await Promise.all(FILES.map((name) => readIfPresent(folder, name)));
  const files = found.filter((file) => file !== undefined);
  const text = (name: string) => {
    const file = files.find((candidate) => candidate.name === name);
    return file === undefined ? undefined : textOf(join(folder, name), file.bytes);
  };
  const ids = text('tokenizer.json') === undefined ? await listedIds(folder, text) : wholeIds(folder, text('tokenizer.json') as string);
  const missing = tokensOf(template).find((token) => !ids.has(token));
  if (missing !== undefined) throw formatError(`${folder}: tokenizer`, `a token ${missing}`, `${ids.size} tokens without it`);
  return { files, tokens: [...ids.values()].reduce((most, value) => Math.max(most, value), -1) + 1 };
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

/** Token → id of tokenizer.json. */
function wholeIds(folder: string, whole: string): Map<string, number> {
  const { model, added_tokens: added } = parseJson(join(folder, 'tokenizer.json'), whole, tokenizerSchema);
  return new Map([...Object.entries(model.vocab), ...added.map((token) => [token.content, token.id] as const)]);
}

/** Token → id of vocab.json and added_tokens.json. */
async function listedIds(folder: string, text: (name: string) => string | undefined): Promise<Map<string, number>> {
  const missing = ['vocab.json', 'merges.txt'].find((name) => text(name) === undefined);
  if (missing !== undefined) throw await missingFile(folder, missing);
  const json = <T>(name: string, schema: z.ZodType<T>) => parseJson(join(folder, name), text(name) ?? '{}', schema);
  const { tokenizer_class: kind } = json('tokenizer_config.json', z.looseObject({ tokenizer_class: z.string().optional() }));
  if (kind !== undefined && !SPLIT_AS_GPT2.test(kind)) {
    throw formatError(
      `${folder}: tokenizer`,
      `tokenizer.json for a ${kind}; ${SAVE}`,
      'vocab.json and merges.txt, which do not say how it splits words',
    );
  }
  return new Map([...Object.entries(json('vocab.json', idsSchema)), ...Object.entries(json('added_tokens.json', idsSchema))]);
}

async function missingFile(folder: string, name: string): Promise<MiphaError> {
  const sentencepiece = (await readIfPresent(folder, 'tokenizer.model')) !== undefined;
  const path = join(folder, sentencepiece ? 'tokenizer.json' : name);
  const remedy = sentencepiece
    ? `tokenizer.model alone does not say all that a tokenizer does; ${SAVE}`
    : 'a tokenizer is tokenizer.json, or vocab.json with merges.txt';
  return new MiphaError('ERR_MODEL_MISSING', `${path}: no such file; ${remedy}`, { details: { path, remedy } });
}
