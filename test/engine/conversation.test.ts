import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type AnswerType, type Conversation, Mipha } from '../../src/index.js';
import { evalScenes, NANO } from '../support/nano.js';

const PICTURE = evalScenes()[0]?.picture as string;
const LONG = 'Describe the scene.';
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };
let mipha: Mipha;
beforeAll(async () => {
  mipha = await Mipha.load(NANO);
});
afterAll(() => mipha.dispose());

/** Of a new conversation about the same picture. */
async function conversing<T>(body: (conversation: Conversation) => Promise<T>): Promise<T> {
  await using view = await mipha.look(PICTURE);
  await using conversation = await view.converse();
  return await body(conversation);
}

describe('a conversation', () => {
  it('streams what it would have answered, and remembers it', async () => {
    const asked = await conversing(async (conversation) => {
      await conversation.ask('Is the lamp on?');
      return [(await conversation.ask(LONG)).text, conversation.history];
    });
    const streamed = await conversing(async (conversation) => {
      await conversation.ask('Is the lamp on?');
      const pieces: string[] = [];
      const stream = conversation.stream(LONG);
      for await (const piece of stream) pieces.push(piece);
      expect((await stream.answer).tokens.reused).toBeGreaterThan(0);
      return [pieces.join(''), conversation.history];
    });
    expect(streamed).toEqual(asked);
    expect(streamed[1]).toHaveLength(2);
  });

  it('begins with turns that it is given as if they had been asked and answered here', async () => {
    const [questions, answers, history] = await conversing(async (conversation) => {
      const first = await conversation.ask('Is the lamp on?', { as: z.boolean() });
      const second = await conversation.ask(LONG);
      return [[first.tokens.prompt, second.tokens.prompt], [first.text, second.text], conversation.history];
    });
    await using view = await mipha.look(PICTURE);
    expect([view.imageTokens > 0, view.imageTokens < view.tokens]).toEqual([true, true]);
    await using given = await view.converse({ history: history.slice(0, 1) });
    const { text, tokens } = await given.ask(LONG);
    expect([text, tokens.prompt, given.history]).toEqual([answers[1], questions[1], history]);
    await using words = await mipha.converse({ history });
    expect((await words.ask('Is the lamp on?')).tokens.prompt).toBeGreaterThan((await mipha.ask('Is the lamp on?')).tokens.prompt);
    expect(words.history).toHaveLength(3);
  });

  it.each([
    ['x', 'converse.history'],
    [[null], 'converse.history[0].question'],
    [[{ question: 'a', answer: ' ' }], 'converse.history[0].answer'],
    [
      [
        { question: 'a', answer: 'b' },
        { question: 'a\ud800', answer: 'b' },
      ],
      'converse.history[1].question',
    ],
  ])('does not begin with %j', async (history, option) => {
    await using view = await mipha.look(PICTURE);
    for (const begun of [view.converse({ history: history as never }), mipha.converse({ history: history as never })])
      await expect(begun).rejects.toMatchObject({ code: 'ERR_OPTION', details: { option } });
  });

  it('is busy while a stream is written, forgets one that was left or aborted, and goes on', async () => {
    await conversing(async (conversation) => {
      const stream = conversation.stream(LONG, ENDLESS);
      expect(() => conversation.stream(LONG)).toThrow(expect.objectContaining({ code: 'ERR_BUSY' }));
      await expect(conversation.ask(LONG)).rejects.toMatchObject({ code: 'ERR_BUSY' });
      await expect(conversation.askAll([{ question: LONG }])).rejects.toMatchObject({ code: 'ERR_BUSY' });
      for await (const _ of stream) break;
      expect((await stream.answer).finish).toBe('cancelled');

      const controller = new AbortController();
      const aborted = conversation.stream(LONG, { ...ENDLESS, signal: controller.signal });
      controller.abort(new Error('enough'));
      await expect(aborted.answer).rejects.toThrow('enough');
      expect(conversation.history).toEqual([]);
      expect((await conversation.ask('Is the lamp on?', { as: z.boolean() })).text).not.toBe('');
      expect(conversation.history).toHaveLength(1);
    });
  });

  it('asks several questions after the same history, and remembers all of them in their order', async () => {
    const questions = [
      { question: 'Is the door open?', as: z.boolean() },
      { question: 'How many objects are on the table?', as: z.int().min(0).max(9) },
      { question: LONG },
    ] as const;
    const first = 'Is the lamp on?';
    const alone: unknown[] = [];
    for (const { question, ...rest } of questions) {
      alone.push(
        await conversing(async (conversation) => {
          await conversation.ask(first);
          return (await conversation.ask<unknown>(question, rest as { as?: AnswerType<unknown> })).value;
        }),
      );
    }
    await conversing(async (conversation) => {
      await conversation.ask(first);
      const [door, count, scene] = await conversation.askAll(questions);
      const values: [boolean, number, string] = [door.value, count.value, scene.value];
      expect(values).toEqual(alone);
      expect(conversation.history.map(({ answer }) => answer)).toEqual([expect.any(String), door.text, count.text, scene.text]);
      expect(await conversation.askAll([])).toEqual([]);
    });
  });

  it('keeps its history when one of several questions fails', async () => {
    await conversing(async (conversation) => {
      await expect(conversation.askAll([{ question: LONG }, { question: LONG, maxTokens: 100_000 }])).rejects.toMatchObject({
        code: 'ERR_CONTEXT_FULL',
      });
      expect(conversation.history).toEqual([]);
      expect((await conversation.ask(LONG)).text).not.toBe('');
    });
  });

  it('cannot be used after it was disposed', async () => {
    await conversing(async (conversation) => {
      await conversation.dispose();
      expect(() => conversation.stream(LONG)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
      await expect(conversation.askAll([{ question: LONG }])).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    });
  });

  it('without a picture streams and asks several, too', async () => {
    await using conversation = await mipha.converse();
    let text = '';
    for await (const piece of conversation.stream('Hello?', { maxTokens: 5 })) text += piece;
    expect(conversation.history).toEqual([{ question: 'Hello?', answer: text }]);
    expect(await conversation.askAll([{ question: 'And?', maxTokens: 3 }])).toHaveLength(1);
  });
});
