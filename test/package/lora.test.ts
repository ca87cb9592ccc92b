import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { openAdapter } from '../../src/package/lora.js';
import { readBlocks } from '../../src/package/row-blocks.js';
import { canonicalTensors } from '../../src/package/tensors.js';
import { encodeSafetensors, f32, random, type StoredTensor, type Tensors, TINY, temporaryFolder, tinyTensors, values, writeTiny } from './helpers.js';

const CONFIG = { peft_type: 'LORA', r: 3, lora_alpha: 6, target_modules: ['q_proj', 'fc1'], fan_in_fan_out: false };
const Q = 'model.layers.0.self_attn.q_proj';
const FC1 = 'model.vision_tower.vision_model.encoder.layers.1.mlp.fc1';

function adapterTensors(rank = 3): Tensors {
  const next = random(9);
  const make = (...shape: [number, number]) =>
    f32(
      shape,
      Array.from({ length: shape[0] * shape[1] }, () => next()),
    );
  return {
    [`base_model.model.${Q}.lora_A.weight`]: make(rank, TINY.hidden),
    [`base_model.model.${Q}.lora_B.weight`]: make(TINY.hidden, rank),
    [`base_model.model.${FC1}.lora_A.weight`]: make(rank, TINY.hidden),
    [`base_model.model.${FC1}.lora_B.weight`]: make(TINY.intermediate, rank),
  };
}

async function writeAdapter(tensors: Tensors, config: object = CONFIG): Promise<string> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'adapter_model.safetensors'), encodeSafetensors(tensors));
  return folder;
}

/** The merged tensors of the tiny checkpoint under package names, as values. */
async function merge(tensors: Tensors, config?: object, base = tinyTensors()): Promise<Map<string, Float32Array>> {
  const folder = await temporaryFolder();
  await writeTiny(folder, base);
  const checkpoint = await openCheckpoint(folder);
  try {
    const adapter = await openAdapter(await writeAdapter(tensors, config), checkpoint);
    const all = new Map<string, Float32Array>();
    for (const tensor of canonicalTensors(checkpoint, adapter.sources)) {
      const data = new Float32Array(tensor.rows * tensor.columns);
      for await (const { dtype, shape, bytes, firstRow } of withShape(readBlocks(tensor, 500), tensor.columns))
        data.set(values({ dtype, shape, bytes }), firstRow * tensor.columns);
      all.set(tensor.name, data);
    }
    await adapter.close();
    return all;
  } finally {
    await checkpoint.close();
  }
}

async function* withShape<T extends { rows: number }>(blocks: AsyncIterable<T>, columns: number) {
  for await (const block of blocks) yield { ...block, shape: [block.rows, columns] };
}

/** W + factor · B · A, one value at a time. */
function plain(name: string, factor: number, base: Tensors, adapter: Tensors): number[] {
  const weight = base[`${name}.weight`] as StoredTensor;
  const [a, b] = ['A', 'B'].map((half) => adapter[`base_model.model.${name}.lora_${half}.weight`] as StoredTensor) as [StoredTensor, StoredTensor];
  const [rows, columns] = weight.shape as [number, number];
  const rank = a.shape[0] as number;
  const [w, av, bv] = [values(weight), values(a), values(b)];
  return Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += (bv[row * rank + k] as number) * (av[k * columns + column] as number);
    return (w[at] as number) + factor * sum;
  });
}

