"""The families whose language model is Qwen2's, Llama's or StableLM's block; see families.py."""

import layouts
from families import CLIP, CLIP_336, SIGLIP_384, VOCAB, Family, Language, clip_l, cropped, llava_keys, put_tower, so400m
from layouts import Layout

TWICE = 'model.vision_tower.vision_tower.vision_model.'


def qwen(name, about, architecture, model_type, keys, config, tied=False, dtype='BF16', head=False):
    tower = so400m(TWICE, layers=2)
    H, heads, kv = keys['hidden_size'], keys['num_attention_heads'], keys['num_key_value_heads']
    t = Layout()
    put_tower(t, tower, head=head)
    layouts.mlp(t, 'model.mm_projector.', tower.hidden, H)
    layouts.gated(t, H, keys['intermediate_size'], 2, VOCAB, heads, kv, H // heads, qkv_bias=True, tied=tied)
    published = dict(architectures=[architecture], model_type=model_type, **config, **keys, torch_dtype={'BF16': 'bfloat16', 'F16': 'float16'}[dtype], **llava_keys(SIGLIP_384, tower.hidden))
    return Family(name, about, published, t, tower, Language('qwen2', keys), 'model.mm_projector.', dtype=dtype)


def qwen_keys(H, I, heads, kv, tied):
    return dict(vocab_size=VOCAB, hidden_size=H, intermediate_size=I, num_hidden_layers=2, num_attention_heads=heads, num_key_value_heads=kv, hidden_act='silu', rms_norm_eps=1e-6,
                rope_theta=1000000.0, max_position_embeddings=32768, max_window_layers=21, sliding_window=32768, use_sliding_window=False, tie_word_embeddings=tied, attention_dropout=0.0,
                initializer_range=0.02, use_cache=True)


def bunny_qwen():
    return qwen('bunny-qwen', 'Bunny-v1.0-2B-zh: Qwen1.5 with heads of 128, not tied.', 'BunnyQwenForCausalLM', 'bunny-qwen', qwen_keys(256, 704, 2, 2, False),
                dict(_name_or_path='BAAI/bunny-qwen1.5-1.8b-siglip', auto_map={'AutoConfig': 'configuration_bunny_qwen2.BunnyQwen2Config', 'AutoModelForCausalLM': 'modeling_bunny_qwen2.BunnyQwen2ForCausalLM'},
                     bos_token_id=151643, eos_token_id=151643, transformers_version='4.39.1'), dtype='F16')


def bunny_qwen_gqa():
    return qwen('bunny-qwen2-gqa', "The name that Bunny's code gives it today, with fewer heads of k and v than of q, as Qwen2 has.", 'BunnyQwen2ForCausalLM', 'bunny-qwen2', qwen_keys(256, 704, 4, 2, False),
                dict(bos_token_id=151643, eos_token_id=151643, transformers_version='4.39.1'))


def nanollava():
    return qwen('nanollava', 'Tied, a pooling head in the tower that nothing uses.', 'LlavaQwen2ForCausalLM', 'llava-qwen2', qwen_keys(128, 352, 2, 2, True),
                dict(_name_or_path='qnguyen3/nanoLLaVA', auto_map={'AutoConfig': 'configuration_llava_qwen2.LlavaQwen2Config', 'AutoModelForCausalLM': 'modeling_llava_qwen2.LlavaQwen2ForCausalLM'},
                     bos_token_id=151643, eos_token_id=151645, mm_vision_select_layer=-2, transformers_version='4.39.3'), tied=True, head=True)


def tiny_llava_stablelm():
    H = 128
    tower = so400m(TWICE, layers=2)
    t = Layout()
    put_tower(t, tower, head=False, post=False)
    layouts.mlp(t, 'model.mm_projector.', tower.hidden, H)
    layouts.gated(t, H, 352, 2, VOCAB, 2, 2, 64, qkv_bias=True, norm_bias=True)
    keys = dict(vocab_size=VOCAB, hidden_size=H, intermediate_size=352, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, hidden_act='silu', layer_norm_eps=1e-5,
                partial_rotary_factor=0.25, rope_theta=10000, rope_scaling=None, use_qkv_bias=True, hidden_dropout=0.0, attention_dropout=0.0, max_position_embeddings=4096,
                tie_word_embeddings=False, initializer_range=0.02, use_cache=True)
    config = dict(architectures=['TinyLlavaStablelmForCausalLM'], model_type='tiny_llava_stablelm', bos_token_id=100257, eos_token_id=100257, mm_vision_select_layer=-2,
                  mm_vision_select_feature='patch', mm_use_im_start_end=False, mm_use_im_patch_token=False, **keys, torch_dtype='bfloat16', **llava_keys(SIGLIP_384, tower.hidden))
    return Family('tiny-llava-stablelm', 'StableLM-2: norms with biases, gated MLP, rotary on 16 of 64.', config, t, tower, Language('stablelm', keys), 'model.mm_projector.')


def llama_keys(H, I, heads, kv, eps):
    return dict(vocab_size=VOCAB, hidden_size=H, intermediate_size=I, num_hidden_layers=2, num_attention_heads=heads, num_key_value_heads=kv, hidden_act='silu', rms_norm_eps=eps,
                rope_theta=10000.0, rope_scaling=None, max_position_embeddings=2048, pretraining_tp=1, attention_bias=False, attention_dropout=0.0, tie_word_embeddings=False,
                initializer_range=0.02, use_cache=True)


def tinyllava_1_5b():
    H = 256
    tower = so400m(TWICE, layers=2)
    t = Layout()
    put_tower(t, tower, head=False, post=False)
    layouts.mlp(t, 'model.mm_projector.', tower.hidden, H)
    layouts.gated(t, H, 704, 2, VOCAB, 4, 1, 64)
    keys = llama_keys(H, 704, 4, 1, 1e-5)
    config = dict(architectures=['TinyLlavaLlamaForCausalLM'], model_type='tiny_llava_llama', bos_token_id=1, eos_token_id=2, mm_vision_select_layer=-2, mm_vision_select_feature='patch',
                  mm_use_im_start_end=False, mm_use_im_patch_token=False, **keys, torch_dtype='bfloat16', **llava_keys(SIGLIP_384, tower.hidden))
    return Family('tinyllava-1.5b', 'TinyLlama: four heads of 64 share one of k and v.', config, t, tower, Language('llama', keys), 'model.mm_projector.')


def llava_hf():
    H = 256
    tower = clip_l('vision_tower.vision_model.', side=56)
    t = Layout()
    put_tower(t, tower)
    layouts.mlp(t, 'multi_modal_projector.', tower.hidden, H, names=('linear_1', 'linear_2'))
    layouts.gated(t, H, 704, 2, VOCAB, 2, 2, 128, p='language_model.')
    text = dict(_name_or_path='lmsys/vicuna-7b-v1.5', architectures=['LlamaForCausalLM'], max_position_embeddings=4096, model_type='llama', rms_norm_eps=1e-5, torch_dtype='float16', vocab_size=VOCAB,
                hidden_size=H, intermediate_size=704, num_hidden_layers=2, num_attention_heads=2)  # sparse: no key/value heads, no theta
    vision = dict(hidden_size=128, image_size=56, intermediate_size=512, model_type='clip_vision_model', num_attention_heads=2, num_hidden_layers=3, patch_size=14, projection_dim=768, vocab_size=32000)
    config = dict(architectures=['LlavaForConditionalGeneration'], ignore_index=-100, image_token_index=560, model_type='llava', pad_token_id=561, projector_hidden_act='gelu', text_config=text,
                  tie_word_embeddings=False, torch_dtype='float16', transformers_version='4.36.0.dev0', vision_config=vision, vision_feature_layer=-2, vision_feature_select_strategy='default')
    return Family('llava-1.5-7b-hf', "The layout of transformers' own class: sparse text_config, 'default' drops the class token, centre crop.", config, t, tower,
                  Language('llama', llama_keys(H, 704, 2, 2, 1e-5) | {'max_position_embeddings': 4096}, 'language_model.'), 'multi_modal_projector.', ('linear_1', 'linear_2'), dtype='F16', shards=2,
                  files={'preprocessor_config.json': cropped('CLIPImageProcessor', 56, 56, CLIP), 'generation_config.json': dict(_from_model_config=True, bos_token_id=1, eos_token_id=2)})


def mobilevlm():
    H = 256
    tower = clip_l(TWICE, side=84)
    t = Layout()
    put_tower(t, tower)
    layouts.mlp(t, 'model.mm_projector.mlp.mlp.', tower.hidden, H, gain=3)
    t.add('model.mm_projector.peg.peg.0.weight', H, 1, 3, 3, std=0.4)
    t.add('model.mm_projector.peg.peg.0.bias', H, std=0.3)
    layouts.gated(t, H, 704, 2, VOCAB, 2, 2, 128)
    keys = llama_keys(H, 704, 2, 2, 1e-6)
    config = dict(architectures=['MobileLlamaForCausalLM'], model_type='mobilevlm', bos_token_id=1, eos_token_id=2, pad_token_id=0, freeze_mm_mlp_adapter=False, mm_use_im_patch_token=False,
                  mm_use_im_start_end=False, mm_vision_select_feature='patch', mm_vision_select_layer=-2, vision_tower_type='clip', **keys, torch_dtype='float16',
                  **{k: v for k, v in llava_keys(CLIP_336, tower.hidden, 'ldpnetv2').items() if k != 'freeze_mm_mlp_adapter'})
    return Family('mobilevlm-v2', 'Projector ldpnetv2: MLP, 2 x 2 average, depthwise 3 x 3 with bias and residual: a quarter of the tokens.', config, t, tower, Language('llama', keys),
                  'model.mm_projector.mlp.mlp.', pool=True, dtype='F16')
