/** What must hold whatever happens, and for as long as it happens. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { pick, random } from '../../src/camera/kitchen.js';
import { MiphaError } from '../../src/errors.js';
import { WatchLoop } from '../../src/watch/loop.js';
import { Queries } from '../../src/watch/queries.js';
import { counts } from '../support/counts.js';
import { blank, FakeCamera, FakeEyes, spec } from './stage.js';

const realImmediate = setImmediate;
const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);

beforeEach(() => {
  vi.useFakeTimers();
  unhandled.length = 0;
  process.on('unhandledRejection', note);
});
afterEach(() => {
  vi.useRealTimers();
  process.off('unhandledRejection', note);
});

describe('any order of events', () => {
  const seeds = Array.from({ length: counts(10, 40) }, (_, seed) => seed);

  const [events, reasons] = [new Set<string>(), new Set<string>()];

  it.each(seeds)('leaves nothing running and nothing untold (%i)', async (seed) => {
    const rand = random(seed);
    const some = (most: number) => Math.floor(rand() * most);
    const eyes = new FakeEyes({ lookMs: some(300), askMs: some(100) });
    eyes.answer = () => ({ value: rand() < 0.5, confidence: rand() });
    const names = ['a', 'b', 'c', 'd'];
    const cameras = ['kitchen', 'cellar', 'yard'].map((id) => new FakeCamera(id));
    const alive = new Set<string>();
    let stopped = false;
    let told = 0;
    const loop = new WatchLoop(eyes, {
      onOutcome: ({ watch, status, value, error, validUntil }) => {
        told++;
        expect(stopped).toBe(false);
        expect(alive.has(watch)).toBe(true);
        expect(status === 'error').toBe(error !== null);
        if (value !== null) expect(validUntil?.getTime()).toBeGreaterThan(Date.now() - 1);
      },
      onEvent: ({ type, outcome: { watch, validUntil } }) => {
        expect(stopped).toBe(false);
        expect(alive.has(watch)).toBe(true);
        if (type !== 'error') expect(validUntil?.getTime()).toBeGreaterThan(Date.now() - 1);
        events.add(type);
      },
      onSuppressed: ({ outcome: { watch }, reason }) => {
        expect(stopped).toBe(false);
        expect(alive.has(watch)).toBe(true);
        reasons.add(reason);
      },
      onFault: (fault) => unhandled.push(fault),
    });
    const queries = new Queries(eyes, { limit: 3 });
    const asked: Promise<unknown>[] = [];
    let settled = 0;
    const crops = [undefined, { width: 0.5 }, { x: 0.5, width: 0.5 }];
    const happenings: (() => void)[] = [
      () => pick(rand, cameras).show(blank(some(256))),
      () => pick(rand, cameras).show(blank(9)),
      () => pick(rand, cameras).show(blank(some(256))),
      () => {
        const id = pick(rand, names);
        const crop = pick(rand, crops);
        const camera = pick(rand, cameras).id;
        loop.put(
          id,
          spec({
            camera,
            priority: some(10),
            interval_ms: some(300),
            reask_ms: 400,
            ttl_ms: 500 + some(2000),
            agreement: { n: 1, of: 2 },
            off: { agreement: { n: 1 + some(3), of: 3 } },
            events: {
              ...(rand() < 0.5 ? {} : { for_ms: some(300) }),
              ...(rand() < 0.5 ? {} : { gap_ms: some(500) }),
              ...(rand() < 0.5 ? {} : { remind_ms: 1000 }),
              ...(rand() < 0.8 ? {} : { quiet: [{ from: '00:00', to: '24:00' }] }),
              ...(rand() < 0.5 ? {} : { confirm: { question: 'sure?', after_ms: pick(rand, [0, 0, 200]) } }),
            },
            ...(rand() < 0.4 ? {} : { compare: pick(rand, [{ ago_ms: 1000 }, ...names.map((event) => ({ event }))]) }),
            ...(crop && { crop }),
          }),
        );
        alive.add(id);
      },
      () => {
        const id = pick(rand, names);
        loop.delete(id);
        alive.delete(id);
      },
      () => void loop.setEnabled(pick(rand, names), rand() < 0.7),
      () => loop.addCamera(pick(rand, cameras)),
      () => loop.removeCamera(pick(rand, cameras).id),
      () => {
        eyes.lookError = rand() < 0.3 ? new Error('a bad day') : null;
      },
      () => {
        const controller = new AbortController();
        const query = {
          frame: () => cameras[0]?.newest as Frame,
          question: 'now?',
          deadlineMs: 1 + some(800),
          priority: some(3),
          signal: controller.signal,
        };
        asked.push(
          queries
            .ask(query)
            .finally(() => settled++)
            .catch(() => {}),
        );
        if (rand() < 0.3) setTimeout(() => controller.abort(new Error('never mind')), some(400));
      },
    ];
    cameras[0]?.show();
    for (const camera of cameras) loop.addCamera(camera);
    loop.start();
    for (let i = 0; i < 400; i++) {
      pick(rand, happenings)();
      expect(eyes.views).toBeLessThanOrEqual(2); // the loop's and a query's
      if (rand() < 0.7) await vi.advanceTimersByTimeAsync(some(120));
    }
    const stopping = Promise.all([loop.stop(some(400)), queries.lane.stop(some(400))]);
    await vi.advanceTimersByTimeAsync(1000);
    await stopping;
    stopped = true;
    for (const camera of cameras) camera.show();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(told).toBeGreaterThan(10);
    expect(cameras.map(({ held }) => held)).toEqual([0, 0, 0]);
    expect(settled).toBe(asked.length);
    expect([eyes.running, eyes.views, vi.getTimerCount()]).toEqual([0, 0, 0]);
    expect(cameras.map((camera) => camera.listenerCount('frame'))).toEqual([0, 0, 0]);
    await new Promise((resolve) => realImmediate(resolve));
    expect(unhandled).toEqual([]);
  });

  it('had events, and some that were held back', () => {
    expect([...events]).toEqual(expect.arrayContaining(['cleared', 'error', 'triggered']));
    expect(reasons.size).toBeGreaterThan(1);
  });
});

const FRAMES = counts(2000, 10_000);

describe('thousands of frames', () => {
  it('leave only the newest in memory', async () => {
    setFlagsFromString('--expose_gc');
    const gc = runInNewContext('gc') as () => void;
    const eyes = new FakeEyes({ lookMs: 40, askMs: 5 });
    eyes.answer = () => {
      if (eyes.asked % 50 === 0) throw new MiphaError('ERR_CONTEXT_FULL', 'now and then');
      return { value: eyes.asked % 3 === 0 };
    };
    const camera = new FakeCamera('kitchen');
    const loop = new WatchLoop(eyes, { onOutcome: () => {} });
    const queries = new Queries(eyes, { limit: 3 });
    loop.addCamera(camera);
    loop.put('lamp', spec({ change_percent: 0 }));
    loop.put('door', spec({ crop: { width: 0.5 }, reask_ms: 500, agreement: { n: 2, of: 3 } }));
    loop.start();
    const frames: WeakRef<Uint8Array>[] = [];
    for (let i = 0; i < FRAMES; i++) {
      const { data } = camera.show(blank(i % 256, 64, 64));
      if (i % 10 === 0) frames.push(new WeakRef(data));
      if (i % 20 === 0) void queries.ask({ frame: () => camera.newest as Frame, question: 'now?', deadlineMs: 200 }).catch(() => {});
      if (i % 100 === 0) loop.put('guest', spec({ question: `guest ${i}?` }));
      await vi.advanceTimersByTimeAsync(33);
      eyes.looks.splice(0, eyes.looks.length - 1);
    }
    await new Promise((resolve) => realImmediate(resolve));
    gc();
    expect(loop.status().watches.lamp?.asked).toBeGreaterThan(FRAMES / 10);
    expect(frames.filter((frame) => frame.deref() !== undefined).length).toBeLessThanOrEqual(3);
    const stopping = Promise.all([loop.stop(0), queries.lane.stop(0)]);
    await vi.advanceTimersByTimeAsync(1000);
    await stopping;
  });
});
