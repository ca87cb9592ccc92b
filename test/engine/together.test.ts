/** Questions of one tick reach the worker together, through an addon that notes what it is told. */
import { afterEach, expect, it, vi } from 'vitest';
import type { NativeEngine } from '../../src/addon/addon.js';
import { loadAddon } from '../../src/addon/load.js';
import { Mipha } from '../../src/index.js';
import { samplePicture } from '../../src/shipped.js';
import { NANO } from '../support/nano.js';

const addon = loadAddon();
const { load } = addon;

afterEach(() => {
  vi.restoreAllMocks();
});

it('questions of one tick are handed over at its end, also where one of them is refused', async () => {
  const told: string[] = [];
  const noted = <Given extends unknown[], Result>(name: string, call: (...given: Given) => Result) => {
    return (...given: Given): Result => {
      told.push(name);
      return call(...given);
    };
  };
  const noting = (engine: NativeEngine): NativeEngine => ({
    look: (image, options) => engine.look(image, options),
    gather: noted('gather', () => engine.gather()),
    ask: noted('ask', (options) => engine.ask(options)),
    handOver: noted('handOver', () => engine.handOver()),
    converse: (of) => engine.converse(of),
    releaseView: (of) => engine.releaseView(of),
    releaseConversation: (conversation) => engine.releaseConversation(conversation),
    status: () => engine.status(),
    dispose: () => engine.dispose(),
  });
  vi.spyOn(addon, 'load').mockImplementation((options, onProgress) => {
    const job = load(options, onProgress);
    return { done: job.done.then(noting), cancel: () => job.cancel() };
  });
  await using mipha = await Mipha.load(NANO, { backend: 'cpu' });
  await using view = await mipha.look(samplePicture);
  told.length = 0;
  const asked = [view.ask('Is the lamp on?'), view.ask('Is the door open?', { maxTokens: 1_000_000 }), view.ask('Is there a person?')];
  const outcomes = await Promise.allSettled(asked);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(told).toEqual(['gather', 'ask', 'ask', 'handOver']);
  told.length = 0;
  await view.askAll([{ question: 'Is the lamp on?' }, { question: 'Is the door open?' }]);
  await view.ask('Is there a person?');
  expect(told).toEqual(['gather', 'ask', 'ask', 'handOver', 'gather', 'ask', 'handOver']);
});
