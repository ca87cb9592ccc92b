import { describe, expect, it } from 'vitest';
import { PHI } from '../../src/package/prompts.js';
import { publishedConfig } from '../../src/package/published.js';
import { parseConfig, tinyConfig } from './helpers.js';

const parse = (config: object) => parseConfig(JSON.stringify(config));
type Parts = { top?: object; tower?: object; projector?: object };
const changed = ({ top = {}, tower = {}, projector = {} }: Parts) => {
  const config = tinyConfig();
  const { vision_tower, mm_projector } = config.vision_config;
  return { ...config, ...top, vision_config: { vision_tower: { ...vision_tower, ...tower }, mm_projector: { ...mm_projector, ...projector } } };
};

describe('a published config', () => {
  it('of the 3B gives the sizes of Phi-2 and 26 running layers of the tower', () => {
    expect(parseConfig(publishedConfig('mipha-3b'))).toMatchObject({
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
      prompt: PHI,
    });
  });

  it('of the 1.6B has a hyphen, no num_key_value_heads, and half of each head rotated', () => {
    const text = publishedConfig('mipha-1.6b');
    expect(JSON.parse(text)).toMatchObject({ model_type: 'mipha-phi' });
    expect(text).not.toContain('num_key_value_heads');
    expect(parseConfig(text).architecture.language).toMatchObject({ hidden: 2048, layers: 24, heads: 32, rotaryDims: 32 });
  });

  it('has nested keys that never override the top level', () => {
    const nested = { tie_word_embeddings: true, vocab_size: 7, num_key_value_heads: 1, image_aspect_ratio: 'anyres', rope_theta: 5 };
    const { layout, ...config } = parse({ ...changed({ tower: nested, projector: nested }) });
    expect(config).toEqual({ ...parse(tinyConfig()), layout: undefined });
    expect(layout.language.head).toBe('lm_head');
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

  it('mean quick_gelu for the tower, as the model code would compute it', () => {
    expect(parse(changed({ tower: { hidden_act: undefined } })).architecture.vision.activation).toBe('quick_gelu');
  });

  it('mean an MLP four times as wide in a DINOv2, whose intermediate_size means nothing; in others it is meant', () => {
    const widthOf = (tower: object) => parse(changed({ tower })).architecture.vision.intermediate;
    expect(widthOf({ vision_model_name_or_path: 'facebook/dinov2-large', intermediate_size: 3072 })).toBe(4 * 16);
    expect(widthOf({ mlp_ratio: 2, intermediate_size: 24 })).toBe(24);
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
    ['identity', 0, []],
    ['linear', 1, ['model.mm_projector']],
    ['mlp1x_gelu', 1, ['model.mm_projector.0']],
    ['mlp2x_gelu', 2, ['model.mm_projector.0', 'model.mm_projector.2']],
    ['mlp8x_gelu', 8, ['model.mm_projector.0', 'model.mm_projector.2', 'model.mm_projector.4']],
  ])('%s has %i layers', (type, layers, names) => {
    const { architecture, layout } = parse(changed({ projector: { mm_projector_type: type } }));
    expect(architecture.projector).toEqual({ layers, pooled: false });
    expect(names.map((_, layer) => layout.projector(layer))).toEqual(names);
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
    ['another activation', { top: { hidden_act: 'relu' } }, /config.json: hidden_act: expected gelu_new, .*silu, swish, received relu/],
    ['of the tower', { tower: { hidden_act: 'mish' } }, /vision_tower.hidden_act: expected gelu_new, .* received mish/],
    ['normalised queries', { top: { qk_layernorm: true } }, /qk_layernorm: expected false, received true/],
    ['scaled positions', { top: { rope_scaling: { type: 'linear', factor: 2 } } }, /rope_scaling: expected null/],
    ['groups of keys that do not divide', { top: { num_key_value_heads: 3 } }, /language.heads: expected a multiple of 3, received 2/],
    ['a gated DINOv2', { tower: { vision_model_name_or_path: 'facebook/dinov2-giant', use_swiglu_ffn: true } }, /use_swiglu_ffn: expected false/],
    ['image start and end tokens', { top: { mm_use_im_start_end: true } }, /mm_use_im_start_end/],
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
    ['Phi-3', { top: { model_type: 'mipha-phi3' } }, /mipha-phi3\) is known, not supported: no reader knows its parts/],
    ['another model', { top: { model_type: 'eyesight' } }, /model_type: expected one of a known family \(Mipha, Bunny, .*\), received eyesight/],
    ['no model type', { top: { model_type: undefined } }, /model_type: expected one of a known family .*, received nothing/],
  ])('%s', (_, parts, message) => {
    expect(() => parse(changed(parts))).toThrow(
      expect.objectContaining({ name: 'MiphaError', code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) }),
    );
  });

  it('and text that is no JSON', () => {
    expect(() => parseConfig('{"model_type":')).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });
});
