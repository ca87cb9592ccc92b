import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/package/config.js';
import { MIPHA_LAYOUT, MIPHA_LINEAR_LAYOUT } from '../../src/package/layout.js';
import { publishedConfig } from '../../src/package/published.js';
import { tinyConfig } from './helpers.js';

const parse = (config: object) => parseConfig('config.json', JSON.stringify(config));
type Parts = { top?: object; tower?: object; projector?: object };
const changed = ({ top = {}, tower = {}, projector = {} }: Parts) => {
  const config = tinyConfig();
  const { vision_tower, mm_projector } = config.vision_config;
  return { ...config, ...top, vision_config: { vision_tower: { ...vision_tower, ...tower }, mm_projector: { ...mm_projector, ...projector } } };
};

describe('a published config', () => {
  it('of the 3B gives the sizes of Phi-2 and 26 running layers of the tower', () => {
    expect(parseConfig('', publishedConfig('mipha-3b'))).toEqual({
      architecture: {
        vision: {
          imageSize: 384,
          patchSize: 14,
          hidden: 1152,
          intermediate: 4304,
          heads: 16,
          kvHeads: 16,
          headSize: 72,
          norm: 'layer',
          activation: 'gelu_tanh',
          gated: false,
          residual: 'sequential',
          prefixRows: 0,
          skippedRows: 0,
          preNorm: false,
          layers: 26,
          epsilon: 1e-6,
        },
        projector: { layers: 2, pooled: false },
        language: {
          hidden: 2560,
          intermediate: 10240,
          layers: 32,
          heads: 32,
          kvHeads: 32,
          headSize: 80,
          norm: 'layer',
          activation: 'gelu_tanh',
          gated: false,
          residual: 'parallel',
          rotaryDims: 32,
          vocab: 51200,
          tokens: 51200,
          context: 2048,
          epsilon: 1e-5,
          ropeTheta: 10000,
        },
      },
      preprocessing: {
        aspect: 'pad',
        shortestSide: 384,
        filter: 'bicubic',
        background: [127, 127, 127],
        mean: [0.5, 0.5, 0.5],
        std: [0.5, 0.5, 0.5],
      },
      layout: MIPHA_LAYOUT,
      tied: false,
    });
  });

  it('of the 1.6B has a hyphen, no num_key_value_heads, and half of each head rotated', () => {
    const text = publishedConfig('mipha-1.6b');
    expect(JSON.parse(text)).toMatchObject({ model_type: 'mipha-phi' });
    expect(text).not.toContain('num_key_value_heads');
    expect(parseConfig('', text).architecture.language).toMatchObject({ hidden: 2048, layers: 24, heads: 32, rotaryDims: 32 });
  });

  it('has nested keys that never override the top level', () => {
    const nested = { tie_word_embeddings: true, vocab_size: 7, num_key_value_heads: 1, image_aspect_ratio: 'anyres', rope_theta: 5 };
    const config = parse({ ...changed({ tower: nested, projector: nested }) });
    expect(config).toEqual(parse(tinyConfig()));
  });
});

describe('absent keys', () => {
  it('take the defaults of the model code', () => {
    const config = changed({ tower: { layer_norm_eps: undefined }, projector: { mm_projector_type: undefined } });
    const { architecture, layout } = parse({ ...config, image_aspect_ratio: undefined, max_position_embeddings: undefined });
    expect(architecture.vision).toMatchObject({ epsilon: 1e-5, layers: 2 });
    expect(architecture.projector.layers).toBe(1);
    expect(layout.projector(0)).toBe('model.mm_projector');
    expect(architecture.language).toMatchObject({ context: 2048, epsilon: 1e-5, ropeTheta: 10000 });
  });

  it('mean quick_gelu for the tower, which is refused by name', () => {
    expect(() => parse(changed({ tower: { hidden_act: undefined } }))).toThrow(
      /vision_tower.hidden_act: expected "gelu_pytorch_tanh", received quick_gelu/,
    );
  });

  it('mean a squashed picture', () => {
    expect(parse({ ...tinyConfig(), image_aspect_ratio: null }).preprocessing.aspect).toBe('squash');
  });
});

describe('select layer', () => {
  it.each([
    [-1, 3],
    [-2, 2],
    [-3, 1],
    [1, 1],
    [3, 3],
  ])('%i runs %i of 3 layers', (select, layers) => {
    expect(parse(changed({ tower: { mm_vision_select_layer: select } })).architecture.vision.layers).toBe(layers);
  });

  it.each([-4, -5, 0, 4, 1.5])('%d is refused', (select) => {
    expect(() => parse(changed({ tower: { mm_vision_select_layer: select } }))).toThrow(/mm_vision_select_layer/);
  });
});

