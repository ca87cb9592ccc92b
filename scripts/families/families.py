"""The families: their published config.json, cut to two decoder layers and small widths with the published head sizes, and what transformers needs to compute them.
Each function gives a Family."""

from dataclasses import dataclass, field

import layouts
from layouts import Layout

VOCAB = 576  # as mipha-nano, whose tokenizer has
TOKENS = 559
HALF, CLIP, IMAGENET = 'half', 'clip', 'imagenet'
NORMALISATION = {
    HALF: ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    CLIP: ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]),
    IMAGENET: ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}
SIGLIP_384 = 'google/siglip-so400m-patch14-384'
CLIP_336 = 'openai/clip-vit-large-patch14-336'
PHI2 = dict(H=160, I=640, heads=2, rotary=0.4)  # heads of 80


@dataclass
class Tower:
    kind: str
    prefix: str
    side: int
    hidden: int
    intermediate: int
    heads: int
    layers: int  # in the file
    run: int
    patch: int = 14
    table: int | None = None  # side of the position table in patches, where it is not the picture's
    drop: int = 0  # rows dropped at the end
    registers: int = 0
    normalisation: str = HALF

    @property
    def grid(self):
        return self.side // self.patch


@dataclass
class Language:
    kind: str
    config: dict  # of transformers' class
    prefix: str = ''
    image_scale: float = 1.0


@dataclass
class Family:
    name: str
    about: str
    config: dict
    tensors: Layout
    tower: Tower
    language: Language
    projector: str  # prefix of its linear layers
    projector_names: tuple = ('0', '2')
    pool: bool = False  # MobileVLM's second half
    dtype: str = 'BF16'
    shards: int = 1
    files: dict = field(default_factory=dict)


def so400m(prefix, layers=3, run=2, side=84, drop=0):
    return Tower('siglip', prefix, side, 144, 576, 2, layers, run, drop=drop)  # heads of 72


def clip_l(prefix, side=70):
    return Tower('clip', prefix, side, 128, 512, 2, 3, 2, drop=1, normalisation=CLIP)  # heads of 64


def put_tower(t, w, **more):
    """The tower's tensors."""
    if w.kind in ('siglip', 'clip', 'vit'):
        getattr(layouts, w.kind)(t, w.prefix, w.hidden, w.intermediate, w.layers, w.patch, w.table or w.grid, **more)
    else:
        layouts.dinov2(t, w.prefix, w.hidden, w.layers, w.patch, w.table or w.grid, w.registers)


def phi_keys(H, I, heads, rotary, vocab=VOCAB, positions=2048):
    return dict(vocab_size=vocab, hidden_size=H, intermediate_size=I, num_hidden_layers=2, num_attention_heads=heads, num_key_value_heads=heads, partial_rotary_factor=rotary,
                rope_theta=10000.0, rope_scaling=None, qk_layernorm=False, hidden_act='gelu_new', layer_norm_eps=1e-5, max_position_embeddings=positions, tie_word_embeddings=False,
                use_cache=True, attention_dropout=0.0, embd_pdrop=0.0, resid_pdrop=0.1, initializer_range=0.02)


def llava_keys(tower, hidden, projector='mlp2x_gelu', aspect='pad'):
    return dict(mm_vision_tower=tower, mm_hidden_size=hidden, mm_projector_type=projector, image_aspect_ratio=aspect, use_mm_proj=True, tokenizer_model_max_length=2048,
                tokenizer_padding_side='right', tune_mm_mlp_adapter=False, freeze_mm_mlp_adapter=False, mm_projector_lr=2e-5)


def phi_language(vocab=VOCAB, keys=PHI2, prefix=''):
    return Language('phi', phi_keys(**keys, vocab=vocab), prefix)


# Mipha's own code, in all its combinations


