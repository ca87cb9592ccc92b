/** Configs of published models, cut to what tells them apart: each is refused by its name. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/package/config.js';

const refusal = (config: object) => {
  try {
    parseConfig('config.json', JSON.stringify(config));
  } catch (error) {
    return error as { code: string; message: string; details: Record<string, unknown> };
  }
  throw new Error('not refused');
};

describe('a known family is refused as such', () => {
  it.each<[string, object]>([
    ['LLaVA-Phi', { model_type: 'llava_phi', architectures: ['LlavaPhiForCausalLM'], vision_config: {} }],
    [
      'Bunny',
      { model_type: 'bunny-phi', architectures: ['BunnyPhiForCausalLM'], vocab_size: 50295, mm_vision_tower: 'google/siglip-so400m-patch14-384' },
    ],
    ['Bunny', { model_type: 'bunny-qwen2' }],
    ['Bunny', { model_type: 'bunny-phi3' }],
    ['Imp', { model_type: 'imp', n_embd: 2560, image_token_index: 50296 }],
    ['Imp', { model_type: 'imp_phi3' }],
    ['TinyLLaVA', { model_type: 'tinyllava', text_config: {}, connector_type: 'mlp2x_gelu' }],
    ['TinyLLaVA', { model_type: 'tiny_llava_phi' }],
    ['TinyLLaVA', { architectures: ['TinyLlavaLlamaForCausalLM'] }],
    ['MoE-LLaVA', { model_type: 'moe_llava_phi', moe: { num_experts: [4] } }],
    ['moondream', { model_type: 'moondream1', config: {}, architectures: ['HfMoondream'] }],
    ['moondream', { config: {}, architectures: ['HfMoondream'] }],
    ['nanoLLaVA', { model_type: 'llava-qwen2' }],
    ['FastVLM', { model_type: 'llava_qwen2' }],
    ['LLaVA', { model_type: 'llava', text_config: {} }],
    ['LLaVA', { model_type: 'llava_llama', mm_vision_tower: 'openai/clip-vit-large-patch14-336' }],
    ['LLaVA', { model_type: 'llava_next' }],
    ['LLaVA', { model_type: 'llava_onevision' }],
    ['MobileVLM', { model_type: 'mobilevlm', architectures: ['MobileLlamaForCausalLM'] }],
    ['Qwen-VL', { model_type: 'qwen2_vl' }],
    ['Qwen-VL', { model_type: 'qwen2_5_vl' }],
    ['Qwen-VL', { model_type: 'qwen3_vl' }],
    ['SmolVLM and Idefics', { model_type: 'smolvlm' }],
    ['SmolVLM and Idefics', { model_type: 'idefics3' }],
    ['PaliGemma', { model_type: 'paligemma' }],
    ['Gemma 3', { model_type: 'gemma3' }],
    ['Phi Vision', { model_type: 'phi3_v' }],
    ['InternVL', { model_type: 'internvl_chat' }],
    ['MiniCPM-V', { model_type: 'minicpmv' }],
    ['BLIP', { model_type: 'instructblip' }],
    ['Mipha on Gemma', { model_type: 'mipha_gemma' }],
    ['Mipha on Phi-3', { model_type: 'mipha-phi3' }],
  ])('%s: %j', (name, config) => {
    const { code, message, details } = refusal(config);
    expect(code).toBe('ERR_MODEL_FORMAT');
    expect(message).toMatch(
      /^config\.json: .* \((model_type|architecture) .*\) is known, not supported yet; Mipha on Phi-2 and Phi-1\.5 \(mipha_phi\) is$/,
    );
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
    expect(refusal({ model_type }).message).toMatch(new RegExp(`expected a Mipha checkpoint .*received ${model_type}: ${words}`));
  });

  it.each([[{ model_type: 'eyesight' }], [{ model_type: 'constructor' }], [{ model_type: '__proto__' }], [{}], [{ architectures: ['Whatever'] }]])(
    'nothing is made up about %j',
    (config) => {
      const { message, details } = refusal(config);
      expect(message).toMatch(/model_type: expected mipha_phi or mipha-phi, received /);
      expect(details.family).toBeUndefined();
    },
  );
});
