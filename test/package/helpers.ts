/** A checkpoint of a few kilobytes in the published layout, whose files tests may bend, and a safetensors encoder that shares no code with src. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { CheckpointConfig } from '../../src/package/families/family.js';
import { readConfig } from '../../src/package/families/index.js';

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mipha-package-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface StoredTensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}
export type Tensors = Record<string, StoredTensor>;

export function f32(shape: number[], values: ArrayLike<number>): StoredTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

export function bf16(shape: number[], values: ArrayLike<number>): StoredTensor {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return { dtype: 'BF16', shape, bytes: new Uint8Array(Uint16Array.from(bits, (value) => value >>> 16).buffer) };
}

export function values(tensor: StoredTensor): Float32Array {
  if (tensor.dtype === 'F32') return new Float32Array(tensor.bytes.slice().buffer);
  return new Float32Array(Uint32Array.from(new Uint16Array(tensor.bytes.slice().buffer), (value) => value << 16).buffer);
}

export function encodeSafetensors(tensors: Tensors): Uint8Array {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.byteLength] };
    offset += bytes.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  return Buffer.concat([length, json, ...Object.values(tensors).map((tensor) => tensor.bytes)]);
}

/** Uniform in −1 … 1, repeatable. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

export const TINY = {
  hidden: 16,
  intermediate: 24,
  vocab: 24,
  heads: 2,
  visionLayers: 3,
  languageLayers: 2,
  imageTokens: 4,
  patchValues: 3 * 14 * 14,
};

export function tinyConfig(): Record<string, unknown> & { vision_config: Record<'vision_tower' | 'mm_projector', Record<string, unknown>> } {
  return {
    model_type: 'mipha_phi',
    vocab_size: TINY.vocab,
    hidden_size: TINY.hidden,
    intermediate_size: TINY.intermediate,
    num_hidden_layers: TINY.languageLayers,
    num_attention_heads: TINY.heads,
    partial_rotary_factor: 0.5,
    hidden_act: 'gelu_new',
    max_position_embeddings: 64,
    bos_token_id: 1,
    eos_token_id: 2,
    image_aspect_ratio: 'pad',
    vision_config: {
      mm_projector: { mm_projector_type: 'mlp2x_gelu' },
      vision_tower: {
        hidden_size: TINY.hidden,
        intermediate_size: TINY.intermediate,
        num_hidden_layers: TINY.visionLayers,
        num_attention_heads: TINY.heads,
        image_size: 28,
        patch_size: 14,
        hidden_act: 'gelu_pytorch_tanh',
        layer_norm_eps: 1e-6,
        vision_model_name_or_path: 'tiny-siglip',
      },
    },
  };
}

/** Every tensor of the tiny checkpoint, BF16, random. */
export function tinyTensors(seed = 1): Tensors {
  const next = random(seed);
  const tensors: Tensors = {};
  const add = (name: string, ...shape: number[]) => {
    tensors[name] = bf16(
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next()),
    );
  };
  const linear = (name: string, out: number, columns: number) => [add(`${name}.weight`, out, columns), add(`${name}.bias`, out)];
  const norm = (name: string) => [add(`${name}.weight`, TINY.hidden), add(`${name}.bias`, TINY.hidden)];
  const tower = 'model.vision_tower.vision_model';
  add(`${tower}.embeddings.patch_embedding.weight`, TINY.hidden, 3, 14, 14);
  add(`${tower}.embeddings.patch_embedding.bias`, TINY.hidden);
  add(`${tower}.embeddings.position_embedding.weight`, TINY.imageTokens, TINY.hidden);
  for (let i = 0; i < TINY.visionLayers; i++) {
    const layer = `${tower}.encoder.layers.${i}`;
    norm(`${layer}.layer_norm1`);
    norm(`${layer}.layer_norm2`);
    for (const part of ['q', 'k', 'v', 'out']) linear(`${layer}.self_attn.${part}_proj`, TINY.hidden, TINY.hidden);
    linear(`${layer}.mlp.fc1`, TINY.intermediate, TINY.hidden);
    linear(`${layer}.mlp.fc2`, TINY.hidden, TINY.intermediate);
  }
  norm(`${tower}.post_layernorm`);
  linear('model.mm_projector.0', TINY.hidden, TINY.hidden);
  linear('model.mm_projector.2', TINY.hidden, TINY.hidden);
  add('model.embed_tokens.weight', TINY.vocab, TINY.hidden);
  for (let i = 0; i < TINY.languageLayers; i++) {
    const layer = `model.layers.${i}`;
    norm(`${layer}.input_layernorm`);
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'dense']) linear(`${layer}.self_attn.${part}`, TINY.hidden, TINY.hidden);
    linear(`${layer}.mlp.fc1`, TINY.intermediate, TINY.hidden);
    linear(`${layer}.mlp.fc2`, TINY.hidden, TINY.intermediate);
  }
  norm('model.final_layernorm');
  linear('lm_head', TINY.vocab, TINY.hidden);
  return tensors;
}

/** Writes config.json, model.safetensors and a tokenizer of 20 ids whose end token is 19. */
export async function writeTiny(folder: string, tensors: Tensors = tinyTensors(), config: object = tinyConfig()): Promise<void> {
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'model.safetensors'), encodeSafetensors(tensors));
  const vocab = Object.fromEntries([...Array.from({ length: 19 }, (_, i) => [String.fromCharCode(97 + i), i]), ['<|endoftext|>', 19]]);
  await writeFile(join(folder, 'vocab.json'), JSON.stringify(vocab));
  await writeFile(join(folder, 'merges.txt'), '#version: 0.2\n');
}

/** A safetensors file decoded whole, independently of src. */
export function decodeSafetensors(read: Uint8Array): Tensors {
  const file = new Uint8Array(read); // a Buffer's slice() would share memory
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(file.subarray(8, 8 + length)).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return Object.fromEntries(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [begin, end],
          },
        ]) => [name, { dtype, shape, bytes: file.slice(8 + length + begin, 8 + length + end) }],
      ),
  );
}

/** A config.json read as of a file without tensors, or with these. */
export function parseConfig(text: string, shapes: Record<string, readonly number[]> = {}): CheckpointConfig {
  return readConfig({ path: 'config.json', text, shape: (name) => shapes[name] });
}
