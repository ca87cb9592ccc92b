/** The tokenizer of a random model: the shipped one, with whatever tokens the model's prompt needs. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../addon/load.js';
import { type PromptTemplate, TOKENIZER_FOLDER } from './manifest.js';
import { PHI, tokensOf } from './prompts.js';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.js';

/** `folder`: another one, which must have the tokens. Throws ERR_MODEL_MISSING, ERR_MODEL_FORMAT. */
export async function randomTokenizer(folder: string | undefined, prompt: PromptTemplate): Promise<TokenizerFiles> {
  if (folder !== undefined) return await readTokenizerFiles(folder, prompt);
  const { files, tokens } = await readTokenizerFiles(shippedTokenizer(), PHI);
  const missing = tokensOf(prompt).filter((token) => !tokensOf(PHI).includes(token));
  const edited = (name: string, edit: (json: Record<string, unknown>) => unknown) => {
    const file = files.find((candidate) => candidate.name === name);
    if (file === undefined || missing.length === 0) return;
    file.bytes = new TextEncoder().encode(JSON.stringify(edit(JSON.parse(new TextDecoder().decode(file.bytes)))));
    file.record = { bytes: file.bytes.byteLength, sha256: createHash('sha256').update(file.bytes).digest('hex') };
  };
  edited('added_tokens.json', (added) => ({ ...added, ...Object.fromEntries(missing.map((token, i) => [token, tokens + i])) }));
  edited('tokenizer_config.json', (config) => {
    const special = missing.map((content, i) => [tokens + i, { content, special: true }]);
    return { ...config, added_tokens_decoder: { ...(config.added_tokens_decoder as object), ...Object.fromEntries(special) } };
  });
  return { files, tokens: tokens + missing.length };
}

/** In an installed package only tokenizer/ is there. */
function shippedTokenizer(): string {
  const folders = [TOKENIZER_FOLDER, 'checkpoint'].map((name) => join(packageRoot(), 'models', 'mipha-nano', name));
  return folders.find((folder) => existsSync(folder)) ?? (folders[0] as string);
}
