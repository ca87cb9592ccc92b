import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Mipha } from '../../src/index.js';
import { node } from '../cli/run.js';
import { counts } from '../support/counts.js';
import { evalScenes, NANO } from '../support/nano.js';
import { testAddon } from '../support/test-addon.js';

const scenes = evalScenes();
const LONG = 'Describe the scene.';
/** Nearly any token, so nearly never the end. */
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };
const megabytes = (bytes: number) => bytes / 2 ** 20;

/** A run of numbers from 0 to 1 that is the same every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

// The stand-in for TensorRT takes half a second for its self-test at each load.
const ROUNDS = process.env.MIPHA_TEST_NANO === undefined ? counts(30, 200) : counts(10, 60);

describe('many loads', () => {
  it('loads and disposals leave nothing behind', async () => {
    const before = testAddon().handles();
    let settled = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const mipha = await Mipha.load(NANO, { threads: 1 });
      await mipha.dispose();
      if (round === Math.floor(ROUNDS / 4)) settled = process.memoryUsage.rss();
    }
    expect(testAddon().handles()).toEqual(before);
    // One engine holds more than 10 MB: a leak of even every tenth would show.
    expect(megabytes(process.memoryUsage.rss() - settled)).toBeLessThan(100);
  }, 300_000);

  it('several engines answer side by side', async () => {
    await using first = await Mipha.load(NANO, { threads: 1 });
    await using second = await Mipha.load(NANO, { threads: 1 });
    const answers = await Promise.all(
      [first, second].map(async (mipha) => {
        await using view = await mipha.look(scenes[0]?.picture as string);
        return (await view.ask(LONG)).text;
      }),
    );
    expect(answers[0]).toBe(answers[1]);
    expect(testAddon().handles().engines).toBeGreaterThanOrEqual(2);
  });
});

describe('a storm', () => {
  it('of cancelled calls leaves an engine that still answers right', async () => {
    const reason = new Error('never mind');
    const next = random(11);
    await using mipha = await Mipha.load(NANO);
    await using view = await mipha.look(scenes[0]?.picture as string);
    const right = (await view.ask(LONG)).text;
    const calls = Array.from({ length: counts(30, 300) }, async (_, i) => {
      const controller = new AbortController();
      const options = { signal: controller.signal, priority: Math.floor(next() * 5) };
      const patience = next() * 800;
      const kind = i % 4;
      const call =
        kind === 0
          ? mipha.look(scenes[i % scenes.length]?.picture as string, options).then((seen) => seen.dispose())
          : kind === 1
            ? view.ask(LONG, { ...ENDLESS, ...options })
            : kind === 2
              ? view.askAll([{ question: LONG }, { question: 'Is the lamp on?', as: z.boolean() }], options)
              : view.ask(LONG, { deadlineMs: 1 + patience });
      const outcome = call.then(
        () => 'done',
        (error: unknown) => (error === reason ? 'aborted' : (error as { code?: string }).code),
      );
      await sleep(patience);
      controller.abort(reason);
      return await outcome;
    });
    const outcomes = new Set(await Promise.all(calls));
    expect([...outcomes].sort()).toEqual(expect.arrayContaining(['ERR_DEADLINE', 'aborted']));
    for (const outcome of outcomes) expect(['done', 'aborted', 'ERR_DEADLINE']).toContain(outcome);
    expect((await view.ask(LONG)).text).toBe(right);
    expect(mipha.status()).toMatchObject({ views: 1, conversations: 0, queued: 0, active: 0 });
    expect(testAddon().handles()).toMatchObject({ views: 1, conversations: 0, jobs: 0 });
  }, 120_000);

  it('of disposals while answers are being written', async () => {
    const before = testAddon().handles();
    const next = random(5);
    for (let round = 0; round < counts(3, 20); round++) {
      const mipha = await Mipha.load(NANO, { threads: 1 });
      const view = await mipha.look(scenes[round]?.picture as string);
      const running = Array.from({ length: 10 }, () => view.ask(LONG, ENDLESS).catch((error: { code?: string }) => error.code));
      await sleep(next() * 30);
      await mipha.dispose();
      for (const outcome of await Promise.all(running)) if (typeof outcome === 'string') expect(outcome).toBe('ERR_DISPOSED');
    }
    expect(testAddon().handles()).toEqual(before);
  }, 120_000);
});

describe('a process', () => {
  it.each([
    ['exit', 'an exit in the middle of an answer'],
    ['idle', 'the end of the program without disposing'],
    ['throw', 'an exception in the middle of an answer'],
    ['workers', 'worker threads, of which one is terminated in the middle of an answer'],
  ])('%s: %s ends cleanly', async (how) => {
    const { code, stdout, stderr } = await node(['test/support/ending.mjs', how]);
    expect(stdout.trim()).toBe(how === 'throw' ? '' : how);
    expect(stderr).toEqual(how === 'throw' ? expect.stringContaining('on purpose') : '');
    expect(code).toBe(how === 'throw' ? 1 : 0); // null would be a signal
  });
});
