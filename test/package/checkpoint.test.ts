import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { readBlocks } from '../../src/package/row-blocks.js';
import { openSafetensors } from '../../src/package/safetensors.js';
import { canonicalTensors, readReferenceTensors } from '../../src/package/tensors.js';
import {
  encodeSafetensors,
  f32,
  type StoredTensor,
  type Tensors,
  TINY,
  temporaryFolder,
  tinyConfig,
  tinyTensors,
  values,
  writeTiny,
} from './helpers.js';

const NANO = 'models/mipha-nano/checkpoint';
const FUSED = 'test/fixtures/fused/checkpoint';

async function readAll(folder: string): Promise<Map<string, { shape: number[]; data: Float32Array }>> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const all = new Map<string, { shape: number[]; data: Float32Array }>();
    for await (const { name, shape, data } of readReferenceTensors(checkpoint)) all.set(name, { shape, data });
    return all;
  } finally {
    await checkpoint.close();
  }
}

async function tiny(tensors?: Tensors, config?: object): Promise<string> {
  const folder = await temporaryFolder();
  await writeTiny(folder, tensors, config);
  return folder;
}

/** Moves the tensors into two files with an index, whose entries `edit` may change. */
async function shard(folder: string, edit: (map: Record<string, string>) => void = () => undefined): Promise<void> {
  const entries = Object.entries(tinyTensors());
  const files = ['a.safetensors', 'b.safetensors'] as const;
  const map: Record<string, string> = {};
  for (const [i, half] of [entries.slice(0, 40), entries.slice(40)].entries()) {
    await writeFile(join(folder, files[i] as string), encodeSafetensors(Object.fromEntries(half)));
    for (const [name] of half) map[name] = files[i] as string;
  }
  edit(map);
  await rm(join(folder, 'model.safetensors'));
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
}

describe('names and shapes', () => {
  it('of mipha-nano: split attention, one file, four of five tower layers', async () => {
    const all = await readAll(NANO);
    const shapes = Object.fromEntries([...all].map(([name, { shape }]) => [name, shape.join()]));
    expect(shapes).toMatchObject({
      'vision.patch_embedding.weight': '216,588',
      'vision.position_embedding': '64,216',
      'vision.layers.3.qkv.weight': '648,216',
      'vision.layers.3.up.weight': '808,216',
      'vision.layers.3.norm2.bias': '216',
      'projector.0.weight': '320,216',
      'projector.1.weight': '320,320',
      'language.embedding.weight': '576,320',
      'language.layers.3.qkv.weight': '960,320',
      'language.layers.3.out.bias': '320',
      'language.layers.3.norm1.weight': '320',
      'language.final_norm.weight': '320',
      'language.head.weight': '576,320',
      'language.head.bias': '576',
    });
    expect(Object.keys(shapes).filter((name) => name.startsWith('vision.layers.4') || name.startsWith('language.layers.4'))).toEqual([]);
    expect(all.size).toBe(3 + 4 * 12 + 2 * 2 + 1 + 4 * 10 + 2 + 2);
  });

  it('of the fused fixture: two shards, all three tower layers, no tokenizer needed', async () => {
    const all = await readAll(FUSED);
    expect(all.get('language.layers.2.qkv.weight')?.shape).toEqual([384, 128]);
    expect(all.get('vision.layers.2.down.weight')?.shape).toEqual([96, 200]);
    expect(all.get('vision.position_embedding')?.shape).toEqual([196, 96]);
  });
});

describe('attention rows', () => {
  it('are all q, all k, all v from split tensors', async () => {
    const tensors = tinyTensors();
    const data = (await readAll(await tiny(tensors))).get('language.layers.1.qkv.weight')?.data;
    const parts = ['q', 'k', 'v'].flatMap((part) => [...values(tensors[`model.layers.1.self_attn.${part}_proj.weight`] as StoredTensor)]);
    expect([...(data ?? [])]).toEqual(parts);
  });

  it('are the same from a fused tensor, whose rows go head by head', async () => {
    const tensors = tinyTensors();
    const split = await readAll(await tiny(tensors));
    const headSize = TINY.hidden / TINY.heads;
    for (let layer = 0; layer < TINY.languageLayers; layer++)
      for (const part of ['weight', 'bias']) {
        const attention = `model.layers.${layer}.self_attn`;
        const columns = part === 'weight' ? TINY.hidden : 1;
        const rows: number[] = [];
        for (let head = 0; head < TINY.heads; head++)
          for (const which of ['q', 'k', 'v']) {
            const from = values(tensors[`${attention}.${which}_proj.${part}`] as StoredTensor);
            rows.push(...from.subarray(head * headSize * columns, (head + 1) * headSize * columns));
          }
        for (const which of ['q', 'k', 'v']) delete tensors[`${attention}.${which}_proj.${part}`];
        tensors[`${attention}.query_key_value.${part}`] = f32(part === 'weight' ? [3 * TINY.hidden, columns] : [3 * TINY.hidden], rows);
      }
    expect(await readAll(await tiny(tensors))).toEqual(split);
  });
});

