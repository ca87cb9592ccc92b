import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { convert } from '../../src/package/convert.js';
import { toFloat32 } from '../../src/package/floats.js';
import { parseManifest } from '../../src/package/manifest.js';
import { PHI } from '../../src/package/prompts.js';
import { readReferenceTensors } from '../../src/package/tensors.js';
import { openPackage } from '../../src/package/verify.js';
import { testAddon } from '../support/test-addon.js';
import {
  bf16,
  decodeSafetensors,
  encodeSafetensors,
  f32,
  type StoredTensor,
  TINY,
  temporaryFolder,
  tinyConfig,
  tinyTensors,
  values,
  writeTiny,
} from './helpers.js';

const NANO = 'models/mipha-nano/checkpoint';

async function tinyFolder(edit: (tensors: ReturnType<typeof tinyTensors>) => void = () => undefined): Promise<string> {
  const folder = await temporaryFolder();
  const tensors = tinyTensors();
  edit(tensors);
  await writeTiny(folder, tensors);
  return folder;
}

async function weightsOf(folder: string) {
  return decodeSafetensors(await readFile(join(folder, 'weights.safetensors')));
}

describe('mipha-nano', () => {
  it('becomes a package whose every value is within half a step of the checkpoint, clipped ones aside', async () => {
    const out = join(await temporaryFolder(), 'nano');
    const progress: number[] = [];
    await convert(NANO, out, { name: 'mipha-nano', onProgress: (_, fraction) => progress.push(fraction) });
    const { manifest } = await openPackage(out);
    const stored = await weightsOf(out);
    const checkpoint = await openCheckpoint(NANO);
    const seen = new Set<string>();
    for await (const { name, shape, data } of readReferenceTensors(checkpoint)) {
      const tensor = stored[name] as StoredTensor;
      expect(tensor.shape, name).toEqual(shape);
      seen.add(name);
      if (tensor.dtype === 'F32') expect(values(tensor), name).toEqual(data);
      else if (tensor.dtype === 'F16')
        expect(largestError(toFloat32(tensor.bytes.slice() as Uint8Array<ArrayBuffer>, 'F16'), data), name).toBeLessThan(2 ** -11);
      else {
        seen.add(name.replace(/weight$/, 'scale'));
        checkRows(name, new Int8Array(tensor.bytes.slice().buffer), values(stored[name.replace(/weight$/, 'scale')] as StoredTensor), data);
      }
    }
    await checkpoint.close();
    expect(Object.keys(stored).sort()).toEqual([...seen].sort());
    expect(stored['vision.patch_embedding.weight']?.dtype).toBe('F16');
    expect(manifest).toMatchObject({
      name: 'mipha-nano',
      prompt: PHI,
      architecture: { vision: { layers: 4 }, language: { tokens: 559, vocab: 576 } },
    });
    expect(manifest.recipe).toMatchObject({ 'vision.patch_embedding': 'f16', 'language.head': 'w8a8', 'vision.layers.3.down': 'w8a8' });
    expect(Object.keys(manifest.recipe)).toHaveLength(1 + 4 * 4 + 2 + 1 + 4 * 4 + 1);
    expect(Object.keys(manifest.source.files).sort()).toEqual(
      [
        'added_tokens.json',
        'config.json',
        'merges.txt',
        'model.safetensors',
        'preprocessor_config.json',
        'special_tokens_map.json',
        'tokenizer_config.json',
        'vocab.json',
      ].sort(),
    );
    expect(progress.at(-1)).toBe(1);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  });

  it('gives a manifest that the native reader takes', async () => {
    const out = join(await temporaryFolder(), 'nano');
    await convert(NANO, out);
    const text = await readFile(join(out, 'manifest.json'), 'utf8');
    expect(() => testAddon().reference(text)).not.toThrow();
    expect(() => testAddon().reference(text.replace('"heads": 3', '"heads": 5'))).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });

  it('gives the same bytes twice', async () => {
    const folder = await temporaryFolder();
    const selfTest = async () => ({ ids: [1, 2, 3] });
    for (const out of ['a', 'b']) await convert(NANO, join(folder, out), { name: 'x', selfTest });
    for (const file of ['manifest.json', 'weights.safetensors', 'golden.json', 'tokenizer/vocab.json'])
      expect(Buffer.compare(await readFile(join(folder, 'a', file)), await readFile(join(folder, 'b', file))), file).toBe(0);
  });
});

function largestError(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0);
}

