/** The SDK on the CUDA backend, whose kernels the machine without a GPU runs: beside the CPU, cancelled, disposed of, and when the device fails. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { cudaLibrary, loadAddon } from '../../src/addon/load.js';
import { Mipha, type View } from '../../src/index.js';
import { node } from '../cli/run.js';
import { counts } from '../support/counts.js';
import { MACHINE_LACKS } from '../support/machine.js';
import { evalScenes, NANO } from '../support/nano.js';
import { testAddon } from '../support/test-addon.js';

const PICTURE = evalScenes()[0]?.picture as string;
const LONG = 'Describe the scene.';
const LAMP = 'Is the lamp on?';
/** Nearly any token, so nearly never the end. */
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };
const freeBytes = async () => (await loadAddon().cudaFacts(cudaLibrary())).freeBytes;

describe.runIf(MACHINE_LACKS === '')(`CUDA${MACHINE_LACKS && ` (needs ${MACHINE_LACKS})`}`, () => {
  let [empty, mipha, view]: [number, Mipha, View] = [0, undefined as never, undefined as never];
  beforeAll(async () => {
    empty = await freeBytes();
    mipha = await Mipha.load(NANO);
    view = await mipha.look(PICTURE);
  });
  afterAll(() => mipha?.dispose());

  it('is what auto takes where its library is, and holds device memory', async () => {
    expect(mipha.status()).toMatchObject({ backend: 'cuda', passedOver: [] });
    expect(await freeBytes()).toBeLessThan(empty);
  });

  it('gives the answers of the CPU, one by one and together', async () => {
    const questions = [
      { question: LAMP, as: z.boolean() },
      { question: 'How many objects are on the table?', as: z.int().min(0).max(9) },
      { question: 'What is the color of the cup?', as: z.enum(['red', 'green', 'blue', 'yellow']) },
      { question: 'What is on the table?', maxTokens: 4 },
    ] as const;
    await using cpu = await Mipha.load(NANO, { backend: 'cpu' });
    await using same = await cpu.look(PICTURE);
    const expected = await same.askAll(questions);
    const together = await view.askAll(questions);
    expect(together.map(({ text }) => text)).toEqual(expected.map(({ text }) => text));
    expect(together.map(({ value }) => value)).toEqual(expected.map(({ value }) => value));
    for (const [i, { confidence }] of expected.entries()) if (confidence !== null) expect(together[i]?.confidence).toBeCloseTo(confidence, 1);
    const alone = await view.ask(LAMP, { as: z.boolean() });
    expect([alone.text, alone.value]).toEqual([together[0].text, together[0].value]);
    expect(alone.confidence).toBeCloseTo(together[0].confidence as number, 4);
  });

  it('answers as before and has as much memory after cancelled questions', async () => {
    const before = [(await view.ask(LAMP)).text, await freeBytes()];
    const reason = new Error('enough');
    for (let i = 0; i < counts(4, 60); i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const call = i % 2 === 0 ? view.ask(LONG, { ...ENDLESS, signal }) : view.askAll([{ question: LONG }, { question: LAMP }], { signal });
      setTimeout(() => controller.abort(reason), (i * 37) % 300);
      await expect(call).rejects.toBe(reason);
    }
    const controller = new AbortController();
    const read = async () => {
      for await (const _ of view.stream(LONG, { ...ENDLESS, signal: controller.signal })) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    expect(mipha.status()).toMatchObject({ views: 1, active: 0 });
    expect([(await view.ask(LAMP)).text, await freeBytes()]).toEqual(before);
  });

  it('gives all its memory back, with questions under way', async () => {
    const [held, handles] = [await freeBytes(), testAddon().handles()];
    for (let i = 0; i < counts(1, 4); i++) {
      const own = await Mipha.load(NANO);
      const call = own.ask(LONG, ENDLESS).catch(({ code }: { code: string }) => code);
      if (i % 2 === 1) await own.ask(LAMP, { maxTokens: 1 });
      await own.dispose();
      expect(await call).toBe('ERR_DISPOSED');
      expect(await freeBytes()).toBe(held);
    }
    expect(testAddon().handles()).toEqual(handles);
  });
});

describe.runIf(MACHINE_LACKS === '')('a device that fails, in a process of its own', () => {
  const failing = async (how: string, env: NodeJS.ProcessEnv) => {
    const { code, stdout, stderr } = await node(['test/support/cuda-failing.mjs', how], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout);
  };
  const nothingLeft = { engines: 0, views: 0, conversations: 0, jobs: 0 };

  it('in the middle of answers ends the engine with words, and the process goes on without it', async () => {
    const lost = { code: 'ERR_DEVICE', message: expect.stringMatching(/^CUDA: .*cudaErrorLaunchFailure/), retryable: true };
    const seen = await failing('lost', { MIPHA_MACHINE_FAIL_AFTER: '800' });
    expect(seen).toMatchObject({
      backend: 'cuda',
      underWay: Array(8).fill(lost),
      later: [lost, lost],
      disposed: { code: 'ERR_DISPOSED' },
      byName: { code: 'ERR_DEVICE', message: expect.stringMatching(/^CUDA: /) },
      auto: { backend: 'cpu', passedOver: ['cuda ERR_DEVICE'] },
      handles: nothingLeft,
    });
    expect(seen.auto.text).not.toBe('');
  });

  it('to give memory is refused with the bytes, and nothing is held', async () => {
    const seen = await failing('memory', { MIPHA_MACHINE_MEMORY: '1000000' });
    expect(seen.facts).toMatchObject({ totalBytes: 1_000_000, freeBytes: 1_000_000 });
    expect(seen.byName).toMatchObject({ code: 'ERR_MEMORY', message: expect.stringMatching(/^CUDA: /), retryable: true });
    const { neededBytes, availableBytes } = seen.byName.details;
    expect(neededBytes).toBeGreaterThan(1_000_000);
    expect(availableBytes).toBeLessThanOrEqual(1_000_000);
    expect(seen.after.freeBytes).toBe(1_000_000);
    expect(seen).toMatchObject({ auto: { backend: 'cpu', passedOver: ['cuda ERR_MEMORY'] }, handles: nothingLeft });
  });
});
