import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Mipha } from '../../src/index.js';
import { evalScenes, NANO } from '../support/nano.js';
import { testAddon } from '../support/test-addon.js';

const scenes = evalScenes();
const LONG = 'Describe the scene.';
/** Nearly any token, so nearly never the end. */
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };
let mipha: Mipha;
beforeAll(async () => {
  mipha = await Mipha.load(NANO);
});
afterAll(async () => {
  await mipha.dispose();
});

const code = async (promise: Promise<unknown>) => ((await promise.catch((error: unknown) => error)) as { code?: string }).code;

/** Native objects that somebody must let go of. */
function held(): object {
  const { references: _, ...handles } = testAddon().handles();
  return handles;
}

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
    const stream = view.stream(LONG, { ...ENDLESS, signal: controller.signal });
    const read = async () => {
      for await (const _ of stream) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    await expect(stream.answer).rejects.toBe(reason);
    expect(mipha.status().active).toBe(0);
  });

  it('aborting in the middle of a load frees everything', async () => {
    const before = held();
    const reason = new Error('enough');
    for (const stage of ['verify', 'self-test']) {
      const controller = new AbortController();
      const onProgress = (at: string) => at === stage && controller.abort(reason);
      await expect(Mipha.load(NANO, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    }
    expect(held()).toEqual(before);
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
    expect((await view.ask(LONG, { deadlineMs: 600_000 })).finish).toBe('eos');
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
    const before = held();
    const own = await Mipha.load(NANO);
    const view = await own.look(scenes[0]?.picture as string);
    const conversation = await view.converse();
    const running = [
      view.ask(LONG, ENDLESS),
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
    expect(held()).toEqual(before);
  });
});

async function drain(pieces: AsyncIterable<string>): Promise<void> {
  for await (const _ of pieces);
}
