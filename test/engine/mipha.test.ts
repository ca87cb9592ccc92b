import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadAddon } from '../../src/addon/load.js';
import { recordGolden } from '../../src/engine/self-test.js';
import { Mipha, type View } from '../../src/index.js';
import { hashFile } from '../../src/package/hash.js';
import { GOLDEN_FILE } from '../../src/package/manifest.js';
import { readManifest } from '../../src/package/verify.js';
import { type EvalScene, evalScenes, NANO } from '../support/nano.js';

const scenes = evalScenes();
const LONG = 'Describe the scene.';
let mipha: Mipha;
beforeAll(async () => {
  mipha = await Mipha.load(NANO);
});
afterAll(async () => {
  await mipha.dispose();
});

const code = async (promise: Promise<unknown>) => ((await promise.catch((error: unknown) => error)) as { code?: string }).code;

/** Scenes with a question of these words that is answered in a word. */
function* askedFor(words: string, limit: number): Generator<{ scene: EvalScene; answer: string }> {
  for (const scene of scenes) {
    const found = scene.qa.find(([question]) => question.startsWith(`${words}\n`));
    if (found !== undefined && limit-- > 0) yield { scene, answer: found[1] };
  }
}

async function share(words: string, as: z.ZodType, truth: (answer: string) => unknown): Promise<{ right: number; total: number }> {
  let [right, total] = [0, 0];
  for (const { scene, answer } of askedFor(words, 20)) {
    await using view = await mipha.look(scene.picture);
    const { value, confidence } = await view.ask(words, { as });
    expect(confidence).toBeGreaterThan(0);
    expect(confidence).toBeLessThanOrEqual(1);
    total++;
    if (value === truth(answer)) right++;
  }
  expect(total).toBeGreaterThan(5);
  return { right, total };
}

