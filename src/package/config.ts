/** config.json of a published Mipha checkpoint → sizes. Every key is read from its own place: nested sections never override the top level. */
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { familyOf } from './families.js';
import { formatError, parseJson } from './format.js';
import { type Layout, MIPHA_LAYOUT, MIPHA_LINEAR_LAYOUT } from './layout.js';
import { type Architecture, checkArchitecture, type Preprocessing } from './manifest.js';
import { preprocessing, SIGLIP } from './pictures.js';

const size = z.int().min(1).max(1_000_000_000); // the real limits are those of the architecture
const epsilon = z.number().default(1e-5);

// Absent keys take the defaults of the published model code (PhiConfig, MiphaVisionConfig, MiphaProjectorConfig).
const towerSchema = z.looseObject({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_channels: z.int().default(3),
  image_size: size,
  patch_size: size,
  hidden_act: z.string().default('quick_gelu'),
  layer_norm_eps: epsilon,
  mm_vision_select_feature: z.string().default('patch'),
  mm_vision_select_layer: z.int().default(-2),
  vision_model_name_or_path: z.string().default(''),
});

const projectorSchema = z.looseObject({
  mm_projector_type: z.string().max(100).default('linear'),
  mm_hidden_size: size.optional(),
  hidden_size: size.optional(),
});

const namesSchema = z.looseObject({ model_type: z.string().max(200).optional(), architectures: z.array(z.string().max(200)).max(10).nullish() });

const configSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: z.int().nullish(),
  partial_rotary_factor: z.number().default(0.5),
  rope_theta: z.number().default(10_000),
  rope_scaling: z.unknown().optional(),
  qk_layernorm: z.boolean().default(false),
  hidden_act: z.string().default('gelu_new'),
  layer_norm_eps: epsilon,
  max_position_embeddings: size.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  image_aspect_ratio: z.string().nullish(),
  mm_use_im_start_end: z.boolean().default(false),
  vision_config: z.looseObject({ vision_tower: towerSchema, mm_projector: projectorSchema }),
});
type Config = z.infer<typeof configSchema>;

export interface CheckpointConfig {
  architecture: Architecture; // language.tokens is vocab until a tokenizer says otherwise
  preprocessing: Preprocessing;
  layout: Layout;
  /** The head is the embedding. */
  tied: boolean;
}

/** Throws ERR_MODEL_FORMAT naming the key, what is expected and what came. */
export function parseConfig(path: string, text: string): CheckpointConfig {
  const { model_type: type, architectures } = parseJson(path, text, namesSchema);
  checkModel(path, type, architectures ?? []);
  const config = parseJson(path, text, configSchema);
  const { vision_tower: tower, mm_projector: projector } = config.vision_config;
  refuseUnsupported(path, config);
  const architecture: Architecture = {
    vision: {
      imageSize: tower.image_size,
      patchSize: tower.patch_size,
      ...heads(path, 'vision_tower', tower.hidden_size, tower.num_attention_heads),
      intermediate: tower.intermediate_size,
      norm: 'layer',
      epsilon: tower.layer_norm_eps,
      activation: 'gelu_tanh',
      gated: false,
      residual: 'sequential',
      layers: towerLayers(path, tower.num_hidden_layers, tower.mm_vision_select_layer),
      prefixRows: 0,
      skippedRows: 0,
      preNorm: false,
    },
    projector: { layers: projectorLayers(path, projector.mm_projector_type), pooled: false },
    language: {
      ...heads(path, 'config', config.hidden_size, config.num_attention_heads),
      intermediate: config.intermediate_size,
      norm: 'layer',
      activation: 'gelu_tanh',
      gated: false,
      residual: 'parallel',
      layers: config.num_hidden_layers,
      rotaryDims: Math.trunc((config.hidden_size / config.num_attention_heads) * config.partial_rotary_factor),
      vocab: config.vocab_size,
      tokens: config.vocab_size,
      context: config.max_position_embeddings,
      epsilon: config.layer_norm_eps,
      ropeTheta: config.rope_theta,
    },
  };
  checkArchitecture(path, architecture);
  return {
    architecture,
    preprocessing: preprocessing(SIGLIP, tower.image_size, config.image_aspect_ratio === 'pad' ? 'pad' : undefined),
    layout: projector.mm_projector_type === 'linear' ? MIPHA_LINEAR_LAYOUT : MIPHA_LAYOUT,
    tied: config.tie_word_embeddings,
  };
}

