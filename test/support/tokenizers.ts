/** tokenizer.json of the families as they publish it, around vocabularies that packages bring along. */
import llama from 'llama-tokenizer-js';
import { Tokenizer } from '../../src/engine/tokenizer.js';
import { type TokenizerJson, tokenizerSchema } from '../../src/package/tokenizer-json.js';
import { cl100kVocabulary, gpt2Vocabulary, phiFile, type Vocabulary } from './gpt2.js';

const special = (id: number, content: string) => ({
  id,
  content,
  special: true,
  normalized: false,
  single_word: false,
  lstrip: false,
  rstrip: false,
});

/** The words of Qwen2 and of StableLM-2. */
const QWEN2_WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** tiktoken's words instead of GPT-2's, split before the bytes become symbols. */
const tiktokenWords = (words: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: words }, behavior: 'Isolated', invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
  ],
});

const byteFallback = (decoders: object[]) => ({
  type: 'Sequence',
  decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, ...decoders],
});

/** The first 32 000 ids of Llama 2: three tokens, 256 bytes, words. `names` of the three. */
function sentencepiece(names: readonly string[]): Vocabulary {
  return {
    vocab: Object.fromEntries(llama.vocabById.map((token, id) => [names[id] ?? token, id])),
    merges: [...llama.merges.keys()],
  };
}

const LLAMA_TOKENS = ['<unk>', '<s>', '</s>'];
const llamaModel = (names: readonly string[]) => ({
  type: 'BPE',
  dropout: null,
  unk_token: names[0],
  fuse_unk: true,
  byte_fallback: true,
  ...sentencepiece(names),
});
const byteLevelModel = (vocabulary: Vocabulary) => ({
  type: 'BPE',
  dropout: null,
  unk_token: null,
  fuse_unk: false,
  byte_fallback: false,
  ...vocabulary,
});

/** As the file has it; published ones have all of these fields. */
export const FILES: Record<string, () => object> = {
  phi: phiFile,
  'gpt-neox': () => ({
    normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    model: byteLevelModel(gpt2Vocabulary()),
    added_tokens: [
      special(50256, '<|endoftext|>'),
      ...[4, 3, 2].map((length, index) => ({ ...special(50257 + index, ' '.repeat(length)), special: false, normalized: true })),
    ],
  }),
  'stablelm-2': () => ({
    normalizer: null,
    pre_tokenizer: tiktokenWords(QWEN2_WORDS),
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: byteLevelModel(cl100kVocabulary()),
    added_tokens: [special(100257, '<|endoftext|>')],
  }),
  qwen2: () => ({
    normalizer: { type: 'NFC' },
    pre_tokenizer: tiktokenWords(QWEN2_WORDS),
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: byteLevelModel(cl100kVocabulary()),
    added_tokens: [special(100257, '<|endoftext|>'), special(100258, '<|im_start|>'), special(100259, '<|im_end|>')],
  }),
  llama: () => ({
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: byteFallback([{ type: 'Strip', content: ' ', start: 1, stop: 0 }]),
    model: llamaModel(LLAMA_TOKENS),
    added_tokens: LLAMA_TOKENS.map((content, id) => special(id, content)),
  }),
  'llava-hf': () => ({
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
    post_processor: null,
    decoder: byteFallback([{ type: 'Strip', content: ' ', start: 1, stop: 0 }]),
    model: llamaModel(LLAMA_TOKENS),
    added_tokens: [...LLAMA_TOKENS.map((content, id) => special(id, content)), special(32000, '<image>'), special(32001, '<pad>')],
  }),
  gemma: () => ({
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
    post_processor: null,
    decoder: byteFallback([]),
    model: llamaModel(['<pad>', '<eos>', '<bos>']),
    added_tokens: [
      ...['<pad>', '<eos>', '<bos>'].map((content, id) => special(id, content)),
      special(32000, '<start_of_turn>'),
      ...[[32001, '\n\n'] as const, [32002, '<b>'] as const, [259, '▁▁'] as const].map(([id, content]) => ({
        ...special(id, content),
        special: false,
      })),
    ],
  }),
};

const made = new Map<string, Tokenizer>();

export function tokenizerOf(family: keyof typeof FILES): Tokenizer {
  const tokenizer = made.get(family) ?? new Tokenizer(tokenizerSchema.parse((FILES[family] as () => object)()) as TokenizerJson, { cleanUp: false });
  made.set(family, tokenizer);
  return tokenizer;
}
