// The models as llama.cpp wants them: names of tensors and metadata by its public format, random weights.
import { Q8_BLOCK, writeGguf } from './gguf.mjs';

/** Phi-2 of the sizes of a package's language model, matrices in Q8_0. */
export function writePhi2(path, { language }) {
  const { hidden, intermediate, layers, heads, headSize, rotaryDims, vocab, context, epsilon } = language;
  const block = (i) => [
    ...norm(`blk.${i}.attn_norm`, hidden),
    ...linear(`blk.${i}.attn_qkv`, hidden, 3 * heads * headSize),
    ...linear(`blk.${i}.attn_output`, heads * headSize, hidden),
    ...linear(`blk.${i}.ffn_up`, hidden, intermediate),
    ...linear(`blk.${i}.ffn_down`, intermediate, hidden),
  ];
  const tensors = [
    { name: 'token_embd.weight', dims: [hidden, vocab], format: 'q8_0', fill: { deviation: 1 } },
    ...Array.from({ length: layers }, (_, i) => block(i)).flat(),
    ...norm('output_norm', hidden),
    ...linear('output', hidden, vocab),
  ];
  writeGguf(
    path,
    {
      'general.architecture': ['string', 'phi2'],
      'general.name': ['string', 'random'],
      'general.file_type': ['u32', 7], // mostly Q8_0
      'phi2.context_length': ['u32', context],
      'phi2.embedding_length': ['u32', hidden],
      'phi2.feed_forward_length': ['u32', intermediate],
      'phi2.block_count': ['u32', layers],
      'phi2.attention.head_count': ['u32', heads],
      'phi2.attention.head_count_kv': ['u32', heads],
      'phi2.attention.key_length': ['u32', headSize],
      'phi2.attention.value_length': ['u32', headSize],
      'phi2.attention.layer_norm_epsilon': ['f32', epsilon],
      'phi2.rope.dimension_count': ['u32', rotaryDims],
      ...tokenizer(vocab),
    },
    tensors,
  );
}

/**
 * A BERT of the tower's sizes: the same matrices, attention of all rows to all, GELU and norms, so the same work, in a form that llama.cpp runs as a model
 * of text. The MLP gets as many columns more as fill a block of Q8_0.
 */
export function writeBert(path, { vision }, rows) {
  const { hidden, layers, heads, epsilon } = vision;
  const intermediate = Math.ceil(vision.intermediate / Q8_BLOCK) * Q8_BLOCK;
  const [vocab, context] = [512, rows + 256];
  const block = (i) => [
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((part) => linear(`blk.${i}.${part}`, hidden, hidden)),
    ...norm(`blk.${i}.attn_output_norm`, hidden),
    ...linear(`blk.${i}.ffn_up`, hidden, intermediate),
    ...linear(`blk.${i}.ffn_down`, intermediate, hidden),
    ...norm(`blk.${i}.layer_output_norm`, hidden),
  ];
  const embedding = (name, count) => ({ name, dims: [hidden, count], format: 'f32', fill: { deviation: 1 } });
  writeGguf(
    path,
    {
      'general.architecture': ['string', 'bert'],
      'general.name': ['string', 'random'],
      'general.file_type': ['u32', 7],
      'bert.context_length': ['u32', context],
      'bert.embedding_length': ['u32', hidden],
      'bert.feed_forward_length': ['u32', intermediate],
      'bert.block_count': ['u32', layers],
      'bert.attention.head_count': ['u32', heads],
      'bert.attention.layer_norm_epsilon': ['f32', epsilon],
      'bert.attention.causal': ['bool', false],
      'bert.pooling_type': ['u32', 1], // mean
      'tokenizer.ggml.token_type_count': ['u32', 1],
      ...tokenizer(vocab),
    },
    [
      embedding('token_embd.weight', vocab),
      embedding('position_embd.weight', context),
      ...norm('token_embd_norm', hidden),
      ...Array.from({ length: layers }, (_, i) => block(i)).flat(),
    ],
  );
}

/** A language model that takes rows of the same width and costs next to nothing: one layer, one head of 32. */
export function writeStub(path, { language: { hidden } }) {
  const [width, vocab] = [32, 512];
  const gain = (name) => ({ name: `${name}.weight`, dims: [hidden], format: 'f32', fill: 1 });
  const matrix = (name, columns, rows) => linear(name, columns, rows)[0];
  writeGguf(
    path,
    {
      'general.architecture': ['string', 'llama'],
      'general.name': ['string', 'stub'],
      'general.file_type': ['u32', 7],
      'llama.context_length': ['u32', 2048],
      'llama.embedding_length': ['u32', hidden],
      'llama.feed_forward_length': ['u32', width],
      'llama.block_count': ['u32', 1],
      'llama.attention.head_count': ['u32', 1],
      'llama.attention.head_count_kv': ['u32', 1],
      'llama.attention.key_length': ['u32', width],
      'llama.attention.value_length': ['u32', width],
      'llama.attention.layer_norm_rms_epsilon': ['f32', 1e-5],
      'llama.rope.dimension_count': ['u32', width],
      ...tokenizer(vocab),
    },
    [
      { name: 'token_embd.weight', dims: [hidden, vocab], format: 'q8_0', fill: { deviation: 1 } },
      gain('output_norm'),
      gain('blk.0.attn_norm'),
      ...['attn_q', 'attn_k', 'attn_v'].map((part) => matrix(`blk.0.${part}`, hidden, width)),
      matrix('blk.0.attn_output', width, hidden),
      gain('blk.0.ffn_norm'),
      matrix('blk.0.ffn_gate', hidden, width),
      matrix('blk.0.ffn_up', hidden, width),
      matrix('blk.0.ffn_down', width, hidden),
    ],
  );
}