describe('projector', () => {
  it.each([
    ['identity', 0, MIPHA_LAYOUT],
    ['linear', 1, MIPHA_LINEAR_LAYOUT],
    ['mlp1x_gelu', 1, MIPHA_LAYOUT],
    ['mlp2x_gelu', 2, MIPHA_LAYOUT],
    ['mlp8x_gelu', 8, MIPHA_LAYOUT],
  ])('%s has %i layers', (type, layers, layout) => {
    const config = parse(changed({ projector: { mm_projector_type: type } }));
    expect([config.architecture.projector.layers, config.layout]).toEqual([layers, layout]);
  });

  it.each(['mlp0x_gelu', 'mlpx_gelu', 'mlp2x_relu', 'mlp99x_gelu', 'resampler', ''])('"%s" is refused', (type) => {
    expect(() => parse(changed({ projector: { mm_projector_type: type } }))).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });

  it('identity needs equal sizes on both sides', () => {
    expect(() => parse(changed({ tower: { hidden_size: 32 }, projector: { mm_projector_type: 'identity' } }))).toThrow(/identity projector/);
  });
});

describe('image sizes', () => {
  it.each([
    [224, 14],
    [336, 14],
    [384, 14],
    [112, 14],
    [224, 16],
  ])('%i with patches of %i follows from the config', (image_size, patch_size) => {
    const { vision } = parse({ ...changed({ tower: { image_size, patch_size } }), max_position_embeddings: 2048 }).architecture;
    expect(vision).toMatchObject({ imageSize: image_size, patchSize: patch_size });
  });
});

describe('what cannot be run is refused with key, expected and received', () => {
  it.each<[string, Parts, RegExp]>([
    ['another activation', { top: { hidden_act: 'silu' } }, /hidden_act: expected "gelu_new", received silu/],
    ['normalised queries', { top: { qk_layernorm: true } }, /qk_layernorm: expected false, received true/],
    ['scaled positions', { top: { rope_scaling: { type: 'linear', factor: 2 } } }, /rope_scaling: expected null/],
    ['grouped keys', { top: { num_key_value_heads: 1 } }, /num_key_value_heads: expected 2, received 1/],
    ['image start and end tokens', { top: { mm_use_im_start_end: true } }, /mm_use_im_start_end/],
    ['a CLIP tower', { tower: { vision_model_name_or_path: 'openai/clip-vit-large' } }, /Mipha with a CLIP tower .* is known, not supported yet/],
    ['a class token feature', { tower: { mm_vision_select_feature: 'cls' } }, /patch or cls_patch/],
    ['gray pictures', { tower: { num_channels: 1 } }, /num_channels: expected 3, received 1/],
    ['a projector of another size', { projector: { hidden_size: 32 } }, /mm_projector.hidden_size: expected 16, received 32/],
    ['heads that do not divide', { top: { num_attention_heads: 3 } }, /num_attention_heads: expected a divisor of hidden_size \(16\), received 3/],
    ['small heads', { top: { num_attention_heads: 4 } }, /headSize: expected a multiple of 8, received 4/],
    ['an odd rotary size', { top: { partial_rotary_factor: 0.2 } }, /rotaryDims: expected a multiple of 2, received 1/],
    ['more rotary than head', { top: { partial_rotary_factor: 2 } }, /rotaryDims: expected at most 8/],
    ['pictures that fill the context', { top: { max_position_embeddings: 4 } }, /image tokens: expected at most 3, received 4/],
    ['a missing size', { top: { hidden_size: undefined } }, /hidden_size: .*expected number, received undefined/],
    ['a size beyond reason', { top: { hidden_size: 1e8 } }, /language.hidden: .*8192/],
    ['a negative epsilon', { top: { layer_norm_eps: -1 } }, /language.epsilon/],
    ['Gemma', { top: { model_type: 'mipha_gemma' } }, /Mipha on Gemma \(model_type mipha_gemma\) is known, not supported yet/],
    ['Phi-3', { top: { model_type: 'mipha-phi3' } }, /mipha-phi3\) is known, not supported yet/],
    ['another model', { top: { model_type: 'eyesight' } }, /model_type: expected mipha_phi or mipha-phi, received eyesight/],
    ['no model type', { top: { model_type: undefined } }, /model_type: expected mipha_phi or mipha-phi, received nothing/],
  ])('%s', (_, parts, message) => {
    expect(() => parse(changed(parts))).toThrow(
      expect.objectContaining({ name: 'MiphaError', code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) }),
    );
  });

  it('and text that is no JSON', () => {
    expect(() => parseConfig('config.json', '{"model_type":')).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });
});