/** Every weight is the nearest step, or ±127 for what lies beyond the range. */
function checkRows(name: string, weight: Int8Array, scale: Float32Array, data: Float32Array): void {
  const columns = data.length / scale.length;
  let worst = 0;
  for (let i = 0; i < data.length; i++) {
    const step = scale[Math.floor(i / columns)] as number;
    const steps = step === 0 ? 0 : (data[i] as number) / step;
    worst = Math.max(worst, Math.abs(Math.max(-127, Math.min(127, steps)) - (weight[i] as number)));
  }
  expect(worst, name).toBeLessThan(0.5001);
  expect(weight.includes(-128), name).toBe(false);
}

describe('a matrix larger than a block', () => {
  const vocab = 262_136; // 16.8 MB in F32: two blocks and a bit
  const tall = (edit: (data: Float32Array) => void = () => undefined) => {
    const data = Float32Array.from({ length: vocab * TINY.hidden }, (_, i) => (1 + (Math.floor(i / TINY.hidden) % 97)) * (((i * 7) % 23) - 11));
    edit(data);
    return f32([vocab, TINY.hidden], data);
  };
  const write = async (head: StoredTensor) => {
    const folder = await temporaryFolder();
    const bias = bf16([vocab], new Float32Array(vocab));
    const tensors = { ...tinyTensors(), 'model.embed_tokens.weight': tall(), 'lm_head.weight': head, 'lm_head.bias': bias };
    await writeTiny(folder, tensors, { ...tinyConfig(), vocab_size: vocab });
    return folder;
  };

  it('has the scale of each row in its place', async () => {
    const head = tall();
    const out = join(await temporaryFolder(), 'out');
    await convert(await write(head), out);
    const stored = await weightsOf(out);
    const weight = new Int8Array((stored['language.head.weight'] as StoredTensor).bytes.slice().buffer);
    checkRows('language.head.weight', weight, values(stored['language.head.scale'] as StoredTensor), values(head));
  });

  it.each(['w8a8', 'f16'] as const)('has a NaN named by its row in the whole, stored as %s', async (precision) => {
    const from = await write(tall((data) => data.fill(NaN, 262_130 * TINY.hidden + 3)));
    const conversion = convert(from, join(await temporaryFolder(), 'out'), { recipe: { 'language.head': precision } });
    await expect(conversion).rejects.toMatchObject({ message: expect.stringMatching(/language.head.weight: .*row 262130, column 3/) });
  });
});

describe('recipe', () => {
  it('keeps a matrix in F16, without scales', async () => {
    const out = join(await temporaryFolder(), 'out');
    const manifest = await convert(await tinyFolder(), out, { recipe: { 'language.layers.1.down': 'f16' } });
    const stored = await weightsOf(out);
    expect(manifest.recipe['language.layers.1.down']).toBe('f16');
    expect(stored['language.layers.1.down.weight']).toMatchObject({ dtype: 'F16', shape: [TINY.hidden, TINY.intermediate] });
    expect(stored).not.toHaveProperty(['language.layers.1.down.scale']);
    expect(stored).toHaveProperty(['language.layers.0.down.scale']);
  });

  it.each([
    [{ 'language.layers.1.upp': 'f16' }, /recipe: .*did you mean language.layers.1.up/],
    [{ 'language.head': 'w4' }, /recipe.language.head: expected w8a8 or w8a16 or f16/],
    [{ 'vision.patch_embedding': 'w8a8' }, /recipe.vision.patch_embedding: expected f16/],
  ])('refuses %j', async (recipe, message) => {
    const conversion = convert(await tinyFolder(), join(await temporaryFolder(), 'out'), { recipe: recipe as never });
    await expect(conversion).rejects.toMatchObject({ code: 'ERR_OPTION', message: expect.stringMatching(message) });
  });
});

describe('LoRA', () => {
  it('is merged and named in the manifest', async () => {
    const folder = await temporaryFolder();
    const lora = (name: string, shape: number[], value: number) => ({
      [`base_model.model.lm_head.lora_${name}.weight`]: f32(shape, new Float32Array((shape[0] as number) * (shape[1] as number)).fill(value)),
    });
    await writeFile(join(folder, 'adapter_config.json'), JSON.stringify({ r: 1, lora_alpha: 1, target_modules: ['lm_head'] }));
    await writeFile(
      join(folder, 'adapter_model.safetensors'),
      encodeSafetensors({ ...lora('A', [1, TINY.hidden], 1), ...lora('B', [TINY.vocab, 1], 100) }),
    );
    const out = join(await temporaryFolder(), 'out');
    const manifest = await convert(await tinyFolder(), out, { lora: folder });
    expect(Object.keys(manifest.lora?.files ?? {})).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const scale = values((await weightsOf(out))['language.head.scale'] as StoredTensor);
    for (const value of scale) expect(value * 127).toBeGreaterThan(80); // 100 ± 1, after a clipping of at most a fifth
  });
});