describe('typed answers', () => {
  it('say what is in the picture', async () => {
    const colours = ['red', 'green', 'blue', 'yellow', 'white', 'black', 'orange', 'purple'] as const;
    const results = [
      await share('Is the table empty?', z.boolean(), (answer) => answer === 'Yes'),
      await share('Is the door closed?', z.boolean(), (answer) => answer === 'Yes'),
      await share('How many objects are on the table?', z.int().min(0).max(9), Number),
      await share('What is the color of the cup?', z.enum(colours), (answer) => answer.toLowerCase()),
    ];
    const right = results.reduce((sum, result) => sum + result.right, 0);
    const total = results.reduce((sum, result) => sum + result.total, 0);
    expect(right / total).toBeGreaterThanOrEqual(0.97);
  });

  it('hold for every kind of schema, also where the model knows nothing', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const schemas = [
      z.literal('only'),
      z.enum(['left side', 'left', 'right']),
      z.int().min(-7).max(100_000),
      z.number().min(0.5).max(0.75),
      z.string().min(1).max(12),
      z.object({ on: z.boolean(), count: z.int().min(3).max(5), note: z.string().max(5), deep: z.object({ x: z.number().min(0).max(1) }) }),
    ];
    for (const schema of schemas) {
      const { value, text, confidence, finish } = await view.ask('What is it?', { as: schema as z.ZodType });
      expect(schema.safeParse(value).success).toBe(true);
      expect(text).not.toBe('');
      expect(confidence).toBeGreaterThan(0);
      expect(['eos', 'stop']).toContain(finish);
    }
    const only = await view.ask('What is it?', { as: z.literal('only') });
    expect([only.value, only.confidence, only.tokens.answer]).toEqual(['only', 1, 0]);
  });

  it('confidence of all values of a boolean adds up to one', async () => {
    // Forcing each answer in turn: the probability of a value among both is what the question asked freely reports for the chosen one.
    await using view = await mipha.look(scenes[0]?.picture as string);
    const { confidence } = await view.ask('Is the lamp on?', { as: z.boolean() });
    expect(confidence).toBeGreaterThan(0.5);
  });

  it('a refinement the constraint does not know is an option error', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    expect(await code(view.ask('Is it?', { as: z.boolean().refine(() => false) }))).toBe('ERR_OPTION');
    expect(await code(view.ask('Is it?', { as: z.string() }))).toBe('ERR_OPTION');
  });
});

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
    const whole = await view.ask(LONG);
    const stream = view.stream(LONG);
    for await (const piece of stream) {
      expect(whole.text.startsWith(piece)).toBe(true);
      break;
    }
    const { finish, text } = await stream.answer;
    expect(whole.text.startsWith(text)).toBe(true);
    expect(['cancelled', 'eos']).toContain(finish);
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
    for (const { picture, qa } of scenes.slice(0, 4)) {
      await using view = await mipha.look(picture);
      const questions = [
        ...qa.map(([question]) => ({ question })),
        { question: 'Is the lamp on?', as: z.boolean() },
        { question: 'How many objects are on the table?', as: z.int().min(0).max(9) },
      ];
      const together = await view.askAll(questions);
      for (const [i, { question, ...rest }] of questions.entries()) {
        const alone = await view.ask(question, rest as { as?: z.ZodType });
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

describe('signals and deadlines', () => {
  it('an aborted signal rejects with its reason', async () => {
    const reason = new Error('enough');
    await using view = await mipha.look(scenes[0]?.picture as string);
    const signal = AbortSignal.abort(reason);
    await expect(view.ask(LONG, { signal })).rejects.toBe(reason);
    await expect(mipha.look(scenes[0]?.picture as string, { signal })).rejects.toBe(reason);
    await expect(view.askAll([{ question: LONG }], { signal })).rejects.toBe(reason);
    await expect(Mipha.load(NANO, { signal })).rejects.toBe(reason);
    await expect(drain(view.stream(LONG, { signal }))).rejects.toBe(reason);
  });

  it('aborting in the middle of an answer stops the work', async () => {
    const reason = new Error('enough');
    await using view = await mipha.look(scenes[0]?.picture as string);
    const controller = new AbortController();
    const stream = view.stream(LONG, { signal: controller.signal });
    const read = async () => {
      for await (const _ of stream) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    await expect(stream.answer).rejects.toBe(reason);
    expect(mipha.status().active).toBe(0);
  });

  it('aborting in the middle of a load frees everything', async () => {
    const before = loadAddon().handles();
    const reason = new Error('enough');
    for (const stage of ['verify', 'self-test']) {
      const controller = new AbortController();
      const onProgress = (at: string) => at === stage && controller.abort(reason);
      await expect(Mipha.load(NANO, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    }
    expect(loadAddon().handles()).toEqual(before);
  });

  it('a deadline that passes is its own error', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    for (const call of [
      view.ask(LONG, { deadlineMs: 1e-3 }),
      view.askAll([{ question: LONG }, { question: LONG }], { deadlineMs: 1e-3 }),
      mipha.look(scenes[0]?.picture as string, { deadlineMs: 1e-3 }),
    ]) {
      const error = await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: 'ERR_DEADLINE', retryable: true, details: { deadlineMs: 1e-3 } });
    }
    expect((await view.ask(LONG, { deadlineMs: 60_000 })).finish).toBe('eos');
  });
});

describe('life cycle', () => {
  it('a view is unusable after it was disposed, and disposing twice is fine', async () => {
    const view = await mipha.look(scenes[0]?.picture as string);
    const views = mipha.status().views;
    await view.dispose();
    await view.dispose();
    expect(await code(view.ask(LONG))).toBe('ERR_DISPOSED');
    expect(await code(view.askAll([{ question: LONG }]))).toBe('ERR_DISPOSED');
    expect(await code(view.converse())).toBe('ERR_DISPOSED');
    expect(() => view.stream(LONG)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    await mipha.ask('Hello?', { maxTokens: 1 });
    expect(mipha.status().views).toBe(views - 1);
  });

  it('disposing an engine rejects what is under way, and leaves nothing behind', async () => {
    const before = loadAddon().handles();
    const own = await Mipha.load(NANO);
    const view = await own.look(scenes[0]?.picture as string);
    const conversation = await view.converse();
    const running = [
      view.ask(LONG, { maxTokens: 200, temperature: 5, seed: 1 }),
      view.askAll([{ question: LONG }, { question: LONG }]),
      conversation.ask(LONG),
      own.look(scenes[1]?.picture as string),
    ].map((call) => code(call));
    await Promise.all([own.dispose(), own.dispose()]);
    for (const received of await Promise.all(running)) expect(received).toBe('ERR_DISPOSED');
    expect(await code(view.ask(LONG))).toBe('ERR_DISPOSED');
    expect(await code(own.look(scenes[0]?.picture as string))).toBe('ERR_DISPOSED');
    expect(await code(own.converse())).toBe('ERR_DISPOSED');
    expect(() => own.status()).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    await view.dispose();
    await conversation.dispose();
    await own.dispose();
    expect(loadAddon().handles()).toEqual(before);
  });
});

describe('errors', () => {
  it('name the option, what was expected and the nearest key', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const messages: [Promise<unknown>, RegExp][] = [
      [view.ask(LONG, { maxToken: 1 } as object), /Option ask\.maxToken: .*did you mean maxTokens\?/],
      [view.ask('  '), /Option ask\.question: expected a question/],
      [view.ask(LONG, { maxTokens: 0 }), /Option ask\.maxTokens: expected a whole number from 1/],
      [view.ask(LONG, { maxTokens: 3, as: z.boolean() as z.ZodType }), /Option ask\.maxTokens: expected nothing beside/],
      [view.ask(LONG, { temperature: Number.NaN }), /Option ask\.temperature: expected a number from 0/],
      [view.ask(LONG, { topP: 0 }), /Option ask\.topP: expected a number above 0 and at most 1/],
      [view.ask(LONG, { seed: 1.5 }), /Option ask\.seed: expected a whole number/],
      [view.ask(LONG, { deadlineMs: 0 }), /Option ask\.deadlineMs: expected a number above 0/],
      [view.ask(LONG, { priority: 0.5 }), /Option ask\.priority: expected a whole number/],
      [view.ask(LONG, { signal: {} as AbortSignal }), /Option ask\.signal: expected an AbortSignal/],
      [view.askAll({} as []), /Option askAll\.questions: expected an array/],
      [view.askAll([{ question: 'a', as: z.string() }]), /Option as: expected a string with/],
      [view.askAll([{ question: 'a', asks: 1 } as never]), /questions\[0\]\.asks: .*did you mean as\?/],
      [mipha.look('a.png', { frame: {} as string }), /Option look\.frame: expected a string or a number/],
      [mipha.look('a.png', { frames: 1 } as object), /did you mean frame\?/],
      [Mipha.load(''), /Option load\.folder: expected the path/],
      [Mipha.load(NANO, { backend: 'cpuu' as 'cpu' }), /Option load\.backend: expected auto or cpu, received "cpuu" \(did you mean cpu\?\)/],
      [Mipha.load(NANO, { threads: 0 }), /Option load\.threads: expected a whole number from 1/],
      [Mipha.load(NANO, { onProgress: 1 as never }), /Option load\.onProgress: expected a function/],
      [Mipha.load(NANO, { thread: 1 } as object), /did you mean threads\?/],
    ];
    for (const [call, message] of messages) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_OPTION', message: expect.stringMatching(message) });
    }
    expect(() => view.stream(LONG, { as: z.boolean() } as object)).toThrow(/Option stream\.as/);
    expect(() => mipha.tokenize(7 as never)).toThrow(/Option tokenize\.text: expected a string, received 7/);
  });

  it('a prompt longer than the context is refused with what it needed', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    for (const question of ['word '.repeat(600), 'x'.repeat(10_000_000)]) {
      await expect(view.ask(question)).rejects.toMatchObject({ code: 'ERR_CONTEXT_FULL', details: { availableTokens: expect.any(Number) } });
    }
    expect(await code(mipha.ask('word '.repeat(600)))).toBe('ERR_CONTEXT_FULL');
  });

  it('a typed answer the context cannot hold is cut off with an error, never returned', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const room = 512 - view.tokens - mipha.tokenize('\n ASSISTANT:').length;
    const filler = mipha.tokenize(' a').length;
    const question = ' a'.repeat(Math.floor((room - 2) / filler) - 1);
    expect(await code(view.ask(question, { as: z.string().min(200).max(300) }))).toBe('ERR_CONTEXT_FULL');
  });

  it('memory that cannot be had is refused with the bytes', async () => {
    await expect(Mipha.load(NANO, { cacheTokens: 10_000_000 })).rejects.toMatchObject({
      code: 'ERR_MEMORY',
      retryable: true,
      details: { neededBytes: expect.any(Number), availableBytes: expect.any(Number) },
      stack: expect.stringContaining('mipha.test.ts'),
    });
  });

  it('a package that is missing or was changed is not loaded', async () => {
    expect(await code(Mipha.load('does/not/exist'))).toBe('ERR_MODEL_MISSING');
    expect(await code(Mipha.load('test/fixtures'))).toBe('ERR_MODEL_MISSING');
  });
});

