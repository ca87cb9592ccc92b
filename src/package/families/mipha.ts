/**
 * Mipha (arXiv 2403.06199) and LLaVA-Phi, whose configs have a section for the tower and one for the projector. Every key is read from its own
 * place: nested sections never override the top level.
 */
import { z } from 'zod';
import { formatError, parseJson } from '../format.js';
import { projectorNames } from '../layout.js';
import type { Architecture, Preprocessing } from '../manifest.js';
import { preprocessing } from '../pictures.js';
import { parsePreprocessor } from '../preprocessor.js';
import { activation, aspectOf, type CheckpointConfig, type CheckpointFile, type Family, headSize, must, projectorLayers, size } from './family.js';
import { languageOf, readLanguage } from './languages.js';
import { CLIP, DINOV2, layersRun, SIGLIP, type Tower, towerOf, towerSwitches } from './towers.js';

// Absent keys take the defaults of the published model code (MiphaVisionConfig, MiphaProjectorConfig).
const towerSchema = z.looseObject({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_channels: z.int().default(3),
  image_size: size,
  patch_size: size,
  hidden_act: z.string().default('quick_gelu'),
  layer_norm_eps: z.number().default(1e-5),
  mm_vision_select_feature: z.string().default('patch'),
  mm_vision_select_layer: z.int().default(-2),
  vision_model_name_or_path: z.string().default(''),
  mlp_ratio: z.number().default(4),
  use_swiglu_ffn: z.boolean().default(false),
  num_register_tokens: z.int().min(0).default(0),
});
type TowerConfig = z.infer<typeof towerSchema>;

const projectorSchema = z.looseObject({
  mm_projector_type: z.string().max(100).default('linear'),
  mm_hidden_size: size.optional(),
  hidden_size: size.optional(),
});

const configSchema = z.looseObject({
  image_aspect_ratio: z.string().nullish(),
  mm_use_im_start_end: z.boolean().default(false),
  vision_config: z.looseObject({ vision_tower: towerSchema, mm_projector: projectorSchema }),
});

export const MIPHA: Family = {
  name: 'Mipha',
  takes: (type) => languageOfType(type) !== undefined,
  read: (file) => {
    const { model_type: type } = parseJson(file.path, file.text, z.looseObject({ model_type: z.string() }));
    return read(file, languageOfType(type) as string);
  },
};

/** "mipha_phi" or "mipha-phi" → "phi"; "llava_phi" too, where its config has Mipha's sections. */
function languageOfType(type: string): string | undefined {
  const language = /^mipha[-_](.+)$/.exec(type)?.[1] ?? (/^llava[-_]phi$/.test(type) ? 'phi' : undefined);
  return language !== undefined && languageOf(language) !== undefined ? language : undefined;
}

function read(file: CheckpointFile, type: string): CheckpointConfig {
  const { path } = file;
  const config = parseJson(path, file.text, configSchema);
  const { vision_tower: section, mm_projector: projector } = config.vision_config;
  const model = languageOf(type);
  if (model === undefined) throw formatError(`${path}: model_type`, 'a known language model behind "mipha_"', type);
  const { sizes: language, layout, prompt } = readLanguage(model, file, config, 'model.');
  must(`${path}: mm_use_im_start_end`, false, config.mm_use_im_start_end);
  must(`${path}: mm_projector.mm_hidden_size`, section.hidden_size, projector.mm_hidden_size ?? section.hidden_size);
  must(`${path}: mm_projector.hidden_size`, language.hidden, projector.hidden_size ?? language.hidden);

  const tower = towerOfSection(section, file);
  const registers = section.num_register_tokens;
  const aspect = aspectOf(`${path}: image_aspect_ratio`, config.image_aspect_ratio);
  const picture = pictureOf(tower, section, aspect, file);
  const layers = projectorLayers(`${path}: mm_projector_type`, projector.mm_projector_type);
  return {
    architecture: { vision: vision(tower, section, picture.imageSize, path), projector: { layers, pooled: false }, language },
    preprocessing: picture.preprocessing,
    prompt,
    layout: {
      tower: tower.names(towerPrefix(tower), registers > 0),
      ...(tower.resampled && { antialias: registers > 0 }), // as transformers does with and without registers
      projector: projectorNames('model.mm_projector', projector.mm_projector_type),
      ...layout,
    },
  };
}

/** CLIP and SigLIP stand under the same name; others under that of their class. */
function towerPrefix(tower: Tower): string {
  return tower === CLIP || tower === SIGLIP ? 'model.vision_tower.vision_model.' : `model.vision_tower.${tower.name.toLowerCase()}.`;
}

/** By the name that the config has for it; LLaVA-Phi has none, and the class token tells. */
function towerOfSection({ vision_model_name_or_path: name }: TowerConfig, file: CheckpointFile): Tower {
  const isClip = file.shape('model.vision_tower.vision_model.embeddings.class_embedding') !== undefined;
  const tower = towerOf(name) ?? (isClip ? CLIP : SIGLIP);
  if (isClip && tower !== CLIP) throw formatError(`${file.path}: vision_model_name_or_path`, 'CLIP, as the class token in the file is its', name);
  return tower;
}

function vision(tower: Tower, section: TowerConfig, imageSize: number, path: string): Architecture['vision'] {
  const { hidden_size: hidden, num_attention_heads: heads, num_register_tokens: registers } = section;
  must(`${path}: vision_tower.num_channels`, 3, section.num_channels);
  must(`${path}: vision_tower.use_swiglu_ffn`, false, section.use_swiglu_ffn);
  const where = `${path}: vision_tower.mm_vision_select_feature`;
  const feature = section.mm_vision_select_feature;
  if (!['patch', 'cls_patch'].includes(feature)) throw formatError(where, 'patch or cls_patch', feature);
  const switches = towerSwitches(tower, registers);
  return {
    ...{ imageSize, patchSize: section.patch_size, hidden, heads, kvHeads: heads },
    headSize: headSize(`${path}: vision_tower.num_attention_heads`, hidden, heads),
    // The intermediate_size of a DINOv2 is a default of another class.
    intermediate: tower === DINOV2 ? Math.round(hidden * section.mlp_ratio) : section.intermediate_size,
    epsilon: section.layer_norm_eps,
    activation: activation(`${path}: vision_tower.hidden_act`, section.hidden_act),
    layers: layersRun(`${path}: mm_vision_select_layer`, section.num_hidden_layers, section.mm_vision_select_layer),
    skippedRows: feature === 'patch' ? switches.prefixRows : 0,
    ...switches,
  };
}

/** Towers that are published with another size than they are used with say it in the file of their processor. */
function pictureOf(
  tower: Tower,
  section: TowerConfig,
  aspect: 'pad' | undefined,
  file: CheckpointFile,
): { preprocessing: Preprocessing; imageSize: number } {
  const own = tower === CLIP || tower === SIGLIP ? undefined : file.preprocessor;
  if (own === undefined) return { preprocessing: preprocessing(tower.picture, section.image_size, aspect), imageSize: section.image_size };
  const { preprocessing: read, imageSize } = parsePreprocessor(file.path.replace(/config\.json$/, 'preprocessor_config.json'), own);
  return { preprocessing: aspect === undefined ? read : { ...read, aspect }, imageSize };
}
