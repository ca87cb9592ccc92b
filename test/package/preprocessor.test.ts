/** preprocessor_config.json of published checkpoints, as their folders have them. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CLIP, DINOV2, longerSide, preprocessing, SIGLIP, VIT } from '../../src/package/pictures.js';
import { parsePreprocessor } from '../../src/package/preprocessor.js';

const parse = (config: object) => parsePreprocessor('preprocessor_config.json', JSON.stringify(config));
const factor = 0.00392156862745098;
const half = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
const clip = { image_mean: [0.48145466, 0.4578275, 0.40821073], image_std: [0.26862954, 0.26130258, 0.27577711] };

const SIGLIP_384 = {
  do_normalize: true,
  do_rescale: true,
  do_resize: true,
  ...half,
  image_processor_type: 'SiglipImageProcessor',
  processor_class: 'SiglipProcessor',
  resample: 3,
  rescale_factor: factor,
  size: { height: 384, width: 384 },
};
const CLIP_336 = {
  crop_size: 336,
  do_center_crop: true,
  do_normalize: true,
  do_resize: true,
  feature_extractor_type: 'CLIPFeatureExtractor',
  ...clip,
  resample: 3,
  size: 336,
};
const LLAVA_HF = {
  crop_size: { height: 336, width: 336 },
  do_center_crop: true,
  do_convert_rgb: true,
  do_normalize: true,
  do_rescale: true,
  do_resize: true,
  ...clip,
  image_processor_type: 'CLIPImageProcessor',
  processor_class: 'LlavaProcessor',
  resample: 3,
  rescale_factor: factor,
  size: { shortest_edge: 336 },
};
const DINOV2_LARGE = {
  crop_size: { height: 224, width: 224 },
  do_center_crop: true,
  do_convert_rgb: true,
  do_normalize: true,
  do_rescale: true,
  do_resize: true,
  image_mean: [0.485, 0.456, 0.406],
  image_processor_type: 'BitImageProcessor',
  image_std: [0.229, 0.224, 0.225],
  resample: 3,
  rescale_factor: factor,
  size: { shortest_edge: 256 },
};
const VIT_IN21K = { do_normalize: true, do_resize: true, ...half, resample: 2, size: 224 };

describe('a published file gives the preprocessing of its tower', () => {
  it.each([
    ['SigLIP', SIGLIP_384, SIGLIP, 384],
    ['CLIP-L/336', CLIP_336, CLIP, 336],
    ['llava-1.5-7b-hf', LLAVA_HF, CLIP, 336],
    ['DINOv2-large', DINOV2_LARGE, DINOV2, 224],
    ['ViT-L IN21k', VIT_IN21K, VIT, 224],
  ])('%s', (_, config, tower, imageSize) => {
    expect(parse(config)).toEqual({ preprocessing: preprocessing(tower, imageSize), imageSize });
  });

  it('mipha-nano', async () => {
    const path = 'models/mipha-nano/checkpoint/preprocessor_config.json';
    expect(parsePreprocessor(path, await readFile(path, 'utf8'))).toEqual({ preprocessing: preprocessing(SIGLIP, 112), imageSize: 112 });
  });

  it('whose numbers are these', () => {
    expect(parse(DINOV2_LARGE)).toEqual({
      preprocessing: {
        aspect: 'crop',
        shortestSide: 256,
        filter: 'bicubic',
        background: [123, 116, 103],
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
      },
      imageSize: 224,
    });
    expect(parse(VIT_IN21K).preprocessing).toMatchObject({ aspect: 'squash', shortestSide: 224, filter: 'bilinear', background: [127, 127, 127] });
    expect(parse(CLIP_336).preprocessing).toMatchObject({ aspect: 'crop', shortestSide: 336, filter: 'bicubic', background: [122, 116, 104] });
    expect(preprocessing(DINOV2, 224, 'pad')).toMatchObject({ aspect: 'pad', shortestSide: 256 });
  });
});

describe('the same in other words', () => {
  it('a plain number is both sides for processors without a crop', () => {
    expect(parse({ ...SIGLIP_384, size: 384 })).toEqual(parse(SIGLIP_384));
    expect(parse({ ...VIT_IN21K, feature_extractor_type: 'ViTFeatureExtractor' })).toEqual(parse(VIT_IN21K));
    expect(parse({ ...VIT_IN21K, image_processor_type: 'ViTImageProcessor', size: { height: 224, width: 224 } })).toEqual(parse(VIT_IN21K));
  });

  it('absent steps are the defaults of the class', () => {
    const { do_center_crop, do_normalize, do_resize, do_rescale, rescale_factor, ...rest } = DINOV2_LARGE;
    expect(parse(rest)).toEqual(parse(DINOV2_LARGE));
    const { feature_extractor_type, ...nameless } = CLIP_336;
    expect(parse(nameless)).toEqual(parse(CLIP_336));
  });

  it('newer classes, and keys that change no pixel', () => {
    const keys = {
      data_format: 'channels_first',
      default_to_square: false,
      device: null,
      do_pad: null,
      input_data_format: null,
      disable_grouping: null,
    };
    expect(parse({ ...LLAVA_HF, ...keys, image_processor_type: 'CLIPImageProcessorFast' })).toEqual(parse(LLAVA_HF));
    expect(parse({ ...LLAVA_HF, image_processor_type: 'CLIPImageProcessorPil', _valid_processor_keys: ['images'] })).toEqual(parse(LLAVA_HF));
  });

  it('both sides, then a crop', () => {
    const { preprocessing, imageSize } = parse({ ...DINOV2_LARGE, size: { height: 256, width: 256 } });
    expect(preprocessing).toMatchObject({ aspect: 'squash', shortestSide: 256 });
    expect(imageSize).toBe(224);
  });
});

describe('refused by name', () => {
  it.each<[string, object, RegExp]>([
    [
      'another processor',
      { ...LLAVA_HF, image_processor_type: 'LlavaNextImageProcessor' },
      /image_processor_type: expected CLIP.*received LlavaNext/,
    ],
    ['a name that objects have anyway', { ...LLAVA_HF, image_processor_type: 'constructor' }, /image_processor_type: expected/],
    ['another filter', { ...SIGLIP_384, resample: 1 }, /resample: expected 2 \(bilinear\) or 3 \(bicubic\), received 1/],
    ['no filter', { ...SIGLIP_384, resample: undefined }, /resample: expected 2 .*received nothing/],
    ['no resize', { ...SIGLIP_384, do_resize: false }, /do_resize: expected true, received false/],
    ['no rescale', { ...SIGLIP_384, do_rescale: false }, /do_rescale: expected true, received false/],
    ['no normalisation', { ...SIGLIP_384, do_normalize: false }, /do_normalize: expected true, received false/],
    ['another scale', { ...SIGLIP_384, rescale_factor: 1 / 127.5 }, /rescale_factor: expected 1\/255, received 0.0078/],
    ['a picture that is no square', { ...SIGLIP_384, size: { height: 384, width: 512 } }, /size: expected a square, received .*512/],
    ['a crop that is no square', { ...LLAVA_HF, crop_size: { height: 336, width: 224 } }, /crop_size: expected a square/],
    ['a crop of unknown size', { ...LLAVA_HF, crop_size: undefined }, /crop_size: expected a square, received nothing/],
    [
      'a crop larger than the picture',
      { ...LLAVA_HF, size: { shortest_edge: 224 } },
      /crop_size: expected at most the 224 pixels of size, received 336/,
    ],
    ['pictures of any shape', { ...LLAVA_HF, do_center_crop: false }, /do_center_crop: expected true.* received false/],
    ['a crop nobody makes', { ...SIGLIP_384, do_center_crop: true }, /do_center_crop: expected false, for SiglipImageProcessor has no crop/],
    ['a longest edge', { ...LLAVA_HF, size: { shortest_edge: 336, longest_edge: 672 } }, /size: .*longest_edge/],
    ['no size', { ...SIGLIP_384, size: undefined }, /size: expected a number of pixels/],
    ['a size of nothing', { ...CLIP_336, size: 0 }, /size: .*>=1 \(0\)/],
    ['no mean', { ...SIGLIP_384, image_mean: undefined }, /image_mean/],
    ['a mean of bytes', { ...SIGLIP_384, image_mean: [127, 127, 127] }, /image_mean.0/],
    ['a deviation of nothing', { ...SIGLIP_384, image_std: [0.5, 0, 0.5] }, /image_std.1/],
    ['a step nobody knows', { ...LLAVA_HF, do_pad: true }, /do_pad: expected nothing/],
    ['tiles', { ...LLAVA_HF, image_grid_pinpoints: [[336, 672]] }, /image_grid_pinpoints: expected nothing/],
  ])('%s', (_, config, message) => {
    expect(() => parse(config)).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) }));
  });

  it('what is no JSON', () => {
    expect(() => parsePreprocessor('x/preprocessor_config.json', '{')).toThrow(/x\/preprocessor_config.json: expected JSON/);
  });
});

describe('the longer side of a picture that loses nothing', () => {
  it.each([
    ['SigLIP in a border', preprocessing(SIGLIP, 384, 'pad'), 384],
    ['SigLIP squashed: its shorter side would be scaled up again', preprocessing(SIGLIP, 384), 768],
    ['CLIP cropped', preprocessing(CLIP, 336), 672],
    ['DINOv2 in a border that is cropped', preprocessing(DINOV2, 224, 'pad'), 256],
  ])('%s', (_, how, side) => {
    expect(longerSide(how)).toBe(side);
  });
});
