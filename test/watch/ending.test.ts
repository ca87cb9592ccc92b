/** How what is believed ends: with its time, its camera, or the loop. */
import { describe, expect, it, vi } from 'vitest';
import { processClock } from '../../src/watch/clock.js';
import { Inspection } from '../../src/watch/inspection.js';
import { LocalTime } from '../../src/watch/local-time.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import { Watch } from '../../src/watch/watch.js';
import { film, onFakeTime, stage } from './loop-stage.js';
import { FakeCamera, FakeEyes, spec } from './stage.js';

const all = { change_percent: 0 };

onFakeTime();

it('a camera that is replaced takes what was believed with it', async () => {
  const { camera, loop, outcomes } = stage();
  loop.put('lamp', spec({ ...all, ttl_ms: 600_000 }));
  await film([camera], 200, 100);
  loop.addCamera(new FakeCamera('kitchen'));
  expect(outcomes.at(-1)).toMatchObject({ watch: 'lamp', status: 'stale', value: null, previous: true });
});

it('an answer that has expired is not told again, though the process was too busy for its timer', () => {
  const outcomes: WatchOutcome[] = [];
  const watch = new Watch('lamp', spec({ agreement: { n: 2, of: 2 }, ttl_ms: 30_000 }), processClock, new LocalTime('UTC'), {
    outcome: (outcome) => outcomes.push(outcome),
    event: () => {},
    suppressed: () => {},
    opinion: () => {},
    wanted: () => {},
  });
  const camera = new FakeCamera('kitchen');
  const answer = (value: boolean) => {
    const inquiry = watch.begin(new Inspection(camera.show()), performance.now());
    const timings = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };
    const given = { value, text: String(value), confidence: 1, finish: 'stop', tokens: { prompt: 1, reused: 0, answer: 1 }, timings } as const;
    inquiry.succeed({ timings } as never, given, performance.now());
  };
  answer(true);
  answer(true);
  const now = performance.now();
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 30_001);
  answer(false); // one of two: what was agreed would stand, had it not expired
  clock.mockRestore();
  expect(outcomes.map(({ status, value }) => [status, value])).toEqual([
    ['ok', null],
    ['ok', true],
    ['stale', null],
    ['ok', null],
  ]);
  watch.close();
});

it('a text that ended at its limit is truncated', async () => {
  const { eyes, camera, loop, outcomes } = stage();
  const look = eyes.look.bind(eyes);
  eyes.look = async (image, options) => {
    const seen = await look(image, options);
    return { ...seen, ask: async (...given) => ({ ...(await seen.ask(...given)), finish: 'length' as const }) } as typeof seen;
  };
  eyes.answer = () => ({ value: 'a long st' });
  loop.put('scene', spec({ question: 'What is to be seen?', answer: { type: 'text', max_chars: 9 } }));
  camera.show();
  await vi.advanceTimersByTimeAsync(10);
  expect(outcomes.at(-1)).toMatchObject({ value: 'a long st', truncated: true });
});

describe('stop', () => {
  it('lets the round under way finish within the budget, and begins nothing new', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 300, askMs: 100 });
    loop.put('lamp', spec(all));
    camera.show();
    await vi.advanceTimersByTimeAsync(100);
    let stopped = false;
    const stopping = loop.stop(1000).then(() => (stopped = true));
    await film([camera], 250, 50);
    expect(stopped).toBe(false);
    await film([camera], 100, 50);
    await stopping;
    expect(outcomes.map(({ status, value }) => [status, value])).toEqual([
      ['ok', true],
      ['stale', null],
    ]);
    await film([camera], 1000, 100);
    expect(eyes.looks).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('cancels it after the budget', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 5000 });
    loop.put('lamp', spec(all));
    camera.show();
    await vi.advanceTimersByTimeAsync(100);
    const stopping = loop.stop(1000);
    await vi.advanceTimersByTimeAsync(1001);
    await stopping;
    expect([eyes.running, eyes.views, outcomes.map(({ status }) => status)]).toEqual([0, 0, []]);
  });

  it('leaves nothing believed: every watch that has answered says so, once, as the last it says', async () => {
    const { camera, loop, outcomes } = stage();
    loop.put('lamp', spec({ ...all, ttl_ms: 60_000 }));
    loop.put('off', spec({ ...all, enabled: false }));
    const frame = camera.show();
    await vi.advanceTimersByTimeAsync(1000);
    await loop.stop(100);
    await loop.stop(100);
    expect(outcomes.map(({ watch, status, value, previous, changed }) => [watch, status, value, previous, changed])).toEqual([
      ['lamp', 'ok', true, null, true],
      ['lamp', 'stale', null, true, true],
    ]);
    expect(outcomes[1]?.validUntil).toEqual(new Date(frame.at.getTime() + 1000)); // not a moment longer
  });

  it('takes back an error, too', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    eyes.lookError = new Error('out of luck');
    loop.put('lamp', spec(all));
    camera.show();
    await vi.advanceTimersByTimeAsync(100);
    await loop.stop(100);
    expect(outcomes.map(({ status, value, validUntil }) => [status, value, validUntil])).toEqual([
      ['error', null, null],
      ['stale', null, null],
    ]);
  });

  it('does not wait for ever for an engine that hangs', async () => {
    const { eyes, camera, loop } = stage();
    eyes.look = () => new Promise(() => {});
    loop.put('lamp', spec(all));
    camera.show();
    let stopped = false;
    void loop.stop(500).then(() => (stopped = true));
    await vi.advanceTimersByTimeAsync(1400);
    expect(stopped).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(stopped).toBe(true);
  });

  it('before or without a start is no trouble', async () => {
    const loop = new WatchLoop(new FakeEyes(), { onOutcome: () => {} });
    const camera = new FakeCamera('kitchen');
    loop.addCamera(camera);
    loop.put('lamp', spec());
    camera.show();
    await loop.stop(100);
    await loop.stop(100);
    loop.start();
    expect(loop.status()).toMatchObject({ state: 'stopped', watches: { lamp: { asked: 0 } } });
  });
});
