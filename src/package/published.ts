/** The published model sizes: config.json and the names and shapes of every tensor, used ones or not. Without weights; random.ts makes some. */

export const modelSizes = ['mipha-3b', 'mipha-1.6b', 'nano'] as const;
export type ModelSize = (typeof modelSizes)[number];

interface Sizes {
  vision: { hidden: number; intermediate: number; layers: number; heads: number; image: number };
  language: { hidden: number; intermediate: number; layers: number; heads: number; rotary: number; vocab: number; context: number };
  fused: boolean; // attention as one query_key_value matrix
}

const SIGLIP = { hidden: 1152, intermediate: 4304, layers: 27, heads: 16, image: 384 };
const SIZES: Record<ModelSize, Sizes> = {
  // SigLIP so400m + Phi-2
  'mipha-3b': {
    vision: SIGLIP,
    language: { hidden: 2560, intermediate: 10240, layers: 32, heads: 32, rotary: 0.4, vocab: 51200, context: 2048 },
    fused: false,
  },
  // SigLIP so400m + Phi-1.5
  'mipha-1.6b': {
    vision: SIGLIP,
    language: { hidden: 2048, intermediate: 8192, layers: 24, heads: 32, rotary: 0.5, vocab: 51200, context: 2048 },
    fused: true,
  },
  // as models/mipha-nano
  nano: {
    vision: { hidden: 216, intermediate: 808, layers: 5, heads: 3, image: 112 },
    language: { hidden: 320, intermediate: 1280, layers: 4, heads: 4, rotary: 0.4, vocab: 576, context: 512 },
    fused: false,
  },
};
const PATCH = 14; // pixels per side

/** Fewer layers and smaller pictures than published, everything else as it is: for tests of the real widths. */
export interface Cut {
  layers: number; // that run, in tower and language model each
  imagePx: number;
}

function sizesOf(size: ModelSize, cut: Cut | undefined): Sizes {
  const { vision, language, fused } = SIZES[size];
  if (cut === undefined) return { vision, language, fused };
  return { vision: { ...vision, layers: cut.layers + 1, image: cut.imagePx }, language: { ...language, layers: cut.layers }, fused };
}

/** The text of config.json, misleading bos and eos ids included. */
export function publishedConfig(size: ModelSize, cut?: Cut): string {
  const { vision, language, fused } = sizesOf(size, cut);
  const config = {
    architectures: ['MiphaPhiForCausalLM'],
    model_type: fused ? 'mipha-phi' : 'mipha_phi',
    torch_dtype: 'bfloat16',
    vocab_size: language.vocab,
    hidden_size: language.hidden,
    intermediate_size: language.intermediate,
    num_hidden_layers: language.layers,
    num_attention_heads: language.heads,
    ...(fused ? {} : { num_key_value_heads: language.heads }),
    partial_rotary_factor: language.rotary,
    rope_theta: 10000,
    rope_scaling: null,
    qk_layernorm: false,
    hidden_act: 'gelu_new',
    layer_norm_eps: 1e-5,
    max_position_embeddings: language.context,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
    image_aspect_ratio: 'pad',
    mm_use_im_start_end: false,
    vision_config: {
      mm_projector: {
        model_type: 'mipha_projector',
        mm_projector_type: 'mlp2x_gelu',
        mm_hidden_size: vision.hidden,
        hidden_size: language.hidden,
        tie_word_embeddings: true,
      },
      vision_tower: {
        model_type: 'mipha_vision_model',
        hidden_size: vision.hidden,
        intermediate_size: vision.intermediate,
        num_hidden_layers: vision.layers,
        num_attention_heads: vision.heads,
        num_channels: 3,
        image_size: vision.image,
        patch_size: PATCH,
        hidden_act: 'gelu_pytorch_tanh',
        layer_norm_eps: 1e-6,
        mm_vision_select_feature: 'patch',
        mm_vision_select_layer: -2,
        vision_model_name_or_path: 'google/siglip-so400m-patch14-384',
        tie_word_embeddings: true,
      },
    },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

export interface PublishedTensor {
  name: string;
  shape: number[];
}

/** Sorted by name, as in the published files. */
export function publishedTensors(size: ModelSize, cut?: Cut): PublishedTensor[] {
  const { vision, language, fused } = sizesOf(size, cut);
  const tensors: PublishedTensor[] = [];
  const add = (name: string, ...shape: number[]) => tensors.push({ name, shape });
  const linear = (name: string, out: number, columns: number) => [add(`${name}.weight`, out, columns), add(`${name}.bias`, out)];
  const norm = (name: string, hidden: number) => [add(`${name}.weight`, hidden), add(`${name}.bias`, hidden)];

  const tower = 'model.vision_tower.vision_model';
  add(`${tower}.embeddings.patch_embedding.weight`, vision.hidden, 3, PATCH, PATCH);
  add(`${tower}.embeddings.patch_embedding.bias`, vision.hidden);
  add(`${tower}.embeddings.position_embedding.weight`, Math.floor(vision.image / PATCH) ** 2, vision.hidden);
  for (let i = 0; i < vision.layers; i++) {
    const layer = `${tower}.encoder.layers.${i}`;
    norm(`${layer}.layer_norm1`, vision.hidden);
    norm(`${layer}.layer_norm2`, vision.hidden);
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) linear(`${layer}.self_attn.${part}`, vision.hidden, vision.hidden);
    linear(`${layer}.mlp.fc1`, vision.intermediate, vision.hidden);
    linear(`${layer}.mlp.fc2`, vision.hidden, vision.intermediate);
  }
  // The pooling head: published, never used.
  norm(`${tower}.post_layernorm`, vision.hidden);
  add(`${tower}.head.probe`, 1, 1, vision.hidden);
  add(`${tower}.head.attention.in_proj_weight`, 3 * vision.hidden, vision.hidden);
  add(`${tower}.head.attention.in_proj_bias`, 3 * vision.hidden);
  linear(`${tower}.head.attention.out_proj`, vision.hidden, vision.hidden);
  norm(`${tower}.head.layernorm`, vision.hidden);
  linear(`${tower}.head.mlp.fc1`, vision.intermediate, vision.hidden);
  linear(`${tower}.head.mlp.fc2`, vision.hidden, vision.intermediate);

  linear('model.mm_projector.0', language.hidden, vision.hidden);
  linear('model.mm_projector.2', language.hidden, language.hidden);

  add('model.embed_tokens.weight', language.vocab, language.hidden);
  for (let i = 0; i < language.layers; i++) {
    const layer = `model.layers.${i}`;
    norm(`${layer}.input_layernorm`, language.hidden);
    if (fused) linear(`${layer}.self_attn.query_key_value`, 3 * language.hidden, language.hidden);
    else for (const part of ['q_proj', 'k_proj', 'v_proj']) linear(`${layer}.self_attn.${part}`, language.hidden, language.hidden);
    linear(`${layer}.self_attn.dense`, language.hidden, language.hidden);
    linear(`${layer}.mlp.fc1`, language.intermediate, language.hidden);
    linear(`${layer}.mlp.fc2`, language.hidden, language.intermediate);
  }
  norm('model.final_layernorm', language.hidden);
  linear('lm_head', language.vocab, language.hidden);
  return tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
}
