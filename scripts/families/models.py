"""transformers' own classes on the tensors of a family: saved in each class's published names and loaded by from_pretrained, so that no name is ours."""

import json
import tempfile
from pathlib import Path

import torch
import transformers as T
from families import NORMALISATION
from safetensors.torch import save_file
from torch.nn import functional as F

TOWERS = {
    'siglip': (T.SiglipVisionModel, T.SiglipVisionConfig, 'siglip_vision_model', dict(hidden_act='gelu_pytorch_tanh', layer_norm_eps=1e-6)),
    'clip': (T.CLIPVisionModel, T.CLIPVisionConfig, 'clip_vision_model', dict(hidden_act='quick_gelu', layer_norm_eps=1e-5)),
    'dinov2': (T.Dinov2Model, T.Dinov2Config, 'dinov2', dict(hidden_act='gelu', layer_norm_eps=1e-6, mlp_ratio=4)),
    'dinov2_with_registers': (T.Dinov2WithRegistersModel, T.Dinov2WithRegistersConfig, 'dinov2_with_registers', dict(hidden_act='gelu', layer_norm_eps=1e-6, mlp_ratio=4)),
    'vit': (T.ViTModel, T.ViTConfig, 'vit', dict(hidden_act='gelu', layer_norm_eps=1e-12)),
}
LANGUAGES = {'phi': T.PhiForCausalLM, 'llama': T.LlamaForCausalLM, 'qwen2': T.Qwen2ForCausalLM, 'gemma': T.GemmaForCausalLM, 'stablelm': T.StableLmForCausalLM, 'gpt_neox': T.GPTNeoXForCausalLM}


def load(cls, config, tensors):
    """`cls` in FP32 with eager attention; fails when a tensor is missing or left over, but for what no selected layer needs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'config.json').write_text(json.dumps(config))
        save_file({k: v.float().contiguous() for k, v in tensors.items()}, Path(folder) / 'model.safetensors', metadata={'format': 'pt'})
        model, info = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager', output_loading_info=True)
    missing = [k for k in info['missing_keys'] if 'post_layernorm' not in k]
    left = [k for k in info['unexpected_keys'] if 'inv_freq' not in k]
    assert not missing and not left and not info['mismatched_keys'], (missing, left, info['mismatched_keys'])
    return model.eval()


class Tower:
    def __init__(self, family, tensors):
        w = self.w = family.tower
        cls, config, model_type, more = TOWERS[w.kind]
        sizes = dict(model_type=model_type, hidden_size=w.hidden, intermediate_size=w.intermediate, num_hidden_layers=w.layers, num_attention_heads=w.heads, patch_size=w.patch,
                     image_size=(w.table or w.grid) * w.patch, **more)
        if w.registers:
            sizes['num_register_tokens'] = w.registers
        if w.kind == 'siglip':
            sizes['vision_use_head'] = any(k.startswith(w.prefix + 'head.') for k in tensors)
        own = 'vision_model.' if w.kind in ('siglip', 'clip') else ''
        self.model = load(cls, sizes, {own + k[len(w.prefix):]: v for k, v in tensors.items() if k.startswith(w.prefix)})
        blocks = [m for m in self.model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == w.layers]
        assert len(blocks) == 1
        self.block = blocks[0][w.run - 1]

    def __call__(self, pixels):
        """uint8 [n, side, side, 3] → [n, rows, hidden]: what the last layer that runs gives, without its first rows."""
        mean, std = (torch.tensor(v) for v in NORMALISATION[self.w.normalisation])
        seen = []
        hook = self.block.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
        self.model(((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2))
        hook.remove()
        return seen[0][:, self.w.drop:]


def project(family, tensors, x):
    p, names = family.projector, family.projector_names
    linear = lambda x, n: F.linear(x, tensors[f'{p}{n}.weight'].float(), tensors[f'{p}{n}.bias'].float())
    x = linear(F.gelu(linear(x, names[0])), names[1])
    if family.pool:
        grid, peg = family.tower.grid, 'model.mm_projector.peg.peg.0.'
        x = F.adaptive_avg_pool2d(x.transpose(1, 2).unflatten(2, (grid, grid)), grid // 2)
        x = F.conv2d(x, tensors[peg + 'weight'].float(), tensors[peg + 'bias'].float(), padding=1, groups=x.shape[1]) + x
        x = x.flatten(2).transpose(1, 2)
    return x


def language_names(family, tensors):
    """The language model's tensors in the names and rows of transformers' class."""
    prefix, out = family.language.prefix, {}
    for k, v in tensors.items():
        if 'vision_tower' in k or 'projector' in k or 'connector' in k:
            continue
        if prefix == 'transformer.':  # Phi-2 before 2024
            k = k.replace('transformer.embd.wte', 'model.embed_tokens').replace('transformer.h.', 'model.layers.').replace('.ln.', '.input_layernorm.') if k.startswith(prefix) else k
            k = k.replace('lm_head.ln', 'model.final_layernorm').replace('lm_head.linear', 'lm_head').replace('mixer.out_proj', 'self_attn.dense')
        elif prefix:
            assert k.startswith(prefix)
            k = k[len(prefix):]
        if 'mixer.Wqkv' in k:
            parts, k = v.chunk(3), k.replace('mixer.Wqkv', 'self_attn.query_key_value')
        elif 'self_attn.query_key_value' in k:
            parts = v.unflatten(0, (family.language.config['num_attention_heads'], 3, -1)).unbind(1)
            parts = [part.flatten(0, 1) for part in parts]
        else:
            out[k] = v
            continue
        for name, part in zip('qkv', parts):
            out[k.replace('query_key_value', f'{name}_proj')] = part
    if family.language.kind == 'phi' and 'lm_head.bias' not in out:
        out['lm_head.bias'] = torch.zeros(out['lm_head.weight'].shape[0])
    return out


def language(family, tensors):
    config = family.language.config
    model = load(LANGUAGES[family.language.kind], config | {'model_type': family.language.kind}, language_names(family, tensors))
    size = config.get('head_dim') or config['hidden_size'] // config['num_attention_heads']
    rotary = int(size * config.get('partial_rotary_factor', config.get('rotary_pct', 1)))
    theta = config.get('rope_theta', config.get('rotary_emb_base'))
    expected = theta ** (-torch.arange(0, rotary, 2).float() / rotary)
    frequencies = next(m.inv_freq for m in model.modules() if hasattr(m, 'inv_freq'))
    assert torch.allclose(frequencies, expected), (frequencies, expected)
    return model
