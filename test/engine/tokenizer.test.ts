import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/engine/tokenizer.js';
import { PHI } from '../../src/package/prompts.js';
import { gpt2Vocabulary, phiAdded, phiFile, phiTokenizer } from '../support/gpt2.js';

const NANO = 'models/mipha-nano/checkpoint';

describe("Phi's tokenizer", () => {
  const goldens: [string, number[]][] = [
    ['a  b   c\n\n\td\t\te', [64, 50286, 65, 50285, 66, 628, 197, 67, 50294, 68]],
    [`x${' '.repeat(40)}y`, [87, 50257, 50279, 88]],
    ['\n    code', [198, 50284, 8189]],
    [' ', [220]],
    [' ASSISTANT: Yes', [24994, 8808, 8643, 25, 3363]],
    ["'s", [338]],
    [' ASSISTANT:', [24994, 8808, 8643, 25]],
    ['USER:', [29904, 25]],
  ];
  it.each(goldens)('%j', (text, ids) => {
    expect(phiTokenizer().encode(text)).toEqual(ids);
    expect(phiTokenizer().decode(ids)).toBe(text);
  });

  it('knows the end token by name only, never from text', () => {
    const tokenizer = phiTokenizer();
    expect(tokenizer.specialId('<|endoftext|>')).toBe(50256);
    const ids = tokenizer.encode('stop<|endoftext|>USER:');
    expect(ids).not.toContain(50256);
    expect(tokenizer.decode(ids)).toBe('stop<|endoftext|>USER:');
    expect(tokenizer.decode([3363, 50256])).toBe(' Yes');
  });

  it('splits whitespace as the original does where JavaScript differs', () => {
    // U+FEFF is no white space and U+0085 is.
    expect(phiTokenizer().encode('a \uFEFF')).toEqual([64, ...phiTokenizer().encode(' \uFEFF')]);
    expect(phiTokenizer().encode('\u0085a')).toEqual([...phiTokenizer().encode('\u0085'), 64]);
  });

  it('gives every byte of any text back', () => {
    const text = 'Grüße, 世界! 🤖👩‍🚀 \0\r\n\t\t\t  é e\u0301 \uFEFFend ';
    expect(phiTokenizer().decode(phiTokenizer().encode(text))).toBe(text);
    expect(phiTokenizer().decode(phiTokenizer().encode('\uD800'))).toBe('\uFFFD');
  });

  it('merges a long word in reasonable time', () => {
    expect(phiTokenizer().decode(phiTokenizer().encode('ab'.repeat(20_000)))).toBe('ab'.repeat(20_000));
  });

  it('lists the bytes of every id, none for special and padded ones', () => {
    const { vocabulary, offsets } = phiTokenizer().table(51200);
    const bytes = (id: number) => Buffer.from(vocabulary.subarray(offsets[id], offsets[id + 1])).toString();
    expect(offsets).toHaveLength(51201);
    expect(bytes(3363)).toBe(' Yes');
    expect(bytes(50286)).toBe('  ');
    expect(bytes(50294)).toBe('\t\t');
    expect([50256, 50295, 51199].map(bytes)).toEqual(['', '', '']);
    expect(offsets[51200]).toBe(vocabulary.length);
  });
});

describe('a checkpoint without tokenizer.json', () => {
  it('gives the ids of the reference for its prompts', async () => {
    const tokenizer = await loadTokenizer(NANO);
    const cases = JSON.parse(readFileSync('test/fixtures/nano/golden.json', 'utf8')) as { prompt: string; prefix_ids: number[]; ids: number[] }[];
    for (const { prompt, prefix_ids, ids } of cases) {
      expect(tokenizer.encode(PHI.system + PHI.user)).toEqual(prefix_ids);
      expect(tokenizer.encode(`\n${prompt} ASSISTANT:`)).toEqual(ids);
    }
    expect(tokenizer.size).toBe(559);
    expect(tokenizer.specialId('<|endoftext|>')).toBe(555);
    expect(tokenizer.encode('a     b')).toEqual([...tokenizer.encode('a'), 556, ...tokenizer.encode(' b')]);
    expect(tokenizer.cleanUp).toBe(true);
  });
});

describe('tokenizer files', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mipha-tokenizer-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const put = (name: string, content: unknown) => writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  const code = async () => (await loadTokenizer(folder).catch((error) => error)).code;

  it('tokenizer.json says the same as vocab, merges and added tokens', async () => {
    const { vocab, merges } = gpt2Vocabulary();
    put('vocab.json', { ...vocab, '<|endoftext|>': 50256 });
    put('merges.txt', `#version: 0.2\n${merges.join('\n')}\n`);
    put('added_tokens.json', phiAdded());
    const listed = await loadTokenizer(folder, ['<|endoftext|>']);
    put('tokenizer.json', phiFile());
    const whole = await loadTokenizer(folder);
    for (const tokenizer of [listed, whole]) {
      expect(tokenizer.encode('a  b   c\n\n\td\t\te')).toEqual([64, 50286, 65, 50285, 66, 628, 197, 67, 50294, 68]);
      expect(tokenizer.specialId('<|endoftext|>')).toBe(50256);
      expect(tokenizer.encode('<|endoftext|>')).not.toContain(50256);
      expect(tokenizer.size).toBe(50295);
    }
  });

  it('are refused with a code when missing or malformed', async () => {
    expect(await code()).toBe('ERR_MODEL_MISSING');
    put('vocab.json', '{"a": ');
    expect(await code()).toBe('ERR_MODEL_FORMAT');
    put('vocab.json', { a: -1 });
    expect(await code()).toBe('ERR_MODEL_FORMAT');
    put('vocab.json', { a: 0 });
    expect(await code()).toBe('ERR_MODEL_MISSING');
    put('merges.txt', '#version: 0.2\none two three\n');
    expect(await code()).toBe('ERR_MODEL_FORMAT');
    put('merges.txt', '#version: 0.2\n');
    expect(await code()).toBe('ERR_MODEL_FORMAT'); // not all bytes are in the vocabulary
    put('tokenizer.json', { model: { type: 'Unigram' } });
    expect(await code()).toBe('ERR_MODEL_FORMAT');
  });

  it('a special token nobody knows is a format error', () => {
    expect(() => phiTokenizer().specialId('<eos>')).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });
});