describe('types', () => {
  it('BF16, F16 and F32 may be mixed, within one attention matrix too', async () => {
    const tensors = tinyTensors();
    const plain = await readAll(await tiny(tensors));
    for (const [i, [name, tensor]] of Object.entries(tensors).entries()) if (i % 2 === 1) tensors[name] = f32(tensor.shape, values(tensor));
    const ones = new Uint16Array(TINY.hidden).fill(0x3c00);
    tensors['model.final_layernorm.weight'] = { dtype: 'F16', shape: [TINY.hidden], bytes: new Uint8Array(ones.buffer) };
    const mixed = await readAll(await tiny(tensors));
    expect([...(mixed.get('language.final_norm.weight')?.data ?? [])]).toEqual(new Array(TINY.hidden).fill(1));
    for (const [name, { data }] of plain) if (name !== 'language.final_norm.weight') expect(mixed.get(name)?.data, name).toEqual(data);
  });

  it('anything else is refused where it is needed and ignored where it is not', async () => {
    const tensors = tinyTensors();
    tensors['model.vision_tower.vision_model.embeddings.position_ids'] = { dtype: 'I64', shape: [1, 4], bytes: new Uint8Array(32) };
    await readAll(await tiny(tensors));
    tensors['lm_head.bias'] = { dtype: 'I64', shape: [TINY.vocab], bytes: new Uint8Array(8 * TINY.vocab) };
    await expect(readAll(await tiny(tensors))).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/lm_head.bias: dtype: expected BF16, F16 or F32, received I64/),
    });
  });

  it('blocks cover all rows in order at any block size', async () => {
    const checkpoint = await openCheckpoint(FUSED);
    for (const tensor of canonicalTensors(checkpoint, checkpoint.tensor).slice(0, 40)) {
      for (const bytes of [1, 1000, 65536]) {
        let next = 0;
        for await (const block of readBlocks(tensor, bytes)) {
          expect(block.firstRow).toBe(next);
          expect(block.bytes.byteLength).toBeLessThanOrEqual(Math.max(bytes, tensor.columns * 2));
          next += block.rows;
        }
        expect(next).toBe(tensor.rows);
      }
    }
    await checkpoint.close();
  });
});

describe('projector and head', () => {
  it('a linear projector has no index, identity has no tensors', async () => {
    const tensors = tinyTensors();
    const config = tinyConfig();
    config.vision_config.mm_projector = { mm_projector_type: 'linear' };
    for (const part of ['weight', 'bias']) tensors[`model.mm_projector.${part}`] = tensors[`model.mm_projector.0.${part}`] as StoredTensor;
    const linear = await readAll(await tiny(tensors, config));
    expect([...linear.keys()].filter((name) => name.startsWith('projector'))).toEqual(['projector.0.weight', 'projector.0.bias']);
    config.vision_config.mm_projector = { mm_projector_type: 'identity' };
    const identity = await readAll(await tiny(tinyTensors(), config));
    expect([...identity.keys()].filter((name) => name.startsWith('projector'))).toEqual([]);
  });

  it('a tied head is the embedding', async () => {
    const tensors = tinyTensors();
    delete tensors['lm_head.weight'];
    const all = await readAll(await tiny(tensors, { ...tinyConfig(), tie_word_embeddings: true }));
    expect(all.get('language.head.weight')).toEqual(all.get('language.embedding.weight'));
  });
});

