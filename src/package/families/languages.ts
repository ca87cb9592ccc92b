/**
 * Language models by the model_type that they have alone: their switches, what their class assumes where a config says nothing, and their names.
 * Switches and names as transformers' own classes have them; a new model of known switches is a new entry here.
 */
import { z } from 'zod';
import { formatError, parseJson } from '../format.js';
import type { AttentionNames, BlockNames, Layout } from '../layout.js';
import type { Architecture, BlockSizes, PromptTemplate } from '../manifest.js';
import { GEMMA, PHI, VICUNA_V1 } from '../prompts.js';
import { activation, type CheckpointFile, headSize, must, size } from './family.js';

interface LanguageModel {
  /** model_type without hyphens and underscores. */
  types: RegExp;
  norm: BlockSizes['norm'];
  gated: boolean;
  residual: BlockSizes['residual'];
  /** Values of keys that a config leaves out. */
  defaults: Partial<Config>;
  /** Keys with the only value that is computed here. */
  must: Record<string, unknown>;
  epsilon: 'layer_norm_eps' | 'rms_norm_eps';
  /** Of models trained as LLaVA and Mipha are. */
  prompt: PromptTemplate;
  names: (prefix: string, file: CheckpointFile) => Layout['language'];
  /** Activations that mean another one than they say. */
  activations?: Record<string, BlockSizes['activation']>;
  gainsMinusOne?: true;
  /** Rows that enter the decoder are multiplied by √hidden. */
  scaledEmbedding?: true;
}

const rope = z.looseObject({ rope_theta: z.number().optional(), partial_rotary_factor: z.number().optional(), rope_type: z.string().optional() });
const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  hidden_act: z.string(),
  layer_norm_eps: z.number().optional(),
  rms_norm_eps: z.number().optional(),
  rope_theta: z.number(),
  partial_rotary_factor: z.number(),
  rope_parameters: rope.nullish(), // transformers 5 writes the two above in here
  max_position_embeddings: size,
  tie_word_embeddings: z.boolean(),
});
type Config = z.infer<typeof schema>;

const COMMON = { rope_theta: 10_000, partial_rotary_factor: 1, max_position_embeddings: 2048, tie_word_embeddings: false };
const RMS = { norm: 'rms', epsilon: 'rms_norm_eps' } as const;
const LAYER = { norm: 'layer', epsilon: 'layer_norm_eps' } as const;
const LLAMA_BLOCK = { ...RMS, gated: true, residual: 'sequential', names: llamaNames } as const;

const LANGUAGES: readonly LanguageModel[] = [
  {
    types: /^phi(2|15)?$|^phimsft$/, // Phi-1.5, Phi-2
    ...{ ...LAYER, gated: false, residual: 'parallel', prompt: PHI },
    defaults: { ...COMMON, hidden_act: 'gelu_new', partial_rotary_factor: 0.5, layer_norm_eps: 1e-5 },
    must: { qk_layernorm: false, rope_scaling: null },
    names: phiNames,
  },
  {
    types: /^gemma$/, // the first
    ...{ ...LLAMA_BLOCK, prompt: GEMMA },
    defaults: {
      ...COMMON,
      hidden_act: 'gelu_pytorch_tanh',
      rms_norm_eps: 1e-6,
      head_dim: 256,
      tie_word_embeddings: true,
      max_position_embeddings: 8192,
    },
    must: { attention_bias: false, rope_scaling: null },
    activations: { gelu: 'gelu_tanh' }, // what transformers makes of it since 4.39, and how Gemma was trained
    gainsMinusOne: true,
    scaledEmbedding: true,
  },
  {
    types: /^llama$/, // Vicuna, TinyLlama, MobileLLaMA
    ...{ ...LLAMA_BLOCK, prompt: VICUNA_V1 },
    defaults: {
      ...{ ...COMMON, hidden_act: 'silu', rms_norm_eps: 1e-6, vocab_size: 32_000 },
      ...{ hidden_size: 4096, intermediate_size: 11_008, num_hidden_layers: 32, num_attention_heads: 32 },
    },
    must: { rope_scaling: null },
  },
  {
    types: /^qwen(2|15|25)?$/, // Qwen1.5, Qwen2, Qwen2.5
    ...{ ...LLAMA_BLOCK, prompt: PHI },
    defaults: { ...COMMON, hidden_act: 'silu', rms_norm_eps: 1e-6, max_position_embeddings: 32_768 },
    must: { rope_scaling: null },
  },
  {
    types: /^gptneox$/, // Pythia
    ...{ ...LAYER, gated: false, residual: 'parallel_two_norms', prompt: PHI },
    defaults: { ...COMMON, hidden_act: 'gelu', layer_norm_eps: 1e-5, partial_rotary_factor: 0.25 },
    must: { use_parallel_residual: true, rope_scaling: null },
    names: neoxNames,
  },
  {
    types: /^stablelm(epoch)?$/, // StableLM-2
    ...{ ...LAYER, gated: true, residual: 'sequential', prompt: PHI },
    defaults: { ...COMMON, hidden_act: 'silu', layer_norm_eps: 1e-5, partial_rotary_factor: 0.25, max_position_embeddings: 4096 },
    must: { use_parallel_residual: false, qk_layernorm: false, rope_scaling: null },
    names: llamaNames,
  },
];