describe('nothing is left behind by', () => {
  const attempt = async (from: string, options: Parameters<typeof convert>[2]) => {
    const parent = await temporaryFolder();
    const error = await convert(from, join(parent, 'out'), options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(await readdir(parent)).toEqual([]);
    return error;
  };

  it('an abort at any point of the way', async () => {
    for (const at of [0, 0.001, 0.3, 0.7, 1]) {
      const stop = new AbortController();
      if (at === 0) stop.abort(new Error('stop'));
      const onProgress = (_: string, fraction: number) => void (fraction >= at && stop.abort(new Error('stop')));
      expect(await attempt(NANO, { signal: stop.signal, onProgress, selfTest: async () => ({}) })).toMatchObject({ message: 'stop' });
    }
  });

  it('a failing self-test, which sees a package that opens', async () => {
    let opened = '';
    const selfTest = async (folder: string) => {
      opened = (await openPackage(folder)).manifest.name;
      throw new Error('wrong answer');
    };
    expect(await attempt(NANO, { name: 'nano', selfTest })).toMatchObject({ message: 'wrong answer' });
    expect(opened).toBe('nano');
  });

  it('a NaN in a matrix, named with row and column', async () => {
    const from = await tinyFolder((tensors) => {
      const data = values(tensors['model.layers.0.self_attn.v_proj.weight'] as StoredTensor);
      data[5 * TINY.hidden + 7] = NaN;
      tensors['model.layers.0.self_attn.v_proj.weight'] = bf16([TINY.hidden, TINY.hidden], data);
    });
    expect(await attempt(from, {})).toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: 'Tensor language.layers.0.qkv.weight: expected finite values, received NaN at row 37, column 7',
      details: { tensor: 'language.layers.0.qkv.weight', row: 37, column: 7 },
    });
  });

  it('an infinity in a bias', async () => {
    const from = await tinyFolder((tensors) => {
      tensors['lm_head.bias'] = bf16([TINY.vocab], new Float32Array(TINY.vocab).fill(-Infinity, 4));
    });
    expect(await attempt(from, {})).toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/language.head.bias: .*-Infinity at row 4/),
    });
  });

  it('a value that F16 cannot hold', async () => {
    const from = await tinyFolder((tensors) => {
      const data = new Float32Array(TINY.hidden * TINY.patchValues).fill(70000, 600, 601);
      tensors['model.vision_tower.vision_model.embeddings.patch_embedding.weight'] = f32([TINY.hidden, 3, 14, 14], data);
    });
    expect(await attempt(from, {})).toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/vision.patch_embedding.weight: .*70000 at row 1, column 12/),
    });
  });

  it('a checkpoint without a tokenizer', async () => {
    expect(await attempt('test/fixtures/fused/checkpoint', {})).toMatchObject({
      code: 'ERR_MODEL_MISSING',
      message: expect.stringMatching(/vocab.json: no such file; a tokenizer is/),
    });
  });
});

describe('the output folder', () => {
  it('must not exist, not even empty', async () => {
    const out = await temporaryFolder();
    await expect(convert(NANO, out)).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option: 'out', received: out } });
    expect(await readdir(out)).toEqual([]);
  });

  it('may stand in folders that are made on the way, and must end where none can be made', async () => {
    const source = await tinyFolder();
    const out = join(await temporaryFolder(), 'a', 'b', 'package');
    await convert(source, out);
    expect(await readdir(join(out, '..'))).toEqual(['package']);
    await expect(convert(source, '/proc/nowhere/package')).rejects.toMatchObject({ code: 'ERR_OPTION' });
  });

  it('must be possible', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    await expect(convert(NANO, join(file, 'out'))).rejects.toMatchObject({ code: 'ERR_OPTION' });
  });

  it('keeps what someone else put there meanwhile', async () => {
    const parent = await temporaryFolder();
    const selfTest = async () => {
      await writeFile(join(parent, 'out'), 'theirs');
      return {};
    };
    await expect(convert(NANO, join(parent, 'out'), { selfTest })).rejects.toMatchObject({ code: 'ERR_OPTION' });
    expect(await readdir(parent)).toEqual(['out']);
  });
});