def mipha_config(tower, H, model_type, architecture, language, name, **more):
    vision = dict(model_type='mipha_vision_model', hidden_size=tower.hidden, intermediate_size=tower.intermediate, num_hidden_layers=tower.layers, num_attention_heads=tower.heads,
                  num_channels=3, image_size=(tower.table or tower.grid) * tower.patch, patch_size=tower.patch, mm_vision_select_feature='patch', mm_vision_select_layer=-2,
                  tie_word_embeddings=True, vision_model_name_or_path=name) | more
    return dict(architectures=[architecture], model_type=model_type, bos_token_id=1, eos_token_id=2, pad_token_id=None, **language, torch_dtype='bfloat16', transformers_version='4.38.2',
                image_aspect_ratio='pad', mm_use_im_start_end=False, mm_use_im_patch_token=False, freeze_vision_tower=False, tokenizer_model_max_length=2048, tokenizer_padding_side='right',
                vision_config={'mm_projector': dict(model_type='mipha_projector', mm_projector_type='mlp2x_gelu', mm_hidden_size=tower.hidden, hidden_size=H, tie_word_embeddings=True),
                               'vision_tower': vision})


def mipha_phi(name, about, tower, hub, preprocessor=None, **vision):
    t = Layout()
    put_tower(t, tower)
    layouts.mlp(t, 'model.mm_projector.', tower.hidden, PHI2['H'])
    layouts.phi(t, PHI2['H'], PHI2['I'], 2, VOCAB)
    config = mipha_config(tower, PHI2['H'], 'mipha_phi', 'MiphaPhiForCausalLM', phi_keys(**PHI2), hub, **vision)
    return Family(name, about, config, t, tower, phi_language(), 'model.mm_projector.', files={'preprocessor_config.json': preprocessor} if preprocessor else {})


def siglip_base():
    tower = Tower('siglip', 'model.vision_tower.vision_model.', 64, 128, 512, 2, 3, 2, patch=16)
    return mipha_phi('mipha-siglip-base-p16', 'Mipha with SigLIP base, patches of 16, heads of 64.', tower, 'google/siglip-base-patch16-224', hidden_act='gelu_pytorch_tanh', layer_norm_eps=1e-6)


def siglip_so400m():
    tower = so400m('model.vision_tower.vision_model.', side=56)
    return mipha_phi('mipha-siglip-so400m-p14', 'Mipha with SigLIP so400m at a small side, heads of 72.', tower, 'google/siglip-so400m-patch14-224', hidden_act='gelu_pytorch_tanh', layer_norm_eps=1e-6)


def mipha_clip():
    tower = clip_l('model.vision_tower.vision_model.')
    return mipha_phi('mipha-clip336', 'Mipha with CLIP ViT-L/14, at 70 px for 336.', tower, CLIP_336, hidden_act='quick_gelu', layer_norm_eps=1e-5)


def cropped(kind, shortest, crop, normalisation):
    mean, std = NORMALISATION[normalisation]
    return dict(crop_size={'height': crop, 'width': crop}, do_center_crop=True, do_convert_rgb=True, do_normalize=True, do_rescale=True, do_resize=True, image_mean=mean,
                image_processor_type=kind, image_std=std, resample=3, rescale_factor=0.00392156862745098, size={'shortest_edge': shortest})


def mipha_dinov2():
    tower = Tower('dinov2', 'model.vision_tower.dinov2.', 56, 128, 512, 2, 3, 2, table=6, drop=1, normalisation=IMAGENET)
    return mipha_phi('mipha-dinov2', 'Mipha with DINOv2 large: LayerScale, a position table of 6 x 6 for pictures of 4 x 4 patches. intermediate_size is the misleading default.', tower,
                     'facebook/dinov2-large', cropped('BitImageProcessor', 64, 56, IMAGENET), hidden_act='gelu', layer_norm_eps=1e-6, intermediate_size=3072, mlp_ratio=4, layerscale_value=1.0,
                     use_swiglu_ffn=False, qkv_bias=True)


