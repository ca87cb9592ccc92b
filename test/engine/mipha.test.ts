import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type AnswerType, Mipha, type View } from '../../src/index.js';
import { evalScenes, NANO } from '../support/nano.js';

const scenes = evalScenes();
const LONG = 'Describe the scene.';
/** There a step takes a tenth of a second. */
const ON_MACHINE = process.env.MIPHA_MACHINE_TARGET !== undefined;
/** Nearly any token, so nearly never the end. */
const ENDLESS = { temperature: 100, seed: 3, maxTokens: ON_MACHINE ? 60 : 350 };
let mipha: Mipha;
beforeAll(async () => {
  mipha = await Mipha.load(NANO);
});
afterAll(async () => {
  await mipha.dispose();
});

const code = async (promise: Promise<unknown>) => ((await promise.catch((error: unknown) => error)) as { code?: string }).code;

describe('free text', () => {
  let view: View;
  beforeAll(async () => {
    view = await mipha.look(scenes[1]?.picture as string, { frame: 'cam-7' });
  });
  afterAll(() => view.dispose());

  it('is its own value, without confidence, with counts and times', async () => {
    const answer = await view.ask(LONG);
    expect(answer.text).toBe(scenes[1]?.qa.find(([question]) => question === LONG)?.[1]);
    expect(answer).toMatchObject({ value: answer.text, confidence: null, finish: 'eos', frame: 'cam-7' });
    expect(answer.tokens.reused).toBe(view.tokens);
    expect(answer.tokens.prompt).toBe(view.tokens + mipha.tokenize(`\n${LONG} ASSISTANT:`).length);
    expect(answer.tokens.answer).toBe(mipha.tokenize(` ${answer.text}`).length);
    for (const ms of Object.values(answer.timings)) expect(ms).toBeGreaterThanOrEqual(0);
    expect(answer.timings.visionMs).toBe(view.timings.visionMs);
    expect(answer.timings.visionMs).toBeGreaterThan(0);
    expect([view.width, view.height]).toEqual([320, 240]);
  });

  it('streams the same characters, and the whole answer at the end', async () => {
    const whole = await view.ask(LONG);
    const stream = view.stream(LONG);
    const pieces: string[] = [];
    for await (const piece of stream) pieces.push(piece);
    expect(pieces.join('')).toBe(whole.text);
    expect(pieces.length).toBeGreaterThan(5);
    expect(await stream.answer).toMatchObject({ text: whole.text, finish: 'eos' });
  });

  it('a stream that is left early stops the work and keeps what was said', async () => {
    const whole = await view.ask(LONG, ENDLESS);
    const stream = view.stream(LONG, ENDLESS);
    for await (const piece of stream) {
      expect(whole.text.startsWith(piece)).toBe(true);
      break;
    }
    const { finish, text } = await stream.answer;
    expect(whole.text.startsWith(text.slice(0, -4))).toBe(true); // the last characters may be half of one
    expect(finish).toBe('cancelled');
    expect(mipha.status().active).toBe(0);
  });

  it('ends at maxTokens', async () => {
    const { finish, tokens, text } = await view.ask(LONG, { maxTokens: 3 });
    expect([finish, tokens.answer]).toEqual(['length', 3]);
    expect((await view.ask(LONG)).text.startsWith(text)).toBe(true);
  });

  it('sampling repeats with the seed', async () => {
    const options = { temperature: 3, seed: 42, maxTokens: 20 };
    const [first, second] = [await view.ask(LONG, options), await view.ask(LONG, options)];
    expect(second.text).toBe(first.text);
    const others = await Promise.all([1, 2, 3].map((seed) => view.ask(LONG, { ...options, seed })));
    expect(others.some(({ text }) => text !== first.text)).toBe(true);
    expect((await view.ask(LONG, { temperature: 3, topP: 1e-9, seed: 1 })).text).toBe((await view.ask(LONG)).text);
  });
});

describe('askAll', () => {
  it('gives what asking one by one gives', async () => {
    for (const { picture, qa } of scenes.slice(0, ON_MACHINE ? 1 : 4)) {
      await using view = await mipha.look(picture);
      const questions = [
        ...qa.map(([question]) => ({ question })),
        { question: 'Is the lamp on?', as: z.boolean() },
        { question: 'How many objects are on the table?', as: z.int().min(0).max(9) },
      ];
      const together = await view.askAll(questions);
      for (const [i, { question, ...rest }] of questions.entries()) {
        const alone = await view.ask(question, rest as { as?: AnswerType<unknown> });
        expect(together[i]).toMatchObject({ text: alone.text, value: alone.value, finish: alone.finish, tokens: alone.tokens });
        if (alone.confidence !== null) expect(together[i]?.confidence).toBeCloseTo(alone.confidence, 4);
      }
    }
  });

  it('has a type per question', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const [lamp, count, text] = await view.askAll([
      { question: 'Is the lamp on?', as: z.boolean() },
      { question: 'How many?', as: z.int().min(0).max(9) },
      { question: LONG },
    ]);
    const values: [boolean, number, string] = [lamp.value, count.value, text.value];
    expect(values.map((value) => typeof value)).toEqual(['boolean', 'number', 'string']);
    expect(await view.askAll([])).toEqual([]);
  });

  it('fails as a whole, with the first failure', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const tooLong = { question: LONG, maxTokens: 100_000 };
    expect(await code(view.askAll([{ question: LONG }, tooLong]))).toBe('ERR_CONTEXT_FULL');
    expect(await code(view.askAll([{ question: LONG }, { question: '' }]))).toBe('ERR_OPTION');
    expect(mipha.status().active).toBe(0);
  });
});

describe('conversations', () => {
  it('know the turns before and pay only for what is new', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    await using conversation = await view.converse();
    const first = await conversation.ask('Is the cabinet open?');
    const second = await conversation.ask('What is on the table?');
    expect(first.text).toBe((await view.ask('Is the cabinet open?')).text);
    expect(second.tokens.reused).toBeGreaterThan(first.tokens.prompt);
    expect(second.tokens.prompt).toBeGreaterThan(first.tokens.prompt + first.tokens.answer);
    expect(conversation.history).toEqual([
      { question: 'Is the cabinet open?', answer: first.text },
      { question: 'What is on the table?', answer: second.text },
    ]);
  });

  it('answer one question at a time, and outlive their view', async () => {
    const view = await mipha.look(scenes[0]?.picture as string);
    await using conversation = await view.converse();
    await view.dispose();
    const running = conversation.ask(LONG);
    expect(await code(conversation.ask(LONG))).toBe('ERR_BUSY');
    expect((await running).text).not.toBe('');
    expect(conversation.history).toHaveLength(1);
    await conversation.dispose();
    expect(await code(conversation.ask(LONG))).toBe('ERR_DISPOSED');
  });

  it('need no picture', async () => {
    await using conversation = await mipha.converse();
    await conversation.ask('Hello?', { maxTokens: 5 });
    const second = await conversation.ask('And?', { maxTokens: 5 });
    expect(second.tokens.reused).toBeGreaterThan(0);
  });
});

describe('without a picture', () => {
  it('a question is answered from the shared prefix', async () => {
    const answer = await mipha.ask('Is the door open?', { as: z.boolean() });
    expect(typeof answer.value).toBe('boolean');
    expect(answer.timings.visionMs).toBe(0);
    expect(answer.tokens.reused).toBeGreaterThan(0);
    expect(mipha.tokenize('a<|endoftext|>')).not.toContain(555);
  });
});
