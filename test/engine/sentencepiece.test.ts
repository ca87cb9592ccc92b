/** Answers of a model whose words are sentencepiece's. What it says is of no matter here. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { walk } from '../../src/engine/automaton.js';
import { constraintOf } from '../../src/engine/constraint.js';
import { shapeOf } from '../../src/engine/schema.js';
import { answerText, TextStream } from '../../src/engine/text.js';
import { type AnswerType, Mipha } from '../../src/index.js';
import { evalScenes } from '../support/nano.js';
import { writeSentencepieceNano } from '../support/sentencepiece-nano.js';
import { tokenizerOf } from '../support/tokenizers.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-sentencepiece-'));
let mipha: Mipha;
beforeAll(async () => {
  writeSentencepieceNano(folder);
  mipha = await Mipha.load(folder, { backend: 'cpu' });
});
afterAll(async () => {
  await mipha.dispose();
  rmSync(folder, { recursive: true });
});

const TYPES: [string, AnswerType<unknown>][] = [
  ['a boolean', z.boolean()],
  ['a choice', z.enum(['red', 'blue', 'light green'])],
  ['a number of a list', z.int().min(0).max(20)],
  ['a number between bounds', z.number().min(-40).max(1250.5)],
  ['a text', z.string().max(12)],
  ['an object', z.object({ on: z.boolean(), colour: z.enum(['red', 'blue']).nullable(), count: z.int().min(0).max(99) })],
  ['a list', z.array(z.enum(['two', 'three'])).max(3)],
];

describe('typed answers', () => {
  it.each(TYPES)('%s', async (_, as) => {
    await using view = await mipha.look(evalScenes()[0]?.picture as string);
    for (const ask of [view, mipha]) {
      for (const options of [{}, { temperature: 5, seed: 1 }]) {
        const { value, text, confidence } = await ask.ask('Is the lamp on?', { as, ...options });
        expect((as as z.ZodType).safeParse(value).success).toBe(true);
        expect(text).toBe(text.trim());
        expect(confidence).toBeGreaterThan(0);
      }
    }
  });

  it('take the piece of a word with the space before it, in one step', () => {
    const tokenizer = tokenizerOf('llama');
    const steps = (as: z.ZodType, words: string[]) => {
      const { automaton } = constraintOf(shapeOf(as as never));
      return words.map((word) => {
        const ids = tokenizer.encode(word, 'apart').slice(-1);
        expect(tokenizer.decode(ids)).toBe(` ${word}`);
        const state = walk(automaton, 0, tokenizer.bytes(ids[0] as number));
        return state >= 0 && automaton.accepting[state];
      });
    };
    expect(steps(z.boolean(), ['Yes', 'No', 'yes', 'no'])).toEqual([1, 1, 1, 1]);
    expect(steps(z.enum(['red', 'blue']), ['red', 'blue', 'Red'])).toEqual([1, 1, 1]);
  });
});

describe('free answers', () => {
  it('stream in pieces that are the text, which begins with no space', async () => {
    await using view = await mipha.look(evalScenes()[0]?.picture as string);
    for (let seed = 0; seed < 4; seed++) {
      const stream = view.stream('What is it?', { temperature: 3, seed, maxTokens: 40 });
      const pieces: string[] = [];
      for await (const piece of stream) pieces.push(piece);
      const { text } = await stream.answer;
      expect(pieces.join('')).toBe(text);
      expect(text).toBe(text.trim());
    }
  });

  it("of Llama's pieces", () => {
    const tokenizer = tokenizerOf('llama');
    const ids = [...tokenizer.encode('Yes, it is  red.\n 🤖'), 2];
    expect(ids[0]).toBe(3869); // with its space
    const stream = new TextStream(tokenizer);
    const pieces = ids.map((id) => stream.push(id));
    expect(pieces[0]).toBe('Yes');
    expect([...pieces, stream.end()].join('')).toBe('Yes, it is  red.\n 🤖');
    expect(answerText(tokenizer, ids)).toBe('Yes, it is  red.\n 🤖');
  });
});