def mipha_dinov2_registers():
    tower = Tower('dinov2_with_registers', 'model.vision_tower.dinov2.', 56, 128, 512, 2, 3, 2, table=6, drop=5, registers=4, normalisation=IMAGENET)
    return mipha_phi('mipha-dinov2-registers', 'As mipha-dinov2 with four registers, whose position table transformers resamples with antialiasing. No such checkpoint is public.', tower,
                     'facebook/dinov2-with-registers-large', cropped('BitImageProcessor', 64, 56, IMAGENET), hidden_act='gelu', layer_norm_eps=1e-6, intermediate_size=3072,
                     mlp_ratio=4, layerscale_value=1.0, use_swiglu_ffn=False, qkv_bias=True, num_register_tokens=4)


def mipha_vit():
    tower = Tower('vit', 'model.vision_tower.vit.', 64, 128, 512, 2, 3, 2, patch=16, drop=1)
    size = {'height': 64, 'width': 64}
    preprocessor = dict(do_normalize=True, do_rescale=True, do_resize=True, image_mean=[0.5] * 3, image_processor_type='ViTImageProcessor', image_std=[0.5] * 3, resample=2,
                        rescale_factor=0.00392156862745098, size=size)
    return mipha_phi('mipha-vit', "Mipha with ViT-L/16 of ImageNet-21k in Hugging Face's names. No such checkpoint is public.", tower, 'google/vit-large-patch16-224-in21k', preprocessor,
                     hidden_act='gelu', layer_norm_eps=1e-12, qkv_bias=True)


def mipha_gemma():
    H, keys = 512, dict(H=512, I=768, heads=2, kv=1, size=256)
    tower = so400m('model.vision_tower.vision_model.')
    t = Layout()
    put_tower(t, tower)
    layouts.mlp(t, 'model.mm_projector.', tower.hidden, H, gain=0.4)
    layouts.gated(t, H, keys['I'], 2, VOCAB, 2, 1, 256, tied=True, gemma=True)
    published = gemma_keys(**keys)
    config = mipha_config(tower, H, 'mipha_gemma', 'MiphaGemmaForCausalLM', published, SIGLIP_384, hidden_act='gelu_pytorch_tanh', layer_norm_eps=1e-6) | dict(bos_token_id=2, eos_token_id=1, pad_token_id=0)
    return Family('mipha-gemma', 'Mipha with Gemma: "gelu" means tanh; rows of the embedding and image features times sqrt(hidden); norms stored minus one.', config, t, tower,
                  Language('gemma', published | {'hidden_act': 'gelu_pytorch_tanh'}, image_scale=H**0.5), 'model.mm_projector.')


def gemma_keys(H, I, heads, kv, size):
    return dict(vocab_size=VOCAB, hidden_size=H, intermediate_size=I, num_hidden_layers=2, num_attention_heads=heads, num_key_value_heads=kv, head_dim=size, hidden_act='gelu', rms_norm_eps=1e-6,
                rope_theta=10000.0, rope_scaling=None, max_position_embeddings=8192, attention_bias=False, attention_dropout=0.0, tie_word_embeddings=True, initializer_range=0.02)


def mipha_pythia():
    H, I = 160, 640
    tower = so400m('model.vision_tower.vision_model.')
    t = Layout()
    put_tower(t, tower)
    layouts.mlp(t, 'model.mm_projector.', tower.hidden, H)
    layouts.neox(t, H, I, 2, VOCAB, rotary=20)
    keys = dict(vocab_size=VOCAB, hidden_size=H, intermediate_size=I, num_hidden_layers=2, num_attention_heads=2, rotary_pct=0.25, rotary_emb_base=10000, use_parallel_residual=True,
                hidden_act='gelu', layer_norm_eps=1e-5, max_position_embeddings=2048, tie_word_embeddings=False, initializer_range=0.02, use_cache=True)
    config = mipha_config(tower, H, 'mipha_gpt_neox', 'MiphaGPTNeoXForCausalLM', keys, SIGLIP_384, hidden_act='gelu_pytorch_tanh', layer_norm_eps=1e-6) | dict(bos_token_id=0, eos_token_id=0)
    return Family('mipha-pythia', "Mipha's paper trained one on Pythia and none is public: GPT-NeoX's own names, tower and projector where Mipha-Phi has them.", config, t, tower,
                  Language('gpt_neox', keys), 'model.mm_projector.')


# The same recipe on Phi-2