describe('the self-test', () => {
  it('is recorded the same again, with memory for one layer', async () => {
    const golden = JSON.parse(readFileSync(join(NANO, GOLDEN_FILE), 'utf8'));
    expect(await recordGolden(NANO)).toEqual(golden);
    expect(golden.ids.length).toBeGreaterThan(0);
  });

  it('refuses a package whose golden ids are not reproduced', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mipha-golden-'));
    try {
      const manifest = await readManifest(NANO);
      for (const name of ['manifest.json', ...Object.keys(manifest.files)]) cpSync(join(NANO, name), join(folder, name));
      const golden = JSON.parse(readFileSync(join(NANO, GOLDEN_FILE), 'utf8'));
      const write = async (changed: object) => {
        writeFileSync(join(folder, GOLDEN_FILE), JSON.stringify(changed));
        const files = { ...manifest.files, [GOLDEN_FILE]: await hashFile(join(folder, GOLDEN_FILE)) };
        writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, files }));
      };
      const before = loadAddon().handles();
      await write({ ...golden, ids: [golden.ids[0] + 1, ...golden.ids.slice(1)] });
      await expect(Mipha.load(folder)).rejects.toMatchObject({
        code: 'ERR_SELF_TEST',
        details: { expected: [golden.ids[0] + 1, ...golden.ids.slice(1)] },
      });
      await write({ ...golden, promptIds: golden.promptIds.slice(1) });
      expect(await code(Mipha.load(folder))).toBe('ERR_SELF_TEST');
      expect(loadAddon().handles()).toEqual(before);
      await write({ ...golden, picture: 'other' });
      expect(await code(Mipha.load(folder))).toBe('ERR_MODEL_FORMAT');
      writeFileSync(join(folder, GOLDEN_FILE), '{}');
      expect(await code(Mipha.load(folder))).toBe('ERR_MODEL_CHECKSUM');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

async function drain(pieces: AsyncIterable<string>): Promise<void> {
  for await (const _ of pieces);
}
