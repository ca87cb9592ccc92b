import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Engine } from '../../src/engine/engine.js';
import { callSite } from '../../src/errors.js';
import { Mipha } from '../../src/index.js';
import { readManifest } from '../../src/package/verify.js';
import { evalScenes, NANO } from '../support/nano.js';

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

describe('what is refused', () => {
  it('name the option, what was expected and the nearest key', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const messages: [Promise<unknown>, RegExp][] = [
      [view.ask(LONG, { maxToken: 1 } as object), /Option ask\.maxToken: .*did you mean maxTokens\?/],
      [view.ask('  '), /Option ask\.question: expected a question/],
      [view.ask(LONG, { maxTokens: 0 }), /Option ask\.maxTokens: expected a whole number from 1/],
      [view.ask(LONG, { maxTokens: 3, as: z.boolean() }), /Option ask\.maxTokens: expected nothing beside/],
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
      [
        Mipha.load(NANO, { backend: 'cpuu' as 'cpu' }),
        /Option load\.backend: expected one of auto, cpu, cuda, tensorrt, received "cpuu" \(did you mean cpu\?\)/,
      ],
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
      stack: expect.stringContaining('refusals.test.ts'),
    });
  });

  it('a backend this machine lacks is refused with the reason', async () => {
    const opened = { folder: NANO, manifest: await readManifest(NANO) };
    const options = { backend: 'abacus', cacheTokens: 0, onProgress: () => {} };
    await expect(Engine.open(opened, options, callSite(Engine.open))).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE', retryable: false });
  });

  it('a package that is missing or was changed is not loaded', async () => {
    expect(await code(Mipha.load('does/not/exist'))).toBe('ERR_MODEL_MISSING');
    expect(await code(Mipha.load('test/fixtures'))).toBe('ERR_MODEL_MISSING');
  });
});
