/** Readers at published sizes, from config.json and shapes alone: what a LLaVA-style config leaves out is counted and measured in the file. */
import { describe, expect, it } from 'vitest';
import { PHI } from '../../src/package/prompts.js';
import { parseConfig } from './helpers.js';

const PHI2 = {
  ...{ vocab_size: 50_295, hidden_size: 2560, intermediate_size: 10_240, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32 },
  ...{ partial_rotary_factor: 0.4, rope_theta: 10_000, hidden_act: 'gelu_new', layer_norm_eps: 1e-5, max_position_embeddings: 2048 },
};
const LLAVA = { mm_hidden_size: 1152, mm_projector_type: 'mlp2x_gelu', image_aspect_ratio: 'pad' };
const BUNNY = { model_type: 'bunny-phi', ...PHI2, ...LLAVA, mm_vision_tower: 'google/siglip-so400m-patch14-384' };
const MOBILE = {
  ...{ model_type: 'mobilevlm', vocab_size: 32_000, hidden_size: 2048, intermediate_size: 5632, num_hidden_layers: 24, num_attention_heads: 16 },
  ...{ ...LLAVA, mm_hidden_size: 1024, mm_projector_type: 'ldpnetv2', mm_vision_tower: 'openai/clip-vit-large-patch14-336' },
};

interface TowerShape {
  layers: number;
  hidden: number;
  intermediate: number;
  positions: number;
  patch: number;
}
const SO400M: TowerShape = { layers: 26, hidden: 1152, intermediate: 4304, positions: 729, patch: 14 };
const CLIP_L: TowerShape = { layers: 24, hidden: 1024, intermediate: 4096, positions: 577, patch: 14 };

function shapes({ layers, hidden, intermediate, positions, patch }: TowerShape, prefix = 'model.vision_tower.vision_tower.vision_model.') {
  const found: Record<string, number[]> = {
    [`${prefix}embeddings.patch_embedding.weight`]: [hidden, 3, patch, patch],
    [`${prefix}embeddings.position_embedding.weight`]: [positions, hidden],
  };
  for (let i = 0; i < layers; i++) {
    found[`${prefix}encoder.layers.${i}.layer_norm1.weight`] = [hidden];
    found[`${prefix}encoder.layers.${i}.mlp.fc1.weight`] = [intermediate, hidden];
  }
  return found;
}

const read = (config: object, tower: TowerShape, prefix?: string) => parseConfig(JSON.stringify(config), shapes(tower, prefix));

