"""Names and shapes of the published layouts, as lists of [name, shape, gain, offset] for generator.tensor."""

import math


def coarse(gain):
    """The nearest of 1 and 1.5 times a power of two: what keeps values exact."""
    low = 2.0 ** math.floor(math.log2(gain))
    return min((low, 1.5 * low, 2 * low), key=lambda g: abs(math.log(g / gain)))


class Layout(list):
    """Gains are standard deviations: a uniform value has 0.577 of its range."""

    def add(self, name, *shape, std=1.0):
        self.append([name, list(shape), coarse(std * math.sqrt(3)), 0])

    def linear(self, name, rows, columns, bias=True, gain=1.0):
        self.add(f'{name}.weight', rows, columns, std=gain / math.sqrt(columns))
        if bias:
            self.add(f'{name}.bias', rows, std=0.1)

    def norm(self, name, width, bias=True, offset=1):
        self.append([f'{name}.weight', [width], 0.25, offset])
        if bias:
            self.add(f'{name}.bias', width, std=0.1)


def siglip(t, p, H, I, layers, patch, grid, head=True, post=True):
    t.add(p + 'embeddings.patch_embedding.weight', H, 3, patch, patch, std=2 / math.sqrt(3 * patch * patch))
    t.add(p + 'embeddings.patch_embedding.bias', H, std=0.1)
    t.add(p + 'embeddings.position_embedding.weight', grid * grid, H, std=0.5)
    encoder(t, p, H, I, layers)
    if post:
        t.norm(p + 'post_layernorm', H)
    if head:
        t.add(p + 'head.probe', 1, 1, H)
        t.add(p + 'head.attention.in_proj_weight', 3 * H, H, std=1 / math.sqrt(H))
        t.add(p + 'head.attention.in_proj_bias', 3 * H, std=0.1)
        t.linear(p + 'head.attention.out_proj', H, H)
        t.norm(p + 'head.layernorm', H)
        t.linear(p + 'head.mlp.fc1', I, H)
        t.linear(p + 'head.mlp.fc2', H, I)


def clip(t, p, H, I, layers, patch, grid):
    t.add(p + 'embeddings.class_embedding', H)
    t.add(p + 'embeddings.patch_embedding.weight', H, 3, patch, patch, std=2 / math.sqrt(3 * patch * patch))
    t.add(p + 'embeddings.position_embedding.weight', grid * grid + 1, H, std=0.5)
    t.norm(p + 'pre_layrnorm', H)  # the published spelling
    encoder(t, p, H, I, layers)
    t.norm(p + 'post_layernorm', H)


def encoder(t, p, H, I, layers):
    """SigLIP's and CLIP's."""
    for i in range(layers):
        q = f'{p}encoder.layers.{i}.'
        t.norm(q + 'layer_norm1', H)
        t.norm(q + 'layer_norm2', H)
        for part in ('k_proj', 'v_proj', 'q_proj', 'out_proj'):
            t.linear(q + f'self_attn.{part}', H, H)
        t.linear(q + 'mlp.fc1', I, H)
        t.linear(q + 'mlp.fc2', H, I)


def dinov2(t, p, H, layers, patch, grid, registers=0):
    t.add(p + 'embeddings.cls_token', 1, 1, H)
    t.add(p + 'embeddings.mask_token', 1, H)
    if registers:
        t.add(p + 'embeddings.register_tokens', 1, registers, H)
    t.add(p + 'embeddings.position_embeddings', 1, grid * grid + 1, H, std=0.5)
    t.add(p + 'embeddings.patch_embeddings.projection.weight', H, 3, patch, patch, std=2 / math.sqrt(3 * patch * patch))
    t.add(p + 'embeddings.patch_embeddings.projection.bias', H, std=0.1)
    for i in range(layers):
        q = f'{p}encoder.layer.{i}.'
        t.norm(q + 'norm1', H)
        t.norm(q + 'norm2', H)
        attention(t, q, H)
        for scale in ('layer_scale1', 'layer_scale2'):
            t.append([f'{q}{scale}.lambda1', [H], 0.125, 0.3125])
        t.linear(q + 'mlp.fc1', 4 * H, H)
        t.linear(q + 'mlp.fc2', H, 4 * H)
    t.norm(p + 'layernorm', H)


def vit(t, p, H, I, layers, patch, grid):
    t.add(p + 'embeddings.cls_token', 1, 1, H)
    t.add(p + 'embeddings.position_embeddings', 1, grid * grid + 1, H, std=0.5)
    t.add(p + 'embeddings.patch_embeddings.projection.weight', H, 3, patch, patch, std=2 / math.sqrt(3 * patch * patch))
    t.add(p + 'embeddings.patch_embeddings.projection.bias', H, std=0.1)
    for i in range(layers):
        q = f'{p}encoder.layer.{i}.'
        attention(t, q, H)
        t.linear(q + 'intermediate.dense', I, H)
        t.linear(q + 'output.dense', H, I)
        t.norm(q + 'layernorm_before', H)
        t.norm(q + 'layernorm_after', H)
    t.norm(p + 'layernorm', H)
    t.linear(p + 'pooler.dense', H, H)


