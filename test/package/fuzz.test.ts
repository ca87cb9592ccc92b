/** Thousands of repeatable mutations: each ends in success or in a MiphaError of the model kind, never in another exception. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/engine/tokenizer.js';
import { MiphaError } from '../../src/errors.js';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { convert } from '../../src/package/convert.js';
import { openAdapter } from '../../src/package/lora.js';
import { PHI } from '../../src/package/prompts.js';
import { canonicalTensors, readReferenceTensors } from '../../src/package/tensors.js';
import { readTokenizerFiles } from '../../src/package/tokenizer-files.js';
import { openPackage } from '../../src/package/verify.js';
import { counts, THOROUGH } from '../support/counts.js';
import { gpt2Vocabulary, phiFile } from '../support/gpt2.js';
import { encodeSafetensors, f32, TINY, temporaryFolder, tinyConfig, tinyTensors, writeTiny } from './helpers.js';

/** Whole numbers below `limit`, repeatable. */
function dice(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

const WORDS = [
  '-1',
  '0',
  '1e308',
  '18446744073709551616',
  'null',
  'true',
  '[]',
  '{}',
  '""',
  '"../x"',
  '"__proto__"',
  '9007199254740993',
  '0.5',
  'F64',
  '\u0000',
];

/** Flips, cuts, doubles, overwrites or swaps in a few places; JSON values and whole stretches too. `within` limits the places. */
function mutate(bytes: Uint8Array, roll: (limit: number) => number, within = bytes.byteLength): Uint8Array {
  let mutated = Buffer.from(bytes);
  for (let n = 1 + roll(3); n > 0 && mutated.byteLength > 0; n--) {
    const at = roll(Math.min(within, mutated.byteLength));
    const kind = roll(6);
    if (kind === 0) mutated[at] = (mutated[at] as number) ^ (1 << roll(8));
    else if (kind === 1) mutated[at] = roll(256);
    else if (kind === 2) mutated = mutated.subarray(0, at);
    else if (kind === 3) mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(Math.max(0, at - roll(64)))]);
    else if (kind === 4) mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + roll(64))]);
    else mutated = replaceValue(mutated, at, WORDS[roll(WORDS.length)] as string);
  }
  return mutated;
}

/** Puts `word` in place of the JSON value that follows the next colon. */
function replaceValue(bytes: Buffer<ArrayBuffer>, at: number, word: string): Buffer<ArrayBuffer> {
  const colon = bytes.indexOf(':', at);
  if (colon < 0) return bytes;
  const ends = [',', '}', ']'].map((end) => bytes.indexOf(end, colon)).filter((end) => end > 0);
  return Buffer.concat([bytes.subarray(0, colon + 1), Buffer.from(word), bytes.subarray(Math.min(bytes.byteLength, ...ends))]);
}

async function outcome(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return 'success';
  } catch (error) {
    if (error instanceof MiphaError && error.code.startsWith('ERR_MODEL_')) return error.code;
    throw error;
  }
}

/** Mutates one file of `folder` `rounds` times and counts the outcomes. */
async function rounds(path: string, count: number, seed: number, action: () => Promise<unknown>, within?: number): Promise<Record<string, number>> {
  const original = await readFile(path);
  const roll = dice(seed);
  const outcomes: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    await writeFile(path, mutate(original, roll, within));
    const result = await outcome(action).catch((error: unknown) => {
      throw new Error(`round ${i} of ${path}`, { cause: error });
    });
    outcomes[result] = (outcomes[result] ?? 0) + 1;
  }
  await writeFile(path, original);
  return outcomes;
}

async function readAll(folder: string): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  try {
    await readTokenizerFiles(folder, PHI);
    for await (const { data } of readReferenceTensors(checkpoint)) expect(data.length).toBeGreaterThan(0);
  } finally {
    await checkpoint.close();
  }
}

