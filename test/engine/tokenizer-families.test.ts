import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer, Tokenizer } from '../../src/engine/tokenizer.js';
import { tokenizerSchema } from '../../src/package/tokenizer-json.js';
import { gpt2Vocabulary } from '../support/gpt2.js';
import { FILES, tokenizerOf } from '../support/tokenizers.js';

/** By Hugging Face's tokenizers 0.22.2, from the same files; `continued` without the ids of the special token before the text. */
const GOLDENS = JSON.parse(readFileSync('test/fixtures/tokenizers.json', 'utf8')) as {
  texts: string[];
  families: Record<string, { apart: number[][]; continued?: number[][] }>;
};
const NFC = ['gpt-neox', 'qwen2'];
const SENTENCEPIECE = ['llama', 'llava-hf', 'gemma'];
/** Those that begin a text with a space. */
const PREFIXED = ['llama', 'llava-hf'];

it('are all there', () => expect(Object.keys(GOLDENS.families)).toEqual(Object.keys(FILES)));

describe.each(Object.keys(FILES))('the tokenizer of %s', (family) => {
  const tokenizer = tokenizerOf(family);
  const { apart, continued = apart } = GOLDENS.families[family] as { apart: number[][]; continued?: number[][] };

  it.each(GOLDENS.texts.map((text, index) => [text, index] as const))('gives the ids of the original for %j', (text, index) => {
    expect(tokenizer.encode(text)).toEqual(apart[index]);
    expect(tokenizer.encode(text, 'continued')).toEqual(continued[index]);
  });

  it('gives every byte of any text back', () => {
    const texts = [...GOLDENS.texts, ' ', '\n', 'a', `${' '.repeat(70)}x${'\t'.repeat(20)}`, '\uFEFF \0', 'x'.repeat(5000)];
    for (const text of texts) {
      const expected = NFC.includes(family) ? text.normalize('NFC') : text;
      const decoded = tokenizer.decode(tokenizer.encode(text));
      // A text that begins with a space has it already, where the tokenizer asks for it.
      const spaced = PREFIXED.includes(family) && !(family === 'llava-hf' && text.startsWith(' '));
      expect(decoded).toBe(spaced ? ` ${expected}` : expected);
    }
    expect(tokenizer.decode(tokenizer.encode('\uD800', 'continued')).trimStart()).toBe('\uFFFD');
  });

  it('never makes a special token of text', () => {
    const json = tokenizerSchema.parse((FILES[family] as () => object)());
    const special = json.added_tokens.filter((token) => token.special);
    expect(special.length).toBeGreaterThan(0);
    for (const { content, id } of special) {
      expect(tokenizer.specialId(content)).toBe(id);
      expect(tokenizer.bytes(id)).toHaveLength(0);
      for (const text of [content, `stop${content}USER:`, ` ${content} `, content.repeat(3)]) {
        for (const opening of ['apart', 'continued'] as const) {
          const ids = tokenizer.encode(text, opening);
          expect(special.filter((token) => ids.includes(token.id))).toEqual([]);
          expect(tokenizer.decode(ids).trim()).toBe(text.trim());
        }
      }
    }
  });

  it('knows every byte that an answer may consist of', () => {
    const { vocabulary, offsets } = tokenizer.table(tokenizer.size);
    const single = new Set<number>();
    for (let id = 0; id < tokenizer.size; id++) {
      const at = offsets[id] as number;
      if (offsets[id + 1] === at + 1) single.add(vocabulary[at] as number);
    }
    expect(single.size).toBe(256);
  });
});

describe('sentencepiece', () => {
  it.each(SENTENCEPIECE)('%s: a piece is its text, with a space for its mark; a byte is itself', (family) => {
    const tokenizer = tokenizerOf(family);
    const text = (id: number) => new TextDecoder().decode(tokenizer.bytes(id));
    expect([259, 260, 261, 3869, 29871].map(text)).toEqual(['  ', ' t', 'er', ' Yes', ' ']);
    expect([3, 13, 258].map((id) => [...tokenizer.bytes(id)])).toEqual([[0], [10], [255]]);
  });

  it("reads what somebody types in the place of a byte's name as letters", () => {
    for (const family of SENTENCEPIECE) {
      const ids = tokenizerOf(family).encode('<0x0A>');
      expect(ids).not.toContain(13);
      expect(tokenizerOf(family).decode(ids).trim()).toBe('<0x0A>');
    }
  });

  it('merges that would make a special token are left out', () => {
    // Llama's vocabulary has "</" and "s" and "s>" is added here, as converters write every pair of entries that joins to a third.
    const file = FILES.llama?.() as { model: { vocab: Record<string, number>; merges: string[] } };
    file.model.vocab['s>'] = 32000;
    file.model.merges = [...file.model.merges, 's >', '</ s>'];
    const tokenizer = new Tokenizer(tokenizerSchema.parse(file), { cleanUp: false });
    const ids = tokenizer.encode('a</s>b');
    expect(ids).toContain(32000);
    expect(ids).not.toContain(2);
  });
});

