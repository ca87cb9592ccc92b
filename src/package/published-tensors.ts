/** Names and shapes of every tensor of the published sizes, used ones or not. */
import { type Cut, type ModelSize, PATCH, type Sizes, sizesOf } from './published.js';

export interface PublishedTensor {
  name: string;
  shape: number[];
}

/** Sorted by name, as in the published files. */
export function publishedTensors(size: ModelSize, cut?: Cut): PublishedTensor[] {
  const { vision, language } = sizesOf(size, cut);
  const list = new Names();
  const llava = language.kind === 'llama';
  const tower = llava ? 'vision_tower.vision_model' : 'model.vision_tower.vision_model';
  addTower(list, tower, vision);
  const projector = llava ? ['multi_modal_projector.linear_1', 'multi_modal_projector.linear_2'] : ['model.mm_projector.0', 'model.mm_projector.2'];
  for (const [i, name] of projector.entries()) list.linear(name, language.hidden, i === 0 ? vision.hidden : language.hidden);
  if (language.kind === 'phi' || language.kind === 'phi-fused') addPhi(list, language);
  else addLlama(list, llava ? 'language_model.' : '', language);
  return list.tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
}

class Names {
  readonly tensors: PublishedTensor[] = [];

  add(name: string, ...shape: number[]): void {
    this.tensors.push({ name, shape });
  }

  linear(name: string, out: number, columns: number, bias = true): void {
    this.add(`${name}.weight`, out, columns);
    if (bias) this.add(`${name}.bias`, out);
  }

  norm(name: string, hidden: number, bias = true): void {
    this.add(`${name}.weight`, hidden);
    if (bias) this.add(`${name}.bias`, hidden);
  }
}

function addTower(list: Names, tower: string, { kind, hidden, intermediate, layers, image }: Sizes['vision']): void {
  const clip = kind === 'clip';
  list.add(`${tower}.embeddings.patch_embedding.weight`, hidden, 3, PATCH, PATCH);
  if (clip) list.add(`${tower}.embeddings.class_embedding`, hidden);
  else list.add(`${tower}.embeddings.patch_embedding.bias`, hidden);
  list.add(`${tower}.embeddings.position_embedding.weight`, Math.floor(image / PATCH) ** 2 + (clip ? 1 : 0), hidden);
  if (clip) list.norm(`${tower}.pre_layrnorm`, hidden);
  for (let i = 0; i < layers; i++) {
    const layer = `${tower}.encoder.layers.${i}`;
    list.norm(`${layer}.layer_norm1`, hidden);
    list.norm(`${layer}.layer_norm2`, hidden);
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) list.linear(`${layer}.self_attn.${part}`, hidden, hidden);
    list.linear(`${layer}.mlp.fc1`, intermediate, hidden);
    list.linear(`${layer}.mlp.fc2`, hidden, intermediate);
  }
  list.norm(`${tower}.post_layernorm`, hidden);
  if (clip) return;
  // The pooling head: published, never used.
  list.add(`${tower}.head.probe`, 1, 1, hidden);
  list.add(`${tower}.head.attention.in_proj_weight`, 3 * hidden, hidden);
  list.add(`${tower}.head.attention.in_proj_bias`, 3 * hidden);
  list.linear(`${tower}.head.attention.out_proj`, hidden, hidden);
  list.norm(`${tower}.head.layernorm`, hidden);
  list.linear(`${tower}.head.mlp.fc1`, intermediate, hidden);
  list.linear(`${tower}.head.mlp.fc2`, hidden, intermediate);
}

function addPhi(list: Names, { kind, hidden, intermediate, layers, vocab }: Sizes['language']): void {
  list.add('model.embed_tokens.weight', vocab, hidden);
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`;
    list.norm(`${layer}.input_layernorm`, hidden);
    if (kind === 'phi-fused') list.linear(`${layer}.self_attn.query_key_value`, 3 * hidden, hidden);
    else for (const part of ['q_proj', 'k_proj', 'v_proj']) list.linear(`${layer}.self_attn.${part}`, hidden, hidden);
    list.linear(`${layer}.self_attn.dense`, hidden, hidden);
    list.linear(`${layer}.mlp.fc1`, intermediate, hidden);
    list.linear(`${layer}.mlp.fc2`, hidden, intermediate);
  }
  list.norm('model.final_layernorm', hidden);
  list.linear('lm_head', vocab, hidden);
}

/** Llama, and Gemma, whose head is its embedding. */
function addLlama(list: Names, prefix: string, { kind, hidden, intermediate, layers, heads, kvHeads, headSize, vocab }: Sizes['language']): void {
  list.add(`${prefix}model.embed_tokens.weight`, vocab, hidden);
  for (let i = 0; i < layers; i++) {
    const layer = `${prefix}model.layers.${i}`;
    list.norm(`${layer}.input_layernorm`, hidden, false);
    list.norm(`${layer}.post_attention_layernorm`, hidden, false);
    list.linear(`${layer}.self_attn.q_proj`, heads * headSize, hidden, false);
    for (const part of ['k_proj', 'v_proj']) list.linear(`${layer}.self_attn.${part}`, kvHeads * headSize, hidden, false);
    list.linear(`${layer}.self_attn.o_proj`, hidden, heads * headSize, false);
    for (const part of ['gate_proj', 'up_proj']) list.linear(`${layer}.mlp.${part}`, intermediate, hidden, false);
    list.linear(`${layer}.mlp.down_proj`, hidden, intermediate, false);
  }
  list.norm(`${prefix}model.norm`, hidden, false);
  if (kind === 'llama') list.linear(`${prefix}lm_head`, vocab, hidden, false);
}