/**
 * The tower with a projector of two layers, which llama.cpp calls "mlp"; it runs all layers but the last, so one more is written than is used. Q8_0 comes
 * in blocks of 32 columns: the MLP gets as many more as fill the last block, and what is not such a multiple stays FP16.
 */
export function writeMmproj(path, { vision, language }) {
  const { hidden, layers, heads, imageSize, patchSize, epsilon } = vision;
  const intermediate = Math.ceil(vision.intermediate / Q8_BLOCK) * Q8_BLOCK;
  const block = (i) => [
    ...norm(`v.blk.${i}.ln1`, hidden),
    ...['attn_q', 'attn_k', 'attn_v', 'attn_out'].flatMap((part) => linear(`v.blk.${i}.${part}`, hidden, hidden)),
    ...norm(`v.blk.${i}.ln2`, hidden),
    ...linear(`v.blk.${i}.ffn_up`, hidden, intermediate),
    ...linear(`v.blk.${i}.ffn_down`, intermediate, hidden),
  ];
  const small = { deviation: 0.02 };
  const tensors = [
    { name: 'v.patch_embd.weight', dims: [patchSize, patchSize, 3, hidden], format: 'f16', fill: small },
    { name: 'v.patch_embd.bias', dims: [hidden], format: 'f32', fill: 0 },
    { name: 'v.position_embd.weight', dims: [hidden, Math.floor(imageSize / patchSize) ** 2], format: 'f32', fill: small },
    ...Array.from({ length: layers + 1 }, (_, i) => block(i)).flat(),
    ...linear('mm.0', hidden, language.hidden),
    ...linear('mm.2', language.hidden, language.hidden),
  ];
  writeGguf(
    path,
    {
      'general.architecture': ['string', 'clip'],
      'general.name': ['string', 'random'],
      'general.type': ['string', 'mmproj'],
      'general.file_type': ['u32', 7],
      'clip.has_vision_encoder': ['bool', true],
      'clip.has_llava_projector': ['bool', true],
      'clip.projector_type': ['string', 'mlp'],
      'clip.use_gelu': ['bool', true],
      'clip.vision.image_size': ['u32', imageSize],
      'clip.vision.patch_size': ['u32', patchSize],
      'clip.vision.embedding_length': ['u32', hidden],
      'clip.vision.feed_forward_length': ['u32', intermediate],
      'clip.vision.projection_dim': ['u32', language.hidden],
      'clip.vision.attention.head_count': ['u32', heads],
      'clip.vision.attention.layer_norm_epsilon': ['f32', epsilon],
      'clip.vision.block_count': ['u32', layers + 1],
      'clip.vision.image_mean': ['array', ['f32', [0.5, 0.5, 0.5]]],
      'clip.vision.image_std': ['array', ['f32', [0.5, 0.5, 0.5]]],
    },
    tensors,
  );
}

/** Variance is kept: random weights of any depth stay finite. */
function linear(name, columns, rows) {
  const format = columns % Q8_BLOCK === 0 ? 'q8_0' : 'f16';
  return [
    { name: `${name}.weight`, dims: [columns, rows], format, fill: { deviation: 1 / Math.sqrt(columns) } },
    { name: `${name}.bias`, dims: [rows], format: 'f32', fill: 0 },
  ];
}

function norm(name, width) {
  return [
    { name: `${name}.weight`, dims: [width], format: 'f32', fill: 1 },
    { name: `${name}.bias`, dims: [width], format: 'f32', fill: 0 },
  ];
}

/** The least that the loader takes: every byte is a token, the others are never met in a text. */
function tokenizer(vocab) {
  const tokens = Array.from({ length: vocab - 1 }, (_, id) => (id < 256 ? byteToken(id) : `token${id}`));
  return {
    'tokenizer.ggml.model': ['string', 'gpt2'],
    'tokenizer.ggml.pre': ['string', 'default'],
    'tokenizer.ggml.tokens': ['array', ['string', [...tokens, '<end>']]],
    'tokenizer.ggml.token_type': ['array', ['i32', [...tokens.map(() => 1), 3]]], // normal; control
    'tokenizer.ggml.merges': ['array', ['string', ['t o']]],
    'tokenizer.ggml.bos_token_id': ['u32', vocab - 1],
    'tokenizer.ggml.eos_token_id': ['u32', vocab - 1],
    'tokenizer.ggml.add_bos_token': ['bool', false],
  };
}

/** GPT-2's letter for a byte: itself where it can be seen, else one of those from 256 on. */
function byteToken(byte) {
  const seen = (code) => (code > 32 && code < 127) || (code > 160 && code !== 173);
  if (seen(byte)) return String.fromCodePoint(byte);
  return String.fromCodePoint(256 + Array.from({ length: byte }, (_, code) => code).filter((code) => !seen(code)).length);
}