def bunny():
    tower = so400m('model.vision_tower.vision_tower.vision_model.', layers=2)
    t = Layout()
    put_tower(t, tower, head=False)
    layouts.mlp(t, 'model.mm_projector.', 144, 160)
    layouts.phi(t, 160, 640, 2, TOKENS, head_bias=False)
    config = dict(_name_or_path='BAAI/bunny-phi-2-siglip', architectures=['BunnyPhiForCausalLM'], model_type='bunny-phi',
                  auto_map={'AutoConfig': 'configuration_bunny_phi.BunnyPhiConfig', 'AutoModelForCausalLM': 'modeling_bunny_phi.BunnyPhiForCausalLM'}, bos_token_id=555, eos_token_id=555,
                  pad_token_id=555, **phi_keys(**PHI2, vocab=TOKENS), torch_dtype='float16', transformers_version='4.36.2', **llava_keys(SIGLIP_384, 144))
    generation = dict(_from_model_config=True, bos_token_id=555, eos_token_id=555, pad_token_id=555, transformers_version='4.36.2')
    return Family('bunny-v1.0-3b', 'All layers of the tower that are in the file run; no lm_head.bias; the embedding has the size of the tokenizer.', config, t, tower, phi_language(TOKENS),
                  'model.mm_projector.', dtype='F16', shards=2, files={'generation_config.json': generation})


def imp():
    tower = so400m('transformer.vision_tower.vision_tower.vision_model.', layers=2)
    t = Layout()
    put_tower(t, tower, head=False, post=False)
    layouts.mlp(t, 'transformer.mm_projector.', 144, 160)
    layouts.phi_before_2024(t, 160, 640, 2, VOCAB)
    config = dict(architectures=['ImpForCausalLM'], model_type='imp', activation_function='gelu_new', attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.1, flash_attn=False, flash_rotary=False,
                  fused_dense=False, image_token='<image>', image_token_index=VOCAB - 16, img_processor=None, initializer_range=0.02, layer_norm_epsilon=1e-5, n_embd=160, n_head=2,
                  n_head_kv=None, n_inner=None, n_layer=2, n_positions=2048, rotary_dim=32, tie_word_embeddings=False, torch_dtype='float16', vocab_size=VOCAB, use_cache=True,
                  mm_use_im_start_end=False, mm_use_im_patch_token=False, mm_vision_select_feature='patch', mm_vision_select_layer=-2,
                  vision_tower_config={'hidden_size': 144, 'model_type': 'siglip_vision_model'}, **llava_keys(SIGLIP_384, 144))
    return Family('imp-v1-3b', "Phi-2's names of before 2024; Wqkv has all rows of q, then k, then v; the card squashes the picture.", config, t, tower,
                  phi_language(prefix='transformer.'), 'transformer.mm_projector.', dtype='F16', shards=2)


def imp_hf():
    tower = so400m('model.vision_tower.vision_tower.vision_model.', layers=2)
    t = Layout()
    put_tower(t, tower, head=False, post=False)
    layouts.mlp(t, 'model.mm_projector.', 144, 160)
    layouts.phi(t, 160, 640, 2, VOCAB)
    config = dict(architectures=['ImpForCausalLM'], model_type='imp', image_token='<image>', image_token_index=50296, bos_token_id=50256, eos_token_id=50256, mm_vision_select_layer=-2,
                  mm_vision_select_feature='patch', **phi_keys(**PHI2), torch_dtype='float16', **llava_keys(SIGLIP_384, 144))
    return Family('imp-v1.5-3b', 'What the training repository of Imp saves today.', config, t, tower, phi_language(), 'model.mm_projector.', dtype='F16', shards=2)