def attention(t, q, H):
    """DINOv2's and ViT's."""
    for part in ('query', 'key', 'value'):
        t.linear(q + f'attention.attention.{part}', H, H)
    t.linear(q + 'attention.output.dense', H, H)


# Language models: strong attention, so that answers depend on more than the last id.


def phi(t, H, I, layers, vocab, p='', fused=False, head_bias=True):
    t.add(p + 'model.embed_tokens.weight', vocab, H)
    for i in range(layers):
        q = f'{p}model.layers.{i}.'
        t.norm(q + 'input_layernorm', H)
        if fused:
            t.linear(q + 'self_attn.query_key_value', 3 * H, H, gain=1.25)  # rows head · {q, k, v} · size
        else:
            for part in ('q_proj', 'k_proj', 'v_proj'):
                t.linear(q + f'self_attn.{part}', H, H, gain=1.25)
        t.linear(q + 'self_attn.dense', H, H, gain=3)
        t.linear(q + 'mlp.fc1', I, H, gain=1.5)
        t.linear(q + 'mlp.fc2', H, I, gain=1.5)
    t.norm(p + 'model.final_layernorm', H)
    t.linear(p + 'lm_head', vocab, H, bias=head_bias, gain=4)


def phi_before_2024(t, H, I, layers, vocab):
    """microsoft/phi-2 before January 2024, under `transformer.`: rows of Wqkv are all q, all k, all v."""
    t.add('transformer.embd.wte.weight', vocab, H)
    for i in range(layers):
        q = f'transformer.h.{i}.'
        t.norm(q + 'ln', H)
        t.linear(q + 'mixer.Wqkv', 3 * H, H, gain=1.25)
        t.linear(q + 'mixer.out_proj', H, H, gain=3)
        t.linear(q + 'mlp.fc1', I, H, gain=1.5)
        t.linear(q + 'mlp.fc2', H, I, gain=1.5)
    t.norm('lm_head.ln', H)
    t.linear('lm_head.linear', vocab, H, gain=4)


def gated(t, H, I, layers, vocab, heads, kv, size, p='', qkv_bias=False, tied=False, norm_bias=False, gemma=False):
    """Llama, Qwen2, StableLM and Gemma. Where the head is tied, rows of the embedding are small, lest each id name itself, and so is the first attention,
    lest it drown them."""
    offset = 0 if gemma else 1
    t.add(p + 'model.embed_tokens.weight', vocab, H, std=0.0044 if gemma else 0.1 if tied else 1)
    for i in range(layers):
        q = f'{p}model.layers.{i}.'
        t.norm(q + 'input_layernorm', H, norm_bias, offset)
        t.norm(q + 'post_attention_layernorm', H, norm_bias, offset)
        for part, rows in (('q_proj', heads), ('k_proj', kv), ('v_proj', kv)):
            t.linear(q + f'self_attn.{part}', rows * size, H, qkv_bias, gain=1.25)
        t.linear(q + 'self_attn.o_proj', H, heads * size, False, gain=0.3 if tied and i == 0 else 3)
        t.linear(q + 'mlp.gate_proj', I, H, False, gain=1.5)
        t.linear(q + 'mlp.up_proj', I, H, False, gain=1.5)
        t.linear(q + 'mlp.down_proj', H, I, False, gain=1.5)
    t.norm(p + 'model.norm', H, norm_bias, offset)
    if not tied:
        t.linear(p + 'lm_head', vocab, H, False, gain=4)


def neox(t, H, I, layers, vocab, rotary):
    t.add('gpt_neox.embed_in.weight', vocab, H)
    for i in range(layers):
        q = f'gpt_neox.layers.{i}.'
        t.norm(q + 'input_layernorm', H)
        t.norm(q + 'post_attention_layernorm', H)
        t.add(q + 'attention.rotary_emb.inv_freq', rotary // 2)  # published, and not to be read
        t.linear(q + 'attention.query_key_value', 3 * H, H, gain=1.25)
        t.linear(q + 'attention.dense', H, H, gain=3)
        t.linear(q + 'mlp.dense_h_to_4h', I, H, gain=1.5)
        t.linear(q + 'mlp.dense_4h_to_h', H, I, gain=1.5)
    t.norm('gpt_neox.final_layer_norm', H)
    t.linear('embed_out', vocab, H, bias=False, gain=4)


def mlp(t, p, columns, H, gain=2.0, names=('0', '2')):
    """mlp2x_gelu."""
    t.linear(p + names[0], H, columns, gain=gain)
    t.linear(p + names[1], H, H, gain=gain)