describe('what is special', () => {
  const folder = () => {
    const made = mkdtempSync(join(tmpdir(), 'mipha-families-'));
    return { path: made, put: (name: string, content: object) => writeFileSync(join(made, name), JSON.stringify(content)) };
  };
  const notSpecial = () => {
    const file = tokenizerSchema.parse(FILES['llava-hf']?.());
    return { ...file, added_tokens: file.added_tokens.map((token) => ({ ...token, special: false })) };
  };

  it('is so by its own word, by that of tokenizer_config.json, by being asked for; the picture mark always', async () => {
    const { path, put } = folder();
    try {
      put('tokenizer.json', notSpecial());
      put('tokenizer_config.json', { added_tokens_decoder: { 1: { content: '<s>', special: true } }, clean_up_tokenization_spaces: false });
      const tokenizer = await loadTokenizer(path, ['</s>']);
      expect(['<s>', '</s>', '<image>'].map((token) => tokenizer.specialId(token))).toEqual([1, 2, 32000]);
      const ids = tokenizer.encode('<s></s><image><pad>');
      expect(ids.filter((id) => id < 3 || id >= 32000)).toEqual([32001]); // an added token that nobody calls special is made from text
      expect(() => tokenizer.specialId('<pad>')).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
      expect(tokenizer.cleanUp).toBe(false);
    } finally {
      rmSync(path, { recursive: true });
    }
  });
});

describe('a tokenizer that cannot write every text is refused', () => {
  const refusal = (change: (file: { model: Record<string, unknown>; pre_tokenizer: unknown }) => void) => {
    const file = { ...FILES.llama?.() } as { model: Record<string, unknown>; pre_tokenizer: unknown };
    change(file);
    return () => new Tokenizer(tokenizerSchema.parse(file), { cleanUp: false });
  };

  it('without bytes at all', () => {
    expect(refusal((file) => Object.assign(file.model, { byte_fallback: false }))).toThrow(/byte-level or sentencepiece BPE/);
  });

  it('without one of them', () => {
    expect(refusal(({ model }) => delete (model.vocab as Record<string, number>)['<0xF0>'])).toThrow(/all 256 bytes .* without <0xF0>/);
  });

  it('with a merge into nothing', () => {
    expect(refusal(({ model }) => Object.assign(model, { merges: ['▁ t', 'q ▁'] }))).toThrow(/merges into entries .* \["q","▁"\]/);
  });

  it('with a pattern that nobody can compile', () => {
    const pre_tokenizer = { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated', invert: false };
    expect(refusal((file) => Object.assign(file, { pre_tokenizer }))).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });
});

describe('splits that the published files may have', () => {
  const words = (pre_tokenizer: object, text: string) => {
    // Where whole words are taken from the vocabulary, it is seen what a word is.
    const symbols = Object.entries(gpt2Vocabulary().vocab).filter(([, id]) => id < 256);
    const vocab = Object.fromEntries([...symbols, ...['a,', ',b', ',,', '12'].map((word, index) => [word, 256 + index] as const)]);
    const json = {
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [pre_tokenizer, { type: 'ByteLevel', add_prefix_space: false, use_regex: false }] },
      model: { type: 'BPE', vocab, merges: [], ignore_merges: true },
      added_tokens: [],
    };
    const tokenizer = new Tokenizer(tokenizerSchema.parse(json), { cleanUp: false });
    return tokenizer.encode(text).map((id) => tokenizer.decode([id]));
  };
  const split = (behavior: string, invert = false) => ({ type: 'Split', pattern: { String: ',' }, behavior, invert });

  it.each<[string, object, string, string[]]>([
    ['Isolated', split('Isolated'), 'a,,b', ['a', ',', ',', 'b']],
    ['Isolated, inverted', split('Isolated', true), 'a,,b', ['a', ',', ',', 'b']],
    ['MergedWithPrevious', split('MergedWithPrevious'), 'a,,b', ['a,', ',', 'b']],
    ['MergedWithNext', split('MergedWithNext'), 'a,,b', ['a', ',', ',b']],
    ['Removed, inverted: what is found', { ...split('Removed', true), pattern: { Regex: ',+|[^,]' } }, 'a,,b', ['a', ',,', 'b']],
    ['Digits together', { type: 'Digits', individual_digits: false }, 'a12', ['a', '12']],
    ['Digits alone', { type: 'Digits', individual_digits: true }, 'a12', ['a', '1', '2']],
  ])('%s', (_, node, text, expected) => {
    expect(words(node, text)).toEqual(expected);
  });
});