describe('Bunny', () => {
  it('has the sizes of so400m, a grid of 27 at 384 pixels, and 729 image tokens in a context of 2048', () => {
    const { architecture, preprocessing, prompt } = read(BUNNY, SO400M);
    expect(architecture.vision).toMatchObject({
      ...{ imageSize: 384, patchSize: 14, hidden: 1152, intermediate: 4304, heads: 16, headSize: 72, epsilon: 1e-6 },
      ...{ activation: 'gelu_tanh', prefixRows: 0, skippedRows: 0, preNorm: false },
    });
    expect(architecture.language).toMatchObject({ hidden: 2560, heads: 32, kvHeads: 32, headSize: 80, rotaryDims: 32, context: 2048, vocab: 50_295 });
    expect(preprocessing).toMatchObject({ aspect: 'pad', background: [127, 127, 127] });
    expect(prompt).toEqual(PHI);
  });

  it.each([
    [26, 26],
    [27, 26],
  ])('runs, of %i layers in the file, %i', (layers, run) => {
    expect(read(BUNNY, { ...SO400M, layers }).architecture.vision.layers).toBe(run);
  });

  it('in the tower of another size has its heads and pixels', () => {
    const tower = { layers: 11, hidden: 768, intermediate: 3072, positions: 196, patch: 16 };
    const { vision } = read({ ...BUNNY, mm_hidden_size: 768, mm_vision_tower: 'google/siglip-base-patch16-224' }, tower).architecture;
    expect(vision).toMatchObject({ imageSize: 224, patchSize: 16, heads: 12, headSize: 64, layers: 11 });
  });

  it.each<[string, object, TowerShape, RegExp]>([
    ['S²', { use_s2: true }, SO400M, /use_s2: expected false, received true/],
    [
      'a tower that is none of these',
      { mm_vision_tower: 'google/convnext-large' },
      SO400M,
      /mm_vision_tower: expected a SigLIP, CLIP, DINOv2 or ViT/,
    ],
    [
      'a tower of a size that is not known',
      { mm_vision_tower: 'google/siglip-giant' },
      SO400M,
      /mm_vision_tower: expected a so400m, base or large tower/,
    ],
    ['a projector of another width', { mm_hidden_size: 3456 }, SO400M, /mm_hidden_size: expected 1152, received 3456/],
    ['a projector that no reader knows', { mm_projector_type: 'spp' }, SO400M, /mm_projector_type: expected linear, identity or mlpNx_gelu/],
    ['pictures of any resolution', { image_aspect_ratio: 'anyres' }, SO400M, /image_aspect_ratio: expected pad, square or nothing, received anyres/],
    ['tokens around the picture', { mm_use_im_start_end: true }, SO400M, /mm_use_im_start_end: expected false/],
    ['a file without its tower', {}, { ...SO400M, layers: 0 }, /encoder\.layers\.0.*fc1.weight|encoder\.layers\.0/],
    ['positions that are no square', {}, { ...SO400M, positions: 730 }, /position_embedding.weight: expected a square number of rows.*received 730/],
    ['scaled positions', { rope_scaling: { type: 'dynamic', factor: 2 } }, SO400M, /rope_scaling: expected null/],
  ])('is refused with %s', (_, change, tower, message) => {
    expect(() => read({ ...BUNNY, ...change }, tower)).toThrow(
      expect.objectContaining({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) }),
    );
  });

  it('of Qwen1.5 may slide no window', () => {
    const qwen = { ...BUNNY, model_type: 'bunny-qwen2', rms_norm_eps: 1e-6, hidden_act: 'silu', use_sliding_window: true };
    expect(() => read(qwen, SO400M)).toThrow(/use_sliding_window: expected false, received true/);
  });
});

describe('MobileVLM V2', () => {
  it.each([
    [24, 23],
    [23, 23],
  ])('runs, of %i layers of CLIP, %i', (layers, run) => {
    const { vision, projector } = read(MOBILE, { ...CLIP_L, layers }).architecture;
    expect(vision).toMatchObject({ imageSize: 336, heads: 16, layers: run, prefixRows: 1, skippedRows: 1, preNorm: true, activation: 'quick_gelu' });
    expect(projector).toEqual({ layers: 2, pooled: true });
  });
});

describe('Imp', () => {
  const OLD = {
    ...{ model_type: 'imp', n_embd: 2560, n_head: 32, n_head_kv: null, n_inner: null, n_layer: 32, n_positions: 2048, rotary_dim: 32 },
    ...{ activation_function: 'gelu_new', layer_norm_epsilon: 1e-5, vocab_size: 51_200, tie_word_embeddings: false, ...LLAVA },
    mm_vision_tower: BUNNY.mm_vision_tower,
  };
  it('in its names of 2023 is Phi-2, and its pictures are squashed whatever its config says', () => {
    const prefix = 'transformer.vision_tower.vision_tower.vision_model.';
    const found = { ...shapes(SO400M, prefix), 'transformer.embd.wte.weight': [51_200, 2560] };
    const { architecture, preprocessing, layout } = parseConfig(JSON.stringify(OLD), found);
    expect(architecture.language).toMatchObject({ hidden: 2560, intermediate: 10_240, heads: 32, rotaryDims: 32, layers: 32, epsilon: 1e-5 });
    expect(preprocessing.aspect).toBe('squash');
    expect(layout.language.block(3).attention).toEqual({ rows: 'stacked', name: 'transformer.h.3.mixer.Wqkv' });
  });
});
