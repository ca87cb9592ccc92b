import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Mipha, type View } from '../../src/index.js';
import { following, onAbort } from '../../src/signals.js';
import { counts } from '../support/counts.js';
import { evalScenes, NANO } from '../support/nano.js';

const PICTURE = evalScenes()[0]?.picture as string;
const LONG = 'Describe the scene.';
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };
const reason = new Error('enough');
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('a signal that many wait for', () => {
  it('has one listener, and none when nobody waits any more', () => {
    const { signal } = new AbortController();
    const stops = Array.from({ length: 50 }, () => onAbort(signal, () => {}));
    expect(listeners(signal)).toBe(1);
    for (const stop of stops) stop();
    for (const stop of stops) stop(); // twice does nothing
    expect(listeners(signal)).toBe(0);
    onAbort(signal, () => {});
    expect(listeners(signal)).toBe(1);
  });

  it('tells each of them once, in their order, also those that stop others or come late', () => {
    const controller = new AbortController();
    const told: number[] = [];
    onAbort(controller.signal, () => told.push(1));
    const stop = onAbort(controller.signal, () => told.push(2));
    onAbort(controller.signal, () => {
      stop();
      told.push(3);
    });
    controller.abort(reason);
    onAbort(controller.signal, () => told.push(4));
    expect(told).toEqual([1, 2, 3, 4]);
    expect(listeners(controller.signal)).toBe(0);
  });

  it('is followed with its reason, until the link is cut', () => {
    const outer = new AbortController();
    const followed = following(outer.signal);
    const cut = following(outer.signal);
    cut.unlink();
    outer.abort(reason);
    expect([followed.controller.signal.reason, cut.controller.signal.aborted]).toEqual([reason, false]);
    expect(following(outer.signal).controller.signal.reason).toBe(reason);
    expect(following(undefined).controller.signal.aborted).toBe(false);
  });
});

describe('questions with a signal', () => {
  let mipha: Mipha;
  let view: View;
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(`${warning.name}: ${warning.message}`);
  beforeAll(async () => {
    process.on('warning', onWarning);
    mipha = await Mipha.load(NANO);
    view = await mipha.look(PICTURE);
  });
  afterAll(async () => {
    await mipha.dispose();
    process.off('warning', onWarning);
  });

  it('leave nothing on it, however many there are, and Node has nothing to warn of', async () => {
    const { signal } = new AbortController();
    const as = z.boolean();
    const asked = Array.from({ length: 32 }, () => view.ask('Is the lamp on?', { as, signal }));
    const looked = Array.from({ length: 12 }, () => mipha.look(PICTURE, { signal }));
    const streams = Array.from({ length: 12 }, () => view.stream(LONG, { maxTokens: 2, signal }));
    expect(listeners(signal)).toBeLessThanOrEqual(1);
    await Promise.all(asked);
    for (const seen of await Promise.all(looked)) await seen.dispose();
    for (const stream of streams) for await (const _ of stream);
    await view.askAll(
      Array.from({ length: 64 }, () => ({ question: 'Is the lamp on?', as })),
      { signal },
    );
    expect(() => view.stream('x'.repeat(1_000_000), { signal })).toThrow(/tokens/);
    await expect(view.ask('x'.repeat(1_000_000), { signal })).rejects.toMatchObject({ code: 'ERR_CONTEXT_FULL' });
    await new Promise((resolve) => setImmediate(resolve)); // when warnings are told
    expect(warnings).toEqual([]);
    expect(listeners(signal)).toBe(0);
  });

  it('leave no memory on it either', async () => {
    const { signal } = new AbortController();
    const stranger = AbortSignal.any([signal]); // what the program does itself is its own
    const before = ownSymbols(signal);
    for (let round = 0; round < counts(20, 1000); round++) {
      for await (const _ of view.stream(LONG, { maxTokens: 1, signal })) break;
      await view.askAll([{ question: 'Is the lamp on?', as: z.boolean() }], { signal });
    }
    expect(ownSymbols(signal)).toEqual(before);
    expect(stranger.aborted).toBe(false);
  }, 300_000);

  it('stop a stream whose pieces are all written already', async () => {
    const controller = new AbortController();
    const stream = view.stream(LONG, { signal: controller.signal });
    const { text } = await stream.answer;
    const pieces: string[] = [];
    const read = async () => {
      for await (const piece of stream) {
        pieces.push(piece);
        if (pieces.length === 2) controller.abort(reason);
      }
    };
    await expect(read()).rejects.toBe(reason);
    expect(pieces).toHaveLength(2);
    expect(text.startsWith(pieces.join(''))).toBe(true);
    expect(listeners(controller.signal)).toBe(0);
  });

  it('stop a stream before its first piece, and one that waits for its next', async () => {
    for (const wait of [0, 20]) {
      const controller = new AbortController();
      const stream = view.stream(LONG, { ...ENDLESS, signal: controller.signal });
      setTimeout(() => controller.abort(reason), wait);
      const read = async () => {
        for await (const _ of stream);
      };
      await expect(read()).rejects.toBe(reason);
      await expect(stream.answer).rejects.toBe(reason);
    }
    expect(mipha.status().active).toBe(0);
  });
});

/** What hangs on a signal: AbortSignal.any() keeps the signals it makes in a Set under a symbol. */
function ownSymbols(signal: AbortSignal): Record<string, number> {
  const entries = Object.getOwnPropertySymbols(signal).map((symbol) => [
    String(symbol),
    (Reflect.get(signal, symbol) as { size?: number })?.size ?? 0,
  ]);
  return Object.fromEntries(entries);
}