const WHOLE = {
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
  model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
  added_tokens: [{ id: 21, content: '<|endoftext|>', special: true }],
};
const SPLIT = { type: 'Split', pattern: { String: ' ' } };

describe('tokenizer', () => {
  it('from tokenizer.json alone', async () => {
    const from = await tinyFolder();
    const vocab = JSON.parse(await readFile(join(from, 'vocab.json'), 'utf8')) as Record<string, number>;
    for (const name of ['vocab.json', 'merges.txt']) await rm(join(from, name));
    delete vocab['<|endoftext|>'];
    await writeFile(join(from, 'tokenizer.json'), JSON.stringify({ ...WHOLE, model: { type: 'BPE', vocab, merges: [] } }));
    const manifest = await convert(from, join(await temporaryFolder(), 'out'));
    expect(manifest).toMatchObject({ prompt: PHI, architecture: { language: { tokens: 22 } } });
    expect(Object.keys(manifest.files)).toContain('tokenizer/tokenizer.json');
  });

  it.each<[string, object, RegExp]>([
    ['another kind of model', { model: { ...WHOLE.model, type: 'Unigram' } }, /tokenizer.json: model.type: .*BPE/],
    ['a normalizer that is not computed', { normalizer: { type: 'Precompiled' } }, /tokenizer.json: normalizer/],
    ['a space before every text', { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }, /pre_tokenizer.add_prefix_space: .*false/],
    ['words that it drops', { pre_tokenizer: { ...SPLIT, behavior: 'Removed', invert: false } }, /pre_tokenizer: expected to keep all of the text/],
    ['merges of three', { model: { ...WHOLE.model, merges: ['a b c'] } }, /model.merges.0: expected two symbols/],
    ['added tokens that must stand alone', { added_tokens: [{ ...WHOLE.added_tokens[0], single_word: true }] }, /added_tokens.0.single_word/],
  ])('with %s in tokenizer.json is refused before anything is written', async (_, change, message) => {
    const from = await tinyFolder();
    await writeFile(join(from, 'tokenizer.json'), JSON.stringify({ ...WHOLE, ...change }));
    const parent = await temporaryFolder();
    await expect(convert(from, join(parent, 'out'))).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) });
    expect(await readdir(parent)).toEqual([]);
  });

  it('of sentencepiece alone is refused with the way to tokenizer.json', async () => {
    const from = await tinyFolder();
    for (const name of ['vocab.json', 'merges.txt']) await rm(join(from, name));
    await writeFile(join(from, 'tokenizer.model'), 'not read');
    const error = await convert(from, join(await temporaryFolder(), 'out')).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'ERR_MODEL_MISSING', details: { path: join(from, 'tokenizer.json') } });
    expect(error.message).toMatch(/tokenizer.model alone .* AutoTokenizer.from_pretrained\(FOLDER\).save_pretrained\(FOLDER\)/);
  });

  it('whose words the vocabulary does not tell is refused without tokenizer.json', async () => {
    const from = await tinyFolder();
    await writeFile(join(from, 'tokenizer_config.json'), JSON.stringify({ tokenizer_class: 'Qwen2Tokenizer' }));
    await expect(convert(from, join(await temporaryFolder(), 'out'))).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/expected tokenizer.json for a Qwen2Tokenizer; .*save_pretrained/),
    });
  });

  it.each([
    ['no end token', '{"a":0}', /a token <\|endoftext\|>/],
    ['more ids than rows', '{"<|endoftext|>":24}', /at most 24 ids, .* received 25/],
    ['ids that are no numbers', '{"a":"b"}', /vocab.json: a: /],
  ])('with %s is refused', async (_, vocab, message) => {
    const from = await tinyFolder();
    await writeFile(join(from, 'vocab.json'), vocab);
    await expect(convert(from, join(await temporaryFolder(), 'out'))).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(message),
    });
  });
});

it('writes a manifest that reads back to itself', async () => {
  const out = join(await temporaryFolder(), 'out');
  const manifest = await convert(await tinyFolder(), out, { selfTest: async () => ({ ids: [] }) });
  expect(parseManifest('', await readFile(join(out, 'manifest.json'), 'utf8'))).toEqual(manifest);
  expect(Object.keys(manifest.files).sort()).toEqual(['golden.json', 'tokenizer/merges.txt', 'tokenizer/vocab.json', 'weights.safetensors']);
});
