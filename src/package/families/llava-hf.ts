/** LLaVA-1.5 as transformers has it (llava-hf/llava-1.5-7b-hf): sparse sections, for the defaults of their classes fill in. */
import { z } from 'zod';
import { formatError, parseJson } from '../format.js';
import { preprocessing } from '../pictures.js';
import { parsePreprocessor } from '../preprocessor.js';
import { LLAVA_HF as PROMPT } from '../prompts.js';
import { activation, type CheckpointConfig, type CheckpointFile, type Family, headSize, must, size } from './family.js';
import { languageOf, readLanguage } from './languages.js';
import { CLIP, layersRun, towerSwitches } from './towers.js';

const configSchema = z.looseObject({
  text_config: z.looseObject({ model_type: z.string().default('llama') }),
  vision_config: z.looseObject({
    model_type: z.string().default('clip_vision_model'),
    hidden_size: size.default(1024),
    intermediate_size: size.default(4096),
    num_hidden_layers: size.default(24),
    num_attention_heads: size.default(16),
    image_size: size.default(336),
    patch_size: size.default(14),
    hidden_act: z.string().default('quick_gelu'),
    layer_norm_eps: z.number().default(1e-5),
  }),
  projector_hidden_act: z.string().default('gelu'),
  vision_feature_layer: z.int().default(-2),
  vision_feature_select_strategy: z.string().default('default'),
});

export const LLAVA_HF: Family = {
  name: 'LLaVA-1.5',
  takes: (type, words) => type === 'llava' && words.includes('llavaforconditionalgeneration'),
  read,
};

function read(file: CheckpointFile): CheckpointConfig {
  const { path } = file;
  const config = parseJson(path, file.text, configSchema);
  const { text_config: text, vision_config: vision } = config;
  const model = languageOf(text.model_type);
  if (model === undefined) throw formatError(`${path}: text_config.model_type`, 'a language model that is known', text.model_type);
  must(`${path}: vision_config.model_type`, 'clip_vision_model', vision.model_type);
  must(`${path}: projector_hidden_act`, 'gelu', config.projector_hidden_act);
  const strategy = config.vision_feature_select_strategy;
  if (strategy !== 'default' && strategy !== 'full') throw formatError(`${path}: vision_feature_select_strategy`, 'default or full', strategy);

  const language = readLanguage(model, file, text, 'language_model.model.');
  const { hidden_size: hidden, num_attention_heads: heads } = vision;
  const switches = towerSwitches(CLIP);
  return {
    architecture: {
      vision: {
        ...{ imageSize: vision.image_size, patchSize: vision.patch_size, hidden, intermediate: vision.intermediate_size, heads, kvHeads: heads },
        headSize: headSize(`${path}: vision_config.num_attention_heads`, hidden, heads),
        activation: activation(`${path}: vision_config.hidden_act`, vision.hidden_act),
        epsilon: vision.layer_norm_eps,
        layers: layersRun(`${path}: vision_feature_layer`, vision.num_hidden_layers, config.vision_feature_layer),
        ...switches,
        skippedRows: strategy === 'default' ? switches.prefixRows : 0,
      },
      projector: { layers: 2, pooled: false },
      language: language.sizes,
    },
    preprocessing: pictures(file, vision.image_size),
    prompt: PROMPT,
    layout: {
      tower: CLIP.names('vision_tower.vision_model.', false),
      projector: (layer) => `multi_modal_projector.linear_${layer + 1}`,
      ...language.layout,
    },
  };
}

function pictures({ path, preprocessor }: CheckpointFile, imageSize: number): CheckpointConfig['preprocessing'] {
  if (preprocessor === undefined) return preprocessing(CLIP.picture, imageSize);
  const file = path.replace(/config\.json$/, 'preprocessor_config.json');
  const read = parsePreprocessor(file, preprocessor);
  must(`${file}: crop_size`, imageSize, read.imageSize);
  return read.preprocessing;
}