/** Older or other names of a key, in this order. */
const ALIASES: Record<string, keyof Config> = {
  hidden_activation: 'hidden_act', // Gemma
  activation_function: 'hidden_act',
  rotary_pct: 'partial_rotary_factor', // GPT-NeoX
  rope_pct: 'partial_rotary_factor', // StableLM's first files
  rotary_emb_base: 'rope_theta',
  norm_eps: 'layer_norm_eps',
};

export interface LanguageReading {
  sizes: Architecture['language'];
  /** The language model's part of the layout. */
  layout: Pick<Layout, 'language' | 'gainsMinusOne' | 'embeddingScale'>;
  prompt: PromptTemplate;
}

/** Undefined: no language model that is computed here. */
export function languageOf(modelType: string): LanguageModel | undefined {
  const word = modelType.toLowerCase().replace(/[-_]/g, '');
  return LANGUAGES.find(({ types }) => types.test(word));
}

/** `section`: keys of the language model; `prefix`: before its names, "model." or "language_model.model.". */
export function readLanguage(model: LanguageModel, file: CheckpointFile, section: Record<string, unknown>, prefix: string): LanguageReading {
  const { path } = file;
  const said = Object.fromEntries(Object.entries(section).filter(([, value]) => value !== null && value !== undefined));
  const renamed = Object.fromEntries(Object.entries(ALIASES).flatMap(([old, key]) => (old in said ? [[key, said[old]]] : [])));
  const config = parseJson(path, JSON.stringify({ ...model.defaults, ...said, ...renamed }), schema);
  for (const [key, expected] of Object.entries(model.must)) must(`${path}: ${key}`, expected, said[key] ?? expected);
  must(`${path}: use_sliding_window`, false, said.use_sliding_window ?? false);
  must(`${path}: rope_parameters.rope_type`, 'default', config.rope_parameters?.rope_type ?? 'default');

  const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: kvHeads, tie_word_embeddings: tied } = config;
  const size = config.head_dim ?? headSize(`${path}: num_attention_heads`, hidden, heads);
  const share = config.rope_parameters?.partial_rotary_factor ?? config.partial_rotary_factor;
  const names = model.names(prefix, file);
  return {
    sizes: {
      ...{ hidden, intermediate: config.intermediate_size, heads, kvHeads: kvHeads ?? heads, headSize: size },
      ...{ norm: model.norm, epsilon: config[model.epsilon] as number, gated: model.gated, residual: model.residual },
      activation: model.activations?.[config.hidden_act] ?? activation(`${path}: hidden_act`, config.hidden_act),
      layers: config.num_hidden_layers,
      rotaryDims: Math.trunc(size * share),
      ropeTheta: config.rope_parameters?.rope_theta ?? config.rope_theta,
      ...{ vocab: config.vocab_size, tokens: config.vocab_size },
      context: contextOf(path, said, config.max_position_embeddings),
    },
    layout: {
      language: tied ? { ...names, head: names.embedding } : names,
      ...(model.gainsMinusOne && { gainsMinusOne: true }),
      ...(model.scaledEmbedding && { embeddingScale: Math.sqrt(hidden) }),
    },
    prompt: model.prompt,
  };
}