def llava_phi():
    tower = clip_l('model.vision_tower.vision_model.', side=84)
    t = Layout()
    put_tower(t, tower)
    layouts.mlp(t, 'model.mm_projector.', 128, 160)
    layouts.phi(t, 160, 640, 2, VOCAB, fused=True)
    vision = dict(model_type='llava_phi_clip_vision_model', hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=2, num_channels=3, image_size=84, patch_size=14,
                  hidden_act='quick_gelu', layer_norm_eps=1e-5, mm_vision_select_feature='patch', mm_vision_select_layer=-2, projection_dim=768)
    language = {k: v for k, v in phi_keys(**PHI2).items() if k != 'num_key_value_heads'}
    config = dict(architectures=['LlavaPhiForCausalLM'], model_type='llava_phi', bos_token_id=1, eos_token_id=2, image_aspect_ratio='pad', mm_use_im_start_end=False, mm_use_im_patch_token=False,
                  **language, torch_dtype='bfloat16', transformers_version='4.36.2',
                  vision_config={'mm_projector': dict(model_type='llava_phi_projector', mm_projector_type='mlp2x_gelu', mm_hidden_size=128, hidden_size=160), 'vision_tower': vision})
    return Family('llava-phi', 'CLIP under the prefix of SigLIP; fused query_key_value (rows head, {q, k, v}, size); no vision_model_name_or_path.', config, t, tower, phi_language(),
                  'model.mm_projector.', files={'preprocessor_config.json': cropped('CLIPImageProcessor', 84, 84, CLIP)})


def tinyllava_config(text, llm, architecture, H):
    vision = dict(hidden_size=144, intermediate_size=576, num_hidden_layers=3, num_attention_heads=2, image_size=84, patch_size=14, hidden_act='gelu_pytorch_tanh', layer_norm_eps=1e-6,
                  model_type='siglip_vision_model', model_name_or_path=SIGLIP_384)
    return dict(architectures=['TinyLlavaForConditionalGeneration'], model_type='tinyllava', cache_dir=None, connector_type='mlp2x_gelu', hidden_size=H, ignore_index=-100,
                image_aspect_ratio='square', image_token_index=-200, llm_model_name_or_path=llm, num_queries=128, num_resampler_layers=3, pad_token_id=None, resampler_hidden_size=768,
                text_config=text | dict(architectures=[architecture]), tokenizer_model_max_length=3072, tokenizer_name_or_path=llm, tokenizer_padding_side='right', tokenizer_use_fast=False,
                torch_dtype='bfloat16', tune_type_connector='full', tune_type_llm='full', tune_type_vision_tower='frozen', vision_config=vision, vision_feature_layer=-2,
                vision_feature_select_strategy='patch', vision_hidden_size=144, vision_model_name_or_path=SIGLIP_384, vision_model_name_or_path2='', vocab_size=VOCAB)


def tinyllava_phi2():
    tower = so400m('vision_tower._vision_tower.vision_model.', drop=1)
    t = Layout()
    layouts.phi(t, 160, 640, 2, VOCAB, p='language_model.')
    put_tower(t, tower)
    layouts.mlp(t, 'connector._connector.', 144, 160)
    config = tinyllava_config(phi_keys(**PHI2) | dict(model_type='phi', torch_dtype='bfloat16'), 'microsoft/phi-2', 'PhiForCausalLM', 160)
    return Family('tinyllava-phi2', 'TinyLLaVA Factory: "patch" drops row 0 of a tower that has no class token.', config, t, tower, phi_language(prefix='language_model.'), 'connector._connector.')


def tinyllava_gemma():
    H = 512
    tower = so400m('vision_tower._vision_tower.vision_model.', drop=1)
    t = Layout()
    layouts.gated(t, H, 768, 2, VOCAB, 2, 1, 256, p='language_model.', tied=True, gemma=True)
    put_tower(t, tower)
    layouts.mlp(t, 'connector._connector.', 144, H, gain=0.4)
    published = gemma_keys(H, 768, 2, 1, 256)
    config = tinyllava_config(published | dict(model_type='gemma', torch_dtype='bfloat16', bos_token_id=2, eos_token_id=1, pad_token_id=0), 'google/gemma-2b-it', 'GemmaForCausalLM', H)
    return Family('tinyllava-gemma', 'TinyLLaVA Factory with Gemma.', config, t, tower, Language('gemma', published | {'hidden_act': 'gelu_pytorch_tanh'}, 'language_model.', H**0.5), 'connector._connector.')
