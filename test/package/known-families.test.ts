/** Configs of published models, cut to what tells them apart: each finds its reader, or is refused by its name and with what is missing. */
import { describe, expect, it } from 'vitest';
import { familyNames, readerOf } from '../../src/package/families/index.js';

const refusal = (config: object) => {
  try {
    readerOf('config.json', JSON.stringify(config));
  } catch (error) {
    return error as { code: string; message: string; details: Record<string, unknown> };
  }
  throw new Error('not refused');
};

describe('a known family is refused as such', () => {
  it.each<[string, object, RegExp]>([
    ['Bunny', { model_type: 'bunny-phi3' }, /language model, or more than one scale/],
    ['Bunny', { model_type: 'bunny-minicpm' }, /language model, or more than one scale/],
    ['Imp', { model_type: 'imp_phi3' }, /language model that no reader knows/],
    ['TinyLLaVA', { model_type: 'tiny_llava_openelm' }, /language model that no reader knows/],
    ['MoE-LLaVA', { model_type: 'moe_llava_phi', moe: { num_experts: [4] } }, /experts behind a router/],
    ['moondream', { model_type: 'moondream1', config: {}, architectures: ['HfMoondream'] }, /crops of a picture.*revisions/],
    ['moondream', { config: {}, architectures: ['HfMoondream'] }, /crops of a picture.*revisions/],
    ['FastVLM', { model_type: 'llava_qwen2' }, /convolutional/],
    [
      'LLaVA',
      { model_type: 'llava', mm_vision_tower: 'openai/clip-vit-large-patch14-336', architectures: ['LlavaLlamaForCausalLM'] },
      /pickles; convert llava-hf/,
    ],
    ['LLaVA', { model_type: 'llava_llama', mm_vision_tower: 'openai/clip-vit-large-patch14-336' }, /pickles/],
    ['LLaVA', { model_type: 'llava_next' }, /./],
    ['LLaVA', { model_type: 'llava_onevision' }, /./],
    ['Qwen-VL', { model_type: 'qwen2_vl' }, /any shape/],
    ['Qwen-VL', { model_type: 'qwen2_5_vl' }, /any shape/],
    ['Qwen-VL', { model_type: 'qwen3_vl' }, /any shape/],
    ['SmolVLM and Idefics', { model_type: 'smolvlm' }, /no reader/],
    ['SmolVLM and Idefics', { model_type: 'idefics3' }, /no reader/],
    ['PaliGemma', { model_type: 'paligemma' }, /no reader/],
    ['Gemma 3', { model_type: 'gemma3' }, /no reader/],
    ['Phi Vision', { model_type: 'phi3_v' }, /no reader/],
    ['InternVL', { model_type: 'internvl_chat' }, /no reader/],
    ['MiniCPM-V', { model_type: 'minicpmv' }, /no reader/],
    ['BLIP', { model_type: 'instructblip' }, /no reader/],
    ['Mipha on Phi-3', { model_type: 'mipha-phi3' }, /no reader/],
  ])('%s: %j', (name, config, missing) => {
    const { code, message, details } = refusal(config);
    expect(code).toBe('ERR_MODEL_FORMAT');
    expect(message).toMatch(/^config\.json: .* \((model_type|architecture) .*\) is known, not supported: .+; Mipha, Bunny, .* are$/);
    expect(message).toMatch(missing);
    expect(message).toContain(`${name} (`);
    expect(details.family).toBe(name);
  });

  it.each([
    ['phi', 'a language model alone'],
    ['phi-msft', 'a language model alone'],
    ['qwen2', 'a language model alone'],
    ['gemma2', 'a language model alone'],
    ['gpt_neox', 'a language model alone'],
    ['llama', 'a language model alone'],
    ['stablelm', 'a language model alone'],
    ['siglip', 'a vision tower alone'],
    ['siglip_vision_model', 'a vision tower alone'],
    ['clip', 'a vision tower alone'],
    ['dinov2_with_registers', 'a vision tower alone'],
  ])('half a model is called one: %s', (model_type, words) => {
    expect(refusal({ model_type }).message).toMatch(new RegExp(`expected a checkpoint of Mipha, .*received ${model_type}: ${words}`));
  });

  it.each([[{ model_type: 'eyesight' }], [{ model_type: 'constructor' }], [{ model_type: '__proto__' }], [{}], [{ architectures: ['Whatever'] }]])(
    'nothing is made up about %j',
    (config) => {
      const { message, details } = refusal(config);
      expect(message).toMatch(/model_type: expected one of a known family \(Mipha, Bunny, .*\), received /);
      expect(details.family).toBeUndefined();
    },
  );
});

describe('a family that loads finds its reader', () => {
  it.each<[string, object]>([
    ['Mipha', { model_type: 'mipha_phi' }],
    ['Mipha', { model_type: 'mipha-phi' }],
    ['Mipha', { model_type: 'mipha_gemma' }],
    ['Mipha', { model_type: 'mipha_gpt_neox' }],
    ['Mipha', { model_type: 'llava_phi', vision_config: {} }],
    ['Bunny', { model_type: 'bunny-phi' }],
    ['Bunny', { model_type: 'bunny-stablelm' }],
    ['Imp', { model_type: 'imp', n_embd: 2560 }],
    ['TinyLLaVA', { model_type: 'tinyllava' }],
    ['TinyLLaVA', { model_type: 'tiny_llava_phi' }],
    ['TinyLLaVA', { model_type: 'tiny_llava_llama' }],
    ['MobileVLM', { model_type: 'mobilevlm' }],
    ['LLaVA-1.5', { model_type: 'llava', architectures: ['LlavaForConditionalGeneration'] }],
  ])('%s: %j', (name, config) => {
    expect(readerOf('config.json', JSON.stringify(config)).name).toBe(name);
    expect(familyNames()).toContain(name);
  });
});