/** Positions, at most those that were trained with pictures, where a config says so, and those that can be run. */
function contextOf(path: string, section: Record<string, unknown>, positions: number): number {
  const trained = section.tokenizer_model_max_length ?? positions;
  if (typeof trained !== 'number') throw formatError(`${path}: tokenizer_model_max_length`, 'a number', trained);
  return Math.min(positions, trained, 32_767);
}

function llamaNames(prefix: string): Layout['language'] {
  const block = (layer: number): BlockNames => {
    const name = `${prefix}layers.${layer}`;
    const attention = `${name}.self_attn`;
    return {
      optionalBiases: true,
      ...{ norm1: `${name}.input_layernorm`, norm2: `${name}.post_attention_layernorm` },
      ...{ attention: split(attention), out: `${attention}.o_proj` },
      ...{ gate: `${name}.mlp.gate_proj`, up: `${name}.mlp.up_proj`, down: `${name}.mlp.down_proj` },
    };
  };
  return { embedding: `${prefix}embed_tokens`, block, finalNorm: `${prefix}norm`, head: headBeside(prefix) };
}

/** `query_key_value` is how transformers saved Phi up to 4.36. */
function phiNames(prefix: string, file: CheckpointFile): Layout['language'] {
  if (prefix === 'transformer.') return oldPhiNames;
  const block = (layer: number): BlockNames => {
    const name = `${prefix}layers.${layer}`;
    const attention = `${name}.self_attn`;
    const fused = file.shape(`${attention}.query_key_value.weight`) !== undefined;
    return {
      ...{ norm1: `${name}.input_layernorm`, norm2: undefined, out: `${attention}.dense` },
      attention: fused ? { rows: 'interleaved', name: `${attention}.query_key_value` } : split(attention),
      ...{ up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` },
    };
  };
  return { embedding: `${prefix}embed_tokens`, block, finalNorm: `${prefix}final_layernorm`, head: headBeside(prefix) };
}

/** As microsoft/phi-2 was published before January 2024: `Wqkv` has all rows of q, then of k, then of v. */
const oldPhiNames: Layout['language'] = {
  embedding: 'transformer.embd.wte',
  block(layer) {
    const name = `transformer.h.${layer}`;
    return {
      ...{ norm1: `${name}.ln`, norm2: undefined, attention: { rows: 'stacked', name: `${name}.mixer.Wqkv` }, out: `${name}.mixer.out_proj` },
      ...{ up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` },
    };
  },
  finalNorm: 'lm_head.ln',
  head: 'lm_head.linear',
};

function neoxNames(): Layout['language'] {
  const block = (layer: number): BlockNames => {
    const name = `gpt_neox.layers.${layer}`;
    return {
      ...{ norm1: `${name}.input_layernorm`, norm2: `${name}.post_attention_layernorm` },
      ...{ attention: { rows: 'interleaved', name: `${name}.attention.query_key_value` }, out: `${name}.attention.dense` },
      ...{ up: `${name}.mlp.dense_h_to_4h`, down: `${name}.mlp.dense_4h_to_h` },
    };
  };
  return { embedding: 'gpt_neox.embed_in', block, finalNorm: 'gpt_neox.final_layer_norm', head: 'embed_out' };
}

export function split(attention: string): AttentionNames {
  return { rows: 'split', names: [`${attention}.q_proj`, `${attention}.k_proj`, `${attention}.v_proj`] };
}

/** "model." → "lm_head", "language_model.model." → "language_model.lm_head" */
function headBeside(prefix: string): string {
  return `${prefix.replace(/model\.$/, '')}lm_head`;
}
