/**
 * Families that keep LLaVA's flat config: keys of the language model beside `mm_…` ones, and only the name of the tower. What it leaves out is counted
 * and measured in the file.
 */
import { z } from 'zod';
import { formatError, parseJson } from '../format.js';
import { type Layout, projectorNames } from '../layout.js';
import type { Architecture, PromptTemplate } from '../manifest.js';
import { preprocessing } from '../pictures.js';
import { CHATML_NANOLLAVA } from '../prompts.js';
import { activation, aspectOf, type CheckpointConfig, type CheckpointFile, type Family, must, projectorLayers } from './family.js';
import { languageOf, readLanguage } from './languages.js';
import { layersRun, sizesInFile, towerOf, towerSwitches } from './towers.js';

interface Flat {
  name: string;
  types: RegExp;
  /** model_type of the language model, from the match of `types`. */
  language: (match: RegExpExecArray) => string;
  /** Publishes towers without the layers that do not run. */
  cutTower: boolean;
  /** What is done whatever the config says. */
  aspect?: 'squash';
  prompt?: PromptTemplate;
}

const FLAT: readonly Flat[] = [
  {
    name: 'Bunny',
    types: /^bunny[-_](phi|qwen2?|stablelm)$/,
    language: ([, name]) => (name === 'qwen' ? 'qwen2' : (name as string)),
    cutTower: true,
  },
  { name: 'Imp', types: /^imp$/, language: () => 'phi', cutTower: true, aspect: 'squash' },
  { name: 'nanoLLaVA', types: /^llava-qwen2$/, language: () => 'qwen2', cutTower: true, prompt: CHATML_NANOLLAVA },
  { name: 'TinyLLaVA', types: /^tiny_llava_(phi|stablelm|llama)$/, language: ([, name]) => name as string, cutTower: true },
  { name: 'MobileVLM', types: /^mobilevlm$/, language: () => 'llama', cutTower: false },
];

const configSchema = z.looseObject({
  model_type: z.string(),
  mm_vision_tower: z.string(),
  mm_hidden_size: z.int().optional(),
  mm_projector_type: z.string().max(100),
  mm_vision_select_layer: z.int().default(-2),
  mm_vision_select_feature: z.string().default('patch'),
  mm_use_im_start_end: z.boolean().default(false),
  use_s2: z.boolean().default(false),
  image_aspect_ratio: z.string().nullish(),
});
type Config = z.infer<typeof configSchema>;

export const LLAVA_STYLE: readonly Family[] = FLAT.map((flat) => ({
  name: flat.name,
  takes: (type) => languageIn(flat, type) !== undefined,
  read: (file) => read(flat, file),
}));

function languageIn({ types, language }: Flat, type: string) {
  const match = types.exec(type);
  return match === null ? undefined : languageOf(language(match));
}

function read(flat: Flat, file: CheckpointFile): CheckpointConfig {
  const { path } = file;
  const config = parseJson(path, file.text, configSchema);
  const model = languageIn(flat, config.model_type);
  const tower = towerOf(config.mm_vision_tower);
  if (model === undefined) throw formatError(`${path}: model_type`, 'a language model that is known', config.model_type);
  if (tower === undefined) throw formatError(`${path}: mm_vision_tower`, 'a SigLIP, CLIP, DINOv2 or ViT', config.mm_vision_tower);
  must(`${path}: mm_use_im_start_end`, false, config.mm_use_im_start_end);
  must(`${path}: use_s2`, false, config.use_s2);
  must(`${path}: mm_vision_select_feature`, 'patch', config.mm_vision_select_feature);

  const before = file.shape('transformer.embd.wte.weight') === undefined ? 'model.' : 'transformer.'; // Phi's names before 2024
  const language = readLanguage(model, file, before === 'model.' ? config : newPhiKeys(config), before);
  const prefix = `${before}vision_tower.vision_tower.vision_model.`;
  const { layers, depth, ...sizes } = sizesInFile(tower, config.mm_vision_tower, prefix, file);
  must(`${path}: mm_hidden_size`, sizes.hidden, config.mm_hidden_size ?? sizes.hidden);
  const switches = towerSwitches(tower);
  const wanted = layersRun(`${path}: mm_vision_select_layer`, depth, config.mm_vision_select_layer);
  const whole = layers === depth || (!flat.cutTower && layers !== wanted);
  const projector = readProjector(path, config, `${before}mm_projector`);
  return {
    architecture: {
      vision: {
        ...{ ...sizes, ...switches, kvHeads: sizes.heads, headSize: sizes.hidden / sizes.heads },
        ...{ activation: activation('', tower.activation), epsilon: tower.epsilon },
        layers: whole ? layersRun(`${path}: mm_vision_select_layer`, layers, config.mm_vision_select_layer) : layers,
        skippedRows: switches.prefixRows,
      },
      projector: projector.sizes,
      language: language.sizes,
    },
    preprocessing: preprocessing(tower.picture, sizes.imageSize, flat.aspect ?? aspectOf(`${path}: image_aspect_ratio`, config.image_aspect_ratio)),
    prompt: flat.prompt ?? language.prompt,
    layout: { tower: tower.names(prefix, false), ...projector.layout, ...language.layout },
  };
}

function readProjector(
  path: string,
  { mm_projector_type: type }: Config,
  prefix: string,
): { sizes: Architecture['projector']; layout: Pick<Layout, 'projector' | 'pooling'> } {
  if (type === 'ldpnetv2')
    return { sizes: { layers: 2, pooled: true }, layout: { projector: projectorNames(`${prefix}.mlp.mlp`, type), pooling: `${prefix}.peg.peg.0` } };
  const layers = projectorLayers(`${path}: mm_projector_type`, type);
  return { sizes: { layers, pooled: false }, layout: { projector: projectorNames(prefix, type) } };
}

/** Keys of Phi's config before 2024 by their later names. */
function newPhiKeys(config: Record<string, unknown>): Record<string, unknown> {
  const { n_embd: hidden, n_head: heads, rotary_dim: rotary } = config;
  if (typeof hidden !== 'number' || typeof heads !== 'number' || typeof rotary !== 'number') return config;
  return {
    ...{ vocab_size: config.vocab_size, hidden_size: hidden, num_hidden_layers: config.n_layer, num_attention_heads: heads },
    ...{ num_key_value_heads: config.n_head_kv, intermediate_size: config.n_inner ?? 4 * hidden, hidden_act: config.activation_function },
    ...{ layer_norm_eps: config.layer_norm_epsilon, max_position_embeddings: config.n_positions, tie_word_embeddings: config.tie_word_embeddings },
    ...{ partial_rotary_factor: rotary / (hidden / heads), tokenizer_model_max_length: config.tokenizer_model_max_length },
  };
}