function expectClose(received: Float32Array | undefined, expected: number[]): void {
  expect(received?.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(Math.abs((received?.[i] as number) - value)).toBeLessThan(2 ** -20 * (1 + Math.abs(value)));
}

describe('merging', () => {
  it.each<[string, object, number, number]>([
    ['alpha / r', CONFIG, 3, 2],
    ['alpha / √r for rank-stabilised adapters', { ...CONFIG, use_rslora: true }, 3, 6 / Math.sqrt(3)],
    ['a rank above one pass', { ...CONFIG, r: 8 }, 8, 6 / 8],
    ['rank 1', { ...CONFIG, r: 1 }, 1, 6],
  ])('adds %s times B · A', async (_, config, rank, factor) => {
    const [base, adapter] = [tinyTensors(), adapterTensors(rank)];
    const merged = await merge(adapter, config);
    expectClose(merged.get('language.layers.0.qkv.weight')?.subarray(0, TINY.hidden ** 2), plain(Q, factor, base, adapter));
    expectClose(merged.get('vision.layers.1.up.weight'), plain(FC1, factor, base, adapter));
  });

  it('leaves everything else as it is', async () => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    const merged = await merge(adapterTensors());
    const untouched = values(tinyTensors()['model.layers.0.self_attn.k_proj.weight'] as StoredTensor);
    expect(merged.get('language.layers.0.qkv.weight')?.subarray(TINY.hidden ** 2, 2 * TINY.hidden ** 2)).toEqual(untouched);
    expect(merged.get('language.layers.1.down.weight')).toEqual(values(tinyTensors()['model.layers.1.mlp.fc2.weight'] as StoredTensor));
  });

  it('replaces whole tensors that were trained beside', async () => {
    const bias = Array.from({ length: TINY.hidden }, (_, i) => i / 8);
    for (const name of [
      'model.mm_projector.2.bias',
      'model.mm_projector.2.modules_to_save.bias',
      'model.mm_projector.2.modules_to_save.default.bias',
    ]) {
      const merged = await merge({ ...adapterTensors(), [`base_model.model.${name}`]: f32([TINY.hidden], bias) });
      expect([...(merged.get('projector.1.bias') ?? [])]).toEqual(bias);
    }
  });
});

describe('refusals', () => {
  const renamed = (from: string, to: string) =>
    Object.fromEntries(Object.entries(adapterTensors()).map(([name, tensor]) => [name.replace(from, to), tensor]));
  it.each<[string, () => Tensors, object, RegExp]>([
    ['another rank than r', () => adapterTensors(4), CONFIG, /lora_A of .*q_proj.weight: expected shape \[3,16\], received \[4,16\]/],
    [
      'a target the checkpoint lacks',
      () => renamed('layers.0.self_attn', 'layers.7.self_attn'),
      CONFIG,
      /a tensor model.layers.7.self_attn.q_proj.weight in the checkpoint/,
    ],
    [
      'A without B',
      () => ({ [`base_model.model.${Q}.lora_A.weight`]: f32([3, 16], new Float32Array(48)) }),
      CONFIG,
      /lora_B of .*received no such tensor/,
    ],
    ['no pairs', () => ({}), CONFIG, /at least one pair/],
    ['a listed target without a pair', adapterTensors, { ...CONFIG, target_modules: ['q_proj', 'dense'] }, /a LoRA pair for dense/],
    ['a name that is no part of an adapter', () => ({ ...adapterTensors(), stray: f32([1], [1]) }), CONFIG, /stray/],
    [
      'embedding adapters',
      () => ({ ...adapterTensors(), 'base_model.model.model.embed_tokens.lora_embedding_A': f32([3, 24], new Float32Array(72)) }),
      CONFIG,
      /lora_embedding_A/,
    ],
    [
      'a replacement of another shape',
      () => ({ ...adapterTensors(), 'base_model.model.lm_head.bias': f32([1], [1]) }),
      CONFIG,
      /expected shape \[24\], received \[1\]/,
    ],
    [
      'a replacement of nothing',
      () => ({ ...adapterTensors(), 'base_model.model.nothing': f32([1], [1]) }),
      CONFIG,
      /a tensor nothing in the checkpoint/,
    ],
    ['transposed layers', adapterTensors, { ...CONFIG, fan_in_fan_out: true }, /fan_in_fan_out: expected false/],
    ['DoRA', adapterTensors, { ...CONFIG, use_dora: true }, /use_dora/],
    ['another method', adapterTensors, { ...CONFIG, peft_type: 'IA3' }, /peft_type/],
    ['ranks per layer', adapterTensors, { ...CONFIG, rank_pattern: { q_proj: 4 } }, /rank_pattern/],
    ['no rank', adapterTensors, { lora_alpha: 1 }, /adapter_config.json: r: /],
  ])('%s', async (_, tensors, config, message) => {
    await expect(merge(tensors(), config)).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) });
  });

  it('pickled weights beside the adapter', async () => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    const checkpoint = await openCheckpoint(folder);
    const adapter = await writeAdapter(adapterTensors());
    await writeFile(join(adapter, 'non_lora_trainables.bin'), '');
    await expect(openAdapter(adapter, checkpoint)).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/non_lora_trainables.bin: pickled/),
    });
    await expect(openAdapter(join(adapter, 'none'), checkpoint)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING' });
    await checkpoint.close();
  });
});
