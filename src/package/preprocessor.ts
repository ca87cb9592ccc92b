/**
 * preprocessor_config.json → how a picture becomes the tower's input, as the processors of transformers that use Pillow do it. Those of torchvision
 * (…Fast) read the same files and resize a little differently. Absent keys take the defaults of the processor's class.
 */
import { z } from 'zod';
import { formatError, parseJson } from './format.js';
import type { Preprocessing } from './manifest.js';
import { borderColour } from './pictures.js';

export interface Preprocessor {
  preprocessing: Preprocessing; // squash or crop; with `aspect` of `pad` instead, what LLaVA's families make of the same file
  imageSize: number; // pixels per side that the tower gets
}

const px = z.int().min(1).max(4096);
const sides = z.strictObject({ height: px, width: px });
const sizes = z.union([px, sides, z.strictObject({ shortest_edge: px })], {
  error: 'expected a number of pixels from 1 to 4096, {shortest_edge} or {height, width}',
});
const share = z.number().min(0).max(1);
const above0 = z.number().positive().max(1e6);
const step = z.boolean().nullish();
const name = z.string().max(200).nullish();

const shape = {
  image_processor_type: name,
  feature_extractor_type: name, // its older name
  do_resize: step,
  size: sizes,
  resample: z.number().optional(),
  do_center_crop: step,
  crop_size: z.union([px, sides], { error: 'expected a number of pixels from 1 to 4096 or {height, width}' }).nullish(),
  do_rescale: step,
  rescale_factor: z.number().nullish(),
  do_normalize: step,
  image_mean: z.tuple([share, share, share]), // of red, green and blue
  image_std: z.tuple([above0, above0, above0]),
};
const schema = z.looseObject(shape);
type Config = z.infer<typeof schema>;

/** Class → whether it crops, so that a plain number for `size` is the shortest edge, not both sides. */
const CROPS: Record<string, boolean> = {
  CLIPImageProcessor: true,
  CLIPFeatureExtractor: true,
  BitImageProcessor: true,
  SiglipImageProcessor: false,
  ViTImageProcessor: false,
  ViTFeatureExtractor: false,
};

/** PIL.Image.Resampling */
const FILTERS: Record<number, Preprocessing['filter']> = { 2: 'bilinear', 3: 'bicubic' };

/** Keys that change no pixel of an RGB picture. */
const HARMLESS = [
  'processor_class',
  '_valid_processor_keys',
  'do_convert_rgb',
  'data_format',
  'input_data_format',
  'return_tensors',
  'device',
  'default_to_square',
];

/** Throws ERR_MODEL_FORMAT naming the key, what is expected and what came. */
export function parsePreprocessor(path: string, text: string): Preprocessor {
  const config = parseJson(path, text, schema);
  refuseUnsupported(path, config);
  const crops = processorCrops(path, config);
  const filter = FILTERS[config.resample ?? -1];
  if (filter === undefined) throw formatError(`${path}: resample`, '2 (bilinear) or 3 (bicubic)', config.resample);
  const keepsShape = typeof config.size === 'number' ? crops : 'shortest_edge' in config.size;
  const shortestSide = side(path, 'size', config.size);
  const cropped = config.do_center_crop ?? crops;
  if (keepsShape && !cropped) throw formatError(`${path}: do_center_crop`, 'true, or the tower would see pictures of any shape', cropped);
  const imageSize = cropped ? side(path, 'crop_size', config.crop_size) : shortestSide;
  if (imageSize > shortestSide) throw formatError(`${path}: crop_size`, `at most the ${shortestSide} pixels of size`, imageSize);
  const { image_mean: mean, image_std: std } = config;
  return {
    preprocessing: { aspect: keepsShape ? 'crop' : 'squash', shortestSide, filter, background: borderColour(mean), mean, std },
    imageSize,
  };
}

/** Steps that would silently give other pixels if they were ignored, or left out. */
function refuseUnsupported(path: string, config: Config): void {
  for (const key of ['do_resize', 'do_rescale', 'do_normalize'] as const) {
    if (config[key] === false) throw formatError(`${path}: ${key}`, 'true', false);
  }
  const factor = config.rescale_factor ?? 1 / 255;
  if (Math.abs(factor * 255 - 1) > 1e-6) throw formatError(`${path}: rescale_factor`, '1/255', factor);
  for (const [key, value] of Object.entries(config)) {
    const known = Object.hasOwn(shape, key) || HARMLESS.includes(key);
    if (!known && value !== null && value !== false)
      throw formatError(`${path}: ${key}`, 'nothing, null or false, as this key is not known here', value);
  }
}

function processorCrops(path: string, config: Config): boolean {
  const type = config.image_processor_type ?? config.feature_extractor_type;
  // The oldest files name no class.
  if (type == null) return config.do_center_crop ?? config.crop_size != null;
  const known = type.replace(/(Fast|Pil)$/, '');
  const crops = Object.hasOwn(CROPS, known) ? CROPS[known] : undefined;
  if (crops === undefined) throw formatError(`${path}: image_processor_type`, Object.keys(CROPS).join(', '), type);
  if (!crops && config.do_center_crop) throw formatError(`${path}: do_center_crop`, `false, for ${type} has no crop`, true);
  return crops;
}

function side(path: string, key: string, value: z.infer<typeof sizes> | null | undefined): number {
  if (typeof value === 'number') return value;
  if (value != null && 'shortest_edge' in value) return value.shortest_edge;
  if (value == null || value.height !== value.width) throw formatError(`${path}: ${key}`, 'a square', value);
  return value.height;
}
