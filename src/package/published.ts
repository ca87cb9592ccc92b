/** The published model sizes and their config.json. Names and shapes of their tensors: published-tensors.ts. Without weights; random.ts makes some. */

export const modelSizes = ['mipha-3b', 'mipha-2.4b', 'mipha-1.6b', 'llava-1.5-7b', 'nano'] as const;
export type ModelSize = (typeof modelSizes)[number];

export interface Sizes {
  vision: { kind: 'siglip' | 'clip'; hidden: number; intermediate: number; layers: number; heads: number; image: number };
  language: {
    kind: 'phi' | 'phi-fused' | 'gemma' | 'llama'; // phi-fused: attention as one query_key_value matrix
    hidden: number;
    intermediate: number;
    layers: number;
    heads: number;
    kvHeads: number;
    headSize: number;
    rotary: number; // share of each head
    vocab: number;
    context: number;
  };
}

const SIGLIP = { kind: 'siglip', hidden: 1152, intermediate: 4304, layers: 27, heads: 16, image: 384 } as const;
const SIZES: Record<ModelSize, Sizes> = {
  // SigLIP so400m + Phi-2
  'mipha-3b': {
    vision: SIGLIP,
    language: {
      ...{ kind: 'phi', hidden: 2560, intermediate: 10240, layers: 32, heads: 32, kvHeads: 32, headSize: 80 },
      ...{ rotary: 0.4, vocab: 51200, context: 2048 },
    },
  },
  // SigLIP so400m + Gemma-2B
  'mipha-2.4b': {
    vision: SIGLIP,
    language: {
      ...{ kind: 'gemma', hidden: 2048, intermediate: 16384, layers: 18, heads: 8, kvHeads: 1, headSize: 256 },
      ...{ rotary: 1, vocab: 256_000, context: 8192 },
    },
  },
  // SigLIP so400m + Phi-1.5
  'mipha-1.6b': {
    vision: SIGLIP,
    language: {
      ...{ kind: 'phi-fused', hidden: 2048, intermediate: 8192, layers: 24, heads: 32, kvHeads: 32, headSize: 64 },
      ...{ rotary: 0.5, vocab: 51200, context: 2048 },
    },
  },
  // CLIP ViT-L/14 at 336 + Vicuna-7B, as llava-hf/llava-1.5-7b-hf
  'llava-1.5-7b': {
    vision: { kind: 'clip', hidden: 1024, intermediate: 4096, layers: 24, heads: 16, image: 336 },
    language: {
      ...{ kind: 'llama', hidden: 4096, intermediate: 11008, layers: 32, heads: 32, kvHeads: 32, headSize: 128 },
      ...{ rotary: 1, vocab: 32_064, context: 4096 },
    },
  },
  // as models/mipha-nano
  nano: {
    vision: { kind: 'siglip', hidden: 216, intermediate: 808, layers: 5, heads: 3, image: 112 },
    language: {
      ...{ kind: 'phi', hidden: 320, intermediate: 1280, layers: 4, heads: 4, kvHeads: 4, headSize: 80 },
      ...{ rotary: 0.4, vocab: 576, context: 512 },
    },
  },
};
export const PATCH = 14; // pixels per side

/** Fewer layers and smaller pictures than published, everything else as it is: for tests of the real widths. */
export interface Cut {
  layers: number; // that run, in tower and language model each
  imagePx: number;
}

export function sizesOf(size: ModelSize, cut: Cut | undefined): Sizes {
  const { vision, language } = SIZES[size];
  if (cut === undefined) return { vision, language };
  return { vision: { ...vision, layers: cut.layers + 1, image: cut.imagePx }, language: { ...language, layers: cut.layers } };
}

/** The text of config.json, misleading bos and eos ids included. */
export function publishedConfig(size: ModelSize, cut?: Cut): string {
  const sizes = sizesOf(size, cut);
  return `${JSON.stringify(sizes.language.kind === 'llama' ? llavaConfig(sizes) : miphaConfig(sizes), null, 2)}\n`;
}

function miphaConfig({ vision, language }: Sizes): object {
  const gemma = language.kind === 'gemma';
  const types = { phi: 'mipha_phi', 'phi-fused': 'mipha-phi', gemma: 'mipha_gemma', llama: 'mipha_llama' };
  return {
    architectures: [gemma ? 'MiphaGemmaForCausalLM' : 'MiphaPhiForCausalLM'],
    model_type: types[language.kind],
    torch_dtype: 'bfloat16',
    vocab_size: language.vocab,
    hidden_size: language.hidden,
    intermediate_size: language.intermediate,
    num_hidden_layers: language.layers,
    num_attention_heads: language.heads,
    ...(language.kind === 'phi-fused' ? {} : { num_key_value_heads: language.kvHeads }),
    ...(gemma
      ? { head_dim: language.headSize, rope_theta: 10000, rope_scaling: null, hidden_act: 'gelu', rms_norm_eps: 1e-6 }
      : {
          ...{ partial_rotary_factor: language.rotary, rope_theta: 10000, rope_scaling: null, qk_layernorm: false },
          ...{ hidden_act: 'gelu_new', layer_norm_eps: 1e-5 },
        }),
    max_position_embeddings: language.context,
    tie_word_embeddings: gemma,
    bos_token_id: gemma ? 2 : 1,
    eos_token_id: gemma ? 1 : 2,
    image_aspect_ratio: 'pad',
    mm_use_im_start_end: false,
    ...(gemma ? { tokenizer_model_max_length: 2048 } : {}),
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
}

/** Sparse, as published: the defaults of LlamaConfig fill in the rest of the 7B. */
function llavaConfig({ vision, language }: Sizes): object {
  return {
    architectures: ['LlavaForConditionalGeneration'],
    model_type: 'llava',
    ignore_index: -100,
    image_token_index: 32_000,
    pad_token_id: 32_001,
    projector_hidden_act: 'gelu',
    text_config: {
      _name_or_path: 'lmsys/vicuna-7b-v1.5',
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      max_position_embeddings: language.context,
      rms_norm_eps: 1e-5,
      vocab_size: language.vocab,
      num_hidden_layers: language.layers,
    },
    tie_word_embeddings: false,
    torch_dtype: 'float16',
    vision_config: {
      hidden_size: vision.hidden,
      image_size: vision.image,
      intermediate_size: vision.intermediate,
      model_type: 'clip_vision_model',
      num_attention_heads: vision.heads,
      num_hidden_layers: vision.layers,
      patch_size: PATCH,
      projection_dim: 768,
      vocab_size: 32_000,
    },
    vision_feature_layer: -2,
    vision_feature_select_strategy: 'default',
  };
}