describe('a mutated checkpoint', () => {
  it.each([
    ['model.safetensors, its header', 'model.safetensors', counts(100, 1500), 8000],
    ['model.safetensors, anywhere', 'model.safetensors', counts(40, 500), undefined],
    ['config.json', 'config.json', counts(100, 1500), undefined],
    ['vocab.json', 'vocab.json', counts(80, 500), undefined],
  ])('%s', async (_, file, count, within) => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    const outcomes = await rounds(join(folder, file), count, 7, () => readAll(folder), within);
    expect(outcomes.ERR_MODEL_FORMAT).toBeGreaterThan(count / 10);
    expect(Object.values(outcomes).reduce((a, b) => a + b)).toBe(count);
  });

  it('its tokenizer.json', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'tokenizer.json');
    const { vocab, merges } = gpt2Vocabulary();
    const small = (id: number) => id < 300;
    const model = {
      ...{ type: 'BPE', vocab: Object.fromEntries(Object.entries(vocab).filter(([, id]) => small(id))) },
      merges: merges.filter((_, index) => small(256 + index)),
    };
    await writeFile(path, JSON.stringify({ ...phiFile(), model, added_tokens: [{ id: 300, content: '<|endoftext|>', special: true }] }));
    const count = counts(80, 500);
    const outcomes = await rounds(path, count, 13, async () => {
      await readTokenizerFiles(folder, PHI);
      for (const id of (await loadTokenizer(folder)).encode('the 1st time, in')) expect(id).toBeGreaterThanOrEqual(0);
    });
    expect(outcomes.ERR_MODEL_FORMAT).toBeGreaterThan(count / 10);
  });

  it('its index', async () => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    const map = Object.fromEntries(Object.keys(tinyTensors()).map((name) => [name, 'model.safetensors']));
    await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    const count = counts(75, 1000);
    const outcomes = await rounds(join(folder, 'model.safetensors.index.json'), count, 11, () => readAll(folder));
    expect(outcomes.ERR_MODEL_FORMAT).toBeGreaterThan(count / 2);
    if (THOROUGH) expect(outcomes).toMatchObject({ success: expect.any(Number), ERR_MODEL_MISSING: expect.any(Number) }); // both are rare
  });

  it('its adapter', async () => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    const adapter = await temporaryFolder();
    const name = 'base_model.model.model.layers.0.mlp.fc1';
    const pair = {
      [`${name}.lora_A.weight`]: f32([2, TINY.hidden], new Float32Array(2 * TINY.hidden)),
      [`${name}.lora_B.weight`]: f32([TINY.intermediate, 2], new Float32Array(2 * TINY.intermediate)),
    };
    await writeFile(join(adapter, 'adapter_config.json'), JSON.stringify({ r: 2, lora_alpha: 4, target_modules: ['fc1'] }));
    await writeFile(join(adapter, 'adapter_model.safetensors'), encodeSafetensors(pair));
    const open = async () => {
      const checkpoint = await openCheckpoint(folder);
      try {
        const opened = await openAdapter(adapter, checkpoint);
        canonicalTensors(checkpoint, opened.sources);
        await opened.close();
      } finally {
        await checkpoint.close();
      }
    };
    const count = counts(80, 500);
    for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
      expect((await rounds(join(adapter, file), count, 13, open)).ERR_MODEL_FORMAT).toBeGreaterThan(count / 5);
  });

  it('converts or is refused, and leaves nothing half done', async () => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    const outs = join(await temporaryFolder(), 'outs');
    await mkdir(outs);
    let n = 0;
    const count = counts(30, 150);
    const outcomes = await rounds(join(folder, 'model.safetensors'), count, 17, () => convert(folder, join(outs, String(n++))));
    expect(await readdir(outs)).toHaveLength(outcomes.success ?? 0);
    expect(outcomes.ERR_MODEL_FORMAT).toBeGreaterThan(count / 3);
  });
});

describe('a mutated package', () => {
  it.each([
    ['manifest.json', counts(60, 1000)],
    ['weights.safetensors', counts(30, 300)],
    ['tokenizer/vocab.json', counts(20, 100)],
  ])('%s', async (file, count) => {
    const from = await temporaryFolder();
    await writeTiny(from, tinyTensors(), tinyConfig());
    const folder = join(await temporaryFolder(), 'package');
    await convert(from, folder);
    const outcomes = await rounds(join(folder, file), count, 19, () => openPackage(folder));
    if (file !== 'manifest.json') expect(outcomes.ERR_MODEL_CHECKSUM).toBeGreaterThan(count * 0.9);
    else expect(outcomes.ERR_MODEL_FORMAT).toBeGreaterThan(count / 2);
  });
});
