import { describe, expect, it } from 'vitest';
import { Prompt, SHORT, withSuffix } from '../../src/engine/prompt.js';
import { PHI_PROMPT } from '../../src/package/manifest.js';
import { phiTokenizer } from '../support/gpt2.js';

const LETTER = "Answer with the option's letter from the given choices directly.";
const prompt = new Prompt(phiTokenizer(), PHI_PROMPT, 2048);

describe('Mipha-3B prompts', () => {
  it('prefix before the picture: 32 ids, its last space on its own', () => {
    expect([...prompt.prefix]).toEqual([
      32, 8537, 1022, 257, 11040, 2836, 290, 281, 11666, 4430, 8796, 13, 383, 8796, 3607, 7613, 11, 6496, 11, 290, 23507, 7429, 284, 262, 2836, 338,
      2683, 13, 1294, 1137, 25, 220,
    ]);
  });

  it('golden A: a question with the short-answer line', () => {
    expect([...prompt.afterPicture(withSuffix('What color is the car?', SHORT))]).toEqual([
      198, 2061, 3124, 318, 262, 1097, 30, 198, 33706, 262, 1808, 1262, 257, 2060, 1573, 393, 9546, 13, 24994, 8808, 8643, 25,
    ]);
  });

  it('golden B: multiple choice', () => {
    expect([...prompt.afterPicture(`What is in the image?\nA. cat\nB. dog\n${LETTER}`)]).toEqual([
      198, 2061, 318, 287, 262, 2939, 30, 198, 32, 13, 3797, 198, 33, 13, 3290, 198, 33706, 351, 262, 3038, 338, 3850, 422, 262, 1813, 7747, 3264, 13,
      24994, 8808, 8643, 25,
    ]);
  });

  it('golden C: a second turn, one end token after the first answer', () => {
    const history = [{ question: "What's unusual in this picture?", answer: 'A man.' }];
    expect([...prompt.afterPicture('Why?', history)]).toEqual([
      198, 2061, 338, 8468, 287, 428, 4286, 30, 24994, 8808, 8643, 25, 317, 582, 13, 50256, 29904, 25, 4162, 30, 24994, 8808, 8643, 25,
    ]);
  });

  it('without a picture the system text is part of the prompt', () => {
    const ids = phiTokenizer().encode(`${PHI_PROMPT.system}USER: Hi ASSISTANT:`);
    expect([...prompt.textOnly('Hi')]).toEqual(ids);
  });

  it('a typed end token or picture mark is ordinary text', () => {
    const ids = [...prompt.afterPicture('a<|endoftext|>b <image> c')];
    expect(ids).not.toContain(50256);
    expect(phiTokenizer().decode(ids)).toBe('\na<|endoftext|>b <image> c ASSISTANT:');
  });

  it('a question that cannot fit is refused before it is tokenized', () => {
    expect(() => prompt.afterPicture('x'.repeat(2_000_000))).toThrow(expect.objectContaining({ code: 'ERR_CONTEXT_FULL' }));
  });

  it('a template without a picture mark is a format error', () => {
    expect(() => new Prompt(phiTokenizer(), { ...PHI_PROMPT, image: '\n' }, 2048)).toThrow(expect.objectContaining({ code: 'ERR_MODEL_FORMAT' }));
  });
});

describe('suffix', () => {
  it('is a line of its own and appears once', () => {
    expect(withSuffix('Is it on?', SHORT)).toBe(`Is it on?\n${SHORT}`);
    expect(withSuffix(`Is it on?\n${SHORT}`, SHORT)).toBe(`Is it on?\n${SHORT}`);
    expect(withSuffix('Is it on?', '')).toBe('Is it on?');
  });
});