/** Attention of heads that divide the residual stream between them. */
function heads(path: string, section: string, hidden: number, count: number) {
  if (hidden % count !== 0) throw formatError(`${path}: ${section}.num_attention_heads`, `a divisor of hidden_size (${hidden})`, count);
  return { hidden, heads: count, kvHeads: count, headSize: hidden / count };
}

function checkModel(path: string, type: string | undefined, architectures: readonly string[]): void {
  if (type?.replaceAll('-', '_') === 'mipha_phi') return;
  const family = familyOf(type, architectures);
  if (family === undefined) throw formatError(`${path}: model_type`, 'mipha_phi or mipha-phi', type);
  const called = type === undefined ? `architecture ${architectures.join(', ')}` : `model_type ${type}`;
  if (family.kind === 'picture and language') throw unsupported(path, family.name, called);
  const rest = family.kind === 'language' ? 'a language model alone, without the tower that sees' : 'a vision tower alone, without a language model';
  throw new MiphaError('ERR_MODEL_FORMAT', `${path}: expected a Mipha checkpoint (model_type mipha_phi), received ${family.name}: ${rest}`, {
    details: { path, expected: 'mipha_phi', received: family.name, family: family.name },
  });
}

/** A published kind of model that is out of reach so far: nobody needs to report it. */
function unsupported(path: string, family: string, called: string): MiphaError {
  return new MiphaError('ERR_MODEL_FORMAT', `${path}: ${family} (${called}) is known, not supported yet; Mipha on Phi-2 and Phi-1.5 (mipha_phi) is`, {
    details: { path, expected: 'mipha_phi', received: called, family },
  });
}

const TOWERS: Record<string, string> = { clip: 'CLIP', dinov2: 'DINOv2' };

/** What would silently give wrong answers if it were ignored. */
function refuseUnsupported(path: string, config: Config): void {
  const { vision_tower: tower, mm_projector: projector } = config.vision_config;
  const must = (key: string, expected: unknown, received: unknown) => {
    if (received !== expected) throw formatError(`${path}: ${key}`, JSON.stringify(expected), received);
  };
  const name = tower.vision_model_name_or_path;
  const other = /siglip/i.test(name) ? undefined : /clip|dinov2/i.exec(name)?.[0];
  if (other !== undefined) throw unsupported(path, `Mipha with a ${TOWERS[other.toLowerCase()]} tower`, `vision_model_name_or_path ${name}`);
  must('hidden_act', 'gelu_new', config.hidden_act);
  must('qk_layernorm', false, config.qk_layernorm);
  must('rope_scaling', null, config.rope_scaling ?? null);
  must('num_key_value_heads', config.num_attention_heads, config.num_key_value_heads ?? config.num_attention_heads);
  must('mm_use_im_start_end', false, config.mm_use_im_start_end);
  must('vision_tower.hidden_act', 'gelu_pytorch_tanh', tower.hidden_act);
  must('vision_tower.num_channels', 3, tower.num_channels);
  must('mm_projector.mm_hidden_size', tower.hidden_size, projector.mm_hidden_size ?? tower.hidden_size);
  must('mm_projector.hidden_size', config.hidden_size, projector.hidden_size ?? config.hidden_size);
  // SigLIP has no class token, so the two features are the same.
  if (!['patch', 'cls_patch'].includes(tower.mm_vision_select_feature))
    throw formatError(`${path}: vision_tower.mm_vision_select_feature`, 'patch or cls_patch', tower.mm_vision_select_feature);
}

/** How many layers run so that the output is hidden_states[select] of the n + 1 that the tower has (0 is the embeddings). */
function towerLayers(path: string, layers: number, select: number): number {
  const run = select < 0 ? layers + 1 + select : select;
  if (run < 1 || run > layers) throw formatError(`${path}: mm_vision_select_layer`, `a layer of the ${layers} of the tower`, select);
  return run;
}

function projectorLayers(path: string, type: string): number {
  if (type === 'identity') return 0;
  if (type === 'linear') return 1;
  const layers = Number(/^mlp(\d{1,2})x_gelu$/.exec(type)?.[1]);
  if (layers >= 1 && layers <= 16) return layers;
  throw formatError(`${path}: mm_projector_type`, 'linear, identity or mlpNx_gelu with N of 1 to 16', type);
}
