/** TinyLLaVA Factory: a section for the language model, one for the tower, both of transformers' own classes, and a connector. */
import { z } from 'zod';
import { formatError, parseJson } from '../format.js';
import { projectorNames } from '../layout.js';
import { preprocessing } from '../pictures.js';
import { activation, aspectOf, type CheckpointConfig, type CheckpointFile, type Family, headSize, must, projectorLayers, size } from './family.js';
import { languageOf, readLanguage } from './languages.js';
import { layersRun, towerOf, towerSwitches } from './towers.js';

const configSchema = z.looseObject({
  connector_type: z.string().max(100),
  image_aspect_ratio: z.string().nullish(),
  tokenizer_model_max_length: z.number().nullish(),
  text_config: z.looseObject({ model_type: z.string() }),
  vision_config: z.looseObject({
    hidden_size: size,
    intermediate_size: size,
    num_hidden_layers: size,
    num_attention_heads: size,
    image_size: size,
    patch_size: size,
    hidden_act: z.string().optional(),
    layer_norm_eps: z.number().optional(),
    model_name_or_path: z.string(),
  }),
  vision_feature_layer: z.int().default(-2),
  vision_feature_select_strategy: z.string().default('patch'),
});

export const TINYLLAVA: Family = { name: 'TinyLLaVA', takes: (type) => type === 'tinyllava', read };

function read(file: CheckpointFile): CheckpointConfig {
  const { path } = file;
  const config = parseJson(path, file.text, configSchema);
  const { text_config: text, vision_config: vision } = config;
  const model = languageOf(text.model_type);
  const tower = towerOf(vision.model_name_or_path);
  if (model === undefined) throw formatError(`${path}: text_config.model_type`, 'a language model that is known', text.model_type);
  if (tower === undefined) throw formatError(`${path}: vision_config.model_name_or_path`, 'a SigLIP, CLIP, DINOv2 or ViT', vision.model_name_or_path);
  must(`${path}: vision_feature_select_strategy`, 'patch', config.vision_feature_select_strategy);

  const section = { ...text, tokenizer_model_max_length: config.tokenizer_model_max_length };
  const language = readLanguage(model, file, section, 'language_model.model.');
  const layers = projectorLayers(`${path}: connector_type`, config.connector_type);
  const { hidden_size: hidden, num_attention_heads: heads } = vision;
  return {
    architecture: {
      vision: {
        ...{ imageSize: vision.image_size, patchSize: vision.patch_size, hidden, intermediate: vision.intermediate_size, heads, kvHeads: heads },
        headSize: headSize(`${path}: vision_config.num_attention_heads`, hidden, heads),
        activation: activation(`${path}: vision_config.hidden_act`, vision.hidden_act ?? tower.activation),
        epsilon: vision.layer_norm_eps ?? tower.epsilon,
        layers: layersRun(`${path}: vision_feature_layer`, vision.num_hidden_layers, config.vision_feature_layer),
        ...towerSwitches(tower),
        skippedRows: 1, // "patch" drops the first row of every tower, also of one without a class token
      },
      projector: { layers, pooled: false },
      language: language.sizes,
    },
    preprocessing: preprocessing(tower.picture, vision.image_size, aspectOf(`${path}: image_aspect_ratio`, config.image_aspect_ratio)),
    prompt: language.prompt,
    layout: {
      tower: tower.names('vision_tower._vision_tower.vision_model.', false),
      projector: projectorNames('connector._connector', config.connector_type),
      ...language.layout,
    },
  };
}
