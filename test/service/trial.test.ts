/** Settings tried on a record by the node's own model: the same report as `mipha replay` gives, and nobody else waits for it. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import { Mipha } from '../../src/index.js';
import { readRecord } from '../../src/record/read.js';
import { changed } from '../../src/replay/changes.js';
import { replay } from '../../src/replay/replay.js';
import { runTrial } from '../../src/service/trial/trial.js';
import { Trials } from '../../src/service/trial/trials.js';
import { Lane } from '../../src/watch/lane.js';
import type { Eyes } from '../../src/watch/outcome.js';
import { Spare } from '../../src/watch/spare.js';
import { Usage } from '../../src/watch/usage.js';
import { recordKitchen } from '../replay/kitchen-day.js';
import { sleep } from '../support/mosquitto.js';
import { NANO } from '../support/nano.js';
import { fakeModel } from './support.js';

let folder = '';
let mipha: Mipha;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-trial-'));
  mipha = await Mipha.load(NANO);
  await recordKitchen(folder, mipha, 12);
}, 120_000);
afterAll(async () => {
  await mipha.dispose();
  rmSync(folder, { recursive: true });
});

const CHANGES = {
  question: 'Is the door open?',
  'events.confirm': { question: 'Is the door closed?', expect: false },
};
const settings = (more: object = {}) => ({ watch: 'lamp', folder, revision: mipha.revision, changes: CHANGES, ...more });
const options = (model: Eyes, usage = new Usage(), signal = new AbortController().signal) => ({
  ...{ model, spare: new Spare(usage), signal, onProgress: () => {} },
});

it('reports what a replay with a model of its own does, and how far it is', async () => {
  const shares: number[] = [];
  const { machineMs: _, ...report } = await runTrial(settings(), { ...options(mipha), onProgress: (share) => shares.push(share) });
  const { machineMs: __, ...own } = await replay({
    watch: 'lamp',
    lines: readRecord(folder, { watch: 'lamp' }),
    change: (before) => changed(before, Object.entries(CHANGES)),
    revision: mipha.revision,
    model: async () => mipha,
  });
  expect(report).toEqual({ ...own, labels: report.labels });
  expect(report.computed).toBeGreaterThan(6);
  expect(shares.length).toBeGreaterThan(0);
  expect(mipha.status().views).toBe(0); // none is left behind
});

it('asks nothing for rules about events, and takes away what null says', async () => {
  const model = fakeModel();
  const { computed, lives } = await runTrial(settings({ changes: { 'events.gap_ms': 5000, zone: null } }), options(model));
  expect({ computed, lives, looks: model.looks }).toEqual({ computed: 0, lives: 1, looks: 0 });
});

it('makes room for a query within a step of the engine, and is done nevertheless', async () => {
  const model = fakeModel({ lookMs: 60, answer: () => true });
  const usage = new Usage();
  const lane = new Lane({ limit: 4, usage });
  const trial = runTrial(settings(), options(model, usage));
  const others: number[] = []; // jobs of the trial while a query had the engine
  const waitedMs: number[] = [];
  let ended = false;
  const querying = (async () => {
    while (!ended) {
      await sleep(120);
      await lane.run({ deadlineMs: 1000 }, async ({ waitedMs: ms, signal }) => {
        waitedMs.push(ms);
        await sleep(15); // the engine ends a cancelled job within a layer, this one within 10 ms
        others.push(model.running);
        await (await model.look({} as never, { signal })).dispose();
      });
    }
  })();
  const report = await trial;
  ended = true;
  await querying;
  expect(report.computed).toBeGreaterThan(6);
  expect(waitedMs.length).toBeGreaterThan(5);
  const usual = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]; // a crowded machine is late once in a while
  expect(usual(waitedMs)).toBeLessThan(50);
  expect(usual(others)).toBe(0);
  expect(model.looks).toBeGreaterThan(report.computed / 2 + waitedMs.length); // some were begun in vain
});

it('yields to others, and yet goes on where other programs take every core', async () => {
  const own = getPriority();
  const slow = fakeModel({ lookMs: 60_000 });
  const abort = new AbortController();
  const given = runTrial(settings(), options(slow, new Usage(), abort.signal));
  while (slow.running === 0) await sleep(5);
  const priorities = readdirSync('/proc/self/task').flatMap((thread) => {
    try {
      return getPriority(Number(thread));
    } catch {
      return []; // it has ended
    }
  });
  abort.abort(new Error('seen'));
  await expect(given).rejects.toThrow('seen');
  // beside a busy thread of the usual priority: a tenth of a core; at the lowest it would be a seventieth
  expect(Math.max(...priorities)).toBe(Math.max(own, constants.priority.PRIORITY_BELOW_NORMAL));
  expect(getPriority()).toBe(own);
});

it('ends with the reason of whoever ends it, with the fault of the model, and with words for what does not fit', async () => {
  const slow = fakeModel({ lookMs: 60_000 });
  const abort = new AbortController();
  const given = runTrial(settings(), options(slow, new Usage(), abort.signal));
  while (slow.running === 0) await sleep(5);
  abort.abort(new Error('the page went away'));
  await expect(given).rejects.toThrow('the page went away');
  await vi.waitFor(() => expect(slow.running).toBe(0)); // the model looks at its signal now and then
  const gone: Eyes = { look: async () => Promise.reject(new MiphaError('ERR_DISPOSED', 'The engine has been disposed')) };
  await expect(runTrial(settings(), options(gone))).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
  for (const [changes, words] of [
    [{ interval_ms: -1 }, /watch\.interval_ms/],
    [{ off: { min_confidence: 2 } }, /watch\.off\.min_confidence/],
    [{ question: null }, /watch\.question/],
  ] as const)
    await expect(runTrial(settings({ changes }), options(slow))).rejects.toThrow(words);
  await expect(runTrial(settings({ watch: 'other' }), options(slow))).rejects.toThrow(/something recorded/);
  const dying = new URL('data:text/javascript,setTimeout(() => { throw new Error("broken") }, 10)');
  await expect(runTrial(settings(), { ...options(slow), program: dying })).rejects.toThrow('broken');
});

it('stops with the node, and does not begin without a model', async () => {
  const model = fakeModel({ lookMs: 60_000 });
  const state = { model, watching: { spare: new Spare(new Usage()) } };
  const call = { signal: new AbortController().signal, onProgress: () => {} };
  await expect(new Trials({ model: null, watching: null }).run(settings(), call)).rejects.toThrow(/being loaded/);
  const trials = new Trials(state as never);
  const trial = trials.run(settings(), call);
  const ended = expect(trial).rejects.toThrow('The node is being stopped');
  while (model.running === 0) await sleep(5);
  const begun = performance.now();
  await trials.stop();
  await ended;
  expect(performance.now() - begun).toBeLessThan(1500);
  await expect(trials.run(settings(), call)).rejects.toThrow('The node is being stopped');
});