describe('broken checkpoints', () => {
  it.each<[string, (tensors: Tensors) => void, RegExp]>([
    [
      'a missing tensor',
      (t) => delete t['model.layers.1.mlp.fc2.bias'],
      /model.layers.1.mlp.fc2.bias: expected shape \[16\], received no such tensor/,
    ],
    ['a missing half of attention', (t) => delete t['model.layers.0.self_attn.v_proj.weight'], /v_proj.weight: expected shape \[16,16\]/],
    ['a wrong shape', (t) => Object.assign(t, { 'lm_head.bias': f32([3], [1, 2, 3]) }), /lm_head.bias: expected shape \[24\], received \[3\]/],
  ])('%s is named', async (_, edit, message) => {
    const tensors = tinyTensors();
    edit(tensors);
    await expect(readAll(await tiny(tensors))).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) });
  });

  it('absent files are named', async () => {
    const folder = await tiny();
    await expect(openCheckpoint(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING' });
    await rename(join(folder, 'model.safetensors'), join(folder, 'pytorch_model.bin'));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', message: expect.stringMatching(/model.safetensors/) });
    await rm(join(folder, 'config.json'));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', message: expect.stringMatching(/config.json/) });
  });
});

describe('index', () => {
  it('finds every tensor in its shard', async () => {
    const whole = await tiny();
    const sharded = await tiny();
    await shard(sharded);
    expect(await readAll(sharded)).toEqual(await readAll(whole));
  });

  it.each(['../a.safetensors', '/etc/passwd', 'sub/a.safetensors', '..', '', 'a.bin', '.hidden.safetensors', 'a\\b.safetensors', 'a.safetensors\0'])(
    'refuses the entry %j',
    async (file) => {
      const folder = await tiny();
      await shard(folder, (map) => Object.assign(map, { 'lm_head.bias': file }));
      await expect(openCheckpoint(folder)).rejects.toMatchObject({
        code: 'ERR_MODEL_FORMAT',
        message: expect.stringMatching(/lm_head.bias: expected a safetensors file beside the index/),
      });
    },
  );

  it('refuses a link that leads outside', async () => {
    const outside = await temporaryFolder();
    const folder = await tiny();
    await shard(folder);
    await rename(join(folder, 'b.safetensors'), join(outside, 'b.safetensors'));
    await symlink(join(outside, 'b.safetensors'), join(folder, 'b.safetensors'));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/a file inside the checkpoint/),
    });
  });

  it('follows the links of the hub cache into its own blobs', async () => {
    const repository = await temporaryFolder();
    const snapshot = join(repository, 'snapshots', 'revision');
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(repository, 'blobs'));
    await writeTiny(snapshot);
    await rename(join(snapshot, 'model.safetensors'), join(repository, 'blobs', 'abc'));
    await symlink('../../blobs/abc', join(snapshot, 'model.safetensors'));
    expect((await readAll(snapshot)).size).toBeGreaterThan(50);
  });

  it('refuses a shard that lacks what the index says, and one that is not there', async () => {
    const folder = await tiny();
    await shard(folder, (map) => Object.assign(map, { 'lm_head.bias': 'a.safetensors' }));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/a.safetensors: lm_head.bias/),
    });
    const other = await tiny();
    await shard(other, (map) => Object.assign(map, { extra: 'c.safetensors' }));
    await expect(openCheckpoint(other)).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', message: expect.stringMatching(/c.safetensors/) });
  });
});

it('reads the licence from the model card', async () => {
  const folder = await tiny();
  await writeFile(join(folder, 'README.md'), '---\nlicense: apache-2.0\ntags: [vlm]\n---\n# Model\n');
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint.licence).toBe('apache-2.0');
  await checkpoint.close();
});

it('agrees with the stored bytes of mipha-nano', async () => {
  const file = await openSafetensors(join(NANO, 'model.safetensors'));
  const entry = file.tensors.get('model.layers.2.mlp.fc2.weight');
  const bytes = new Uint8Array(entry?.bytes ?? 0);
  await file.read(entry?.offset ?? 0, bytes);
  await file.close();
  const upper = new Uint16Array(
    new Uint32Array((await readAll(NANO)).get('language.layers.2.down.weight')?.data.buffer as ArrayBuffer).map((bits) => bits >>> 16),
  );
  expect(Buffer.compare(Buffer.from(upper.buffer), Buffer.from(bytes))).toBe(0);
});
