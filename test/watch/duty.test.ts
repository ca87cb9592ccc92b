import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WatchLoop } from '../../src/watch/loop.js';
import { watchSpecSchema } from '../../src/watch/spec.js';
import { FakeCamera, FakeEyes, noisy, room, spec } from './stage.js';

const scene = room(320, 240, 'rgb');
const busy = { interval_ms: 200, change_percent: 0, reask_ms: 200 };

function stage(watch = spec({ ...busy, duty: { above_c: 80, interval_ms: 2000 } })) {
  const eyes = new FakeEyes();
  const camera = new FakeCamera('kitchen');
  const loop = new WatchLoop(eyes, { onOutcome: () => {} });
  loop.addCamera(camera);
  loop.put('lamp', watch);
  loop.start();
  const noise = noisy(8);
  /** How often it is asked in so much time. */
  const asked = async (ms: number) => {
    const before = eyes.looks.length;
    for (let passed = 0; passed < ms; passed += 100) {
      camera.show(noise(scene));
      await vi.advanceTimersByTimeAsync(100);
    }
    return eyes.looks.length - before;
  };
  return { loop, asked, status: () => loop.status().watches.lamp };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a watch with duty', () => {
  it('is asked less often while the board is hot, and says so', async () => {
    const { loop, asked, status } = stage();
    loop.heat(80);
    expect([50, 51]).toContain(await asked(10_000));
    expect(status()).toMatchObject({ slowed: false, skipped: { heat: 0 } });
    loop.heat(80.5);
    expect(await asked(10_000)).toBe(5);
    expect(status()).toMatchObject({ slowed: true });
    expect(status()?.skipped.heat).toBeGreaterThan(85);
  });

  it('is asked as usual again when it is three degrees cooler, at once', async () => {
    const { loop, asked, status } = stage();
    loop.heat(85);
    await asked(500);
    loop.heat(77.5);
    expect(status()).toMatchObject({ slowed: true });
    loop.heat(77);
    expect(status()).toMatchObject({ slowed: false });
    expect([5, 6]).toContain(await asked(1000));
    loop.heat(79);
    expect(status()).toMatchObject({ slowed: false });
  });

  it('is not slowed where nothing is known of the heat', async () => {
    const { loop, asked } = stage();
    loop.heat(90);
    loop.heat(null);
    expect([5, 6]).toContain(await asked(1000));
  });

  it('that is new or changed keeps to the heat that is known', async () => {
    const { loop, asked, status } = stage(spec(busy));
    loop.heat(90);
    expect([5, 6]).toContain(await asked(1000));
    loop.put('lamp', spec({ ...busy, duty: { above_c: 80, interval_ms: 2000 } }));
    expect(status()).toMatchObject({ slowed: true });
    loop.put('lamp', spec({ ...busy, duty: { above_c: 92, interval_ms: 2000 } }));
    expect(status()).toMatchObject({ slowed: false });
    loop.put('second', spec({ ...busy, question: 'Another?', duty: { above_c: 80, interval_ms: 2000 } }));
    expect(loop.status().watches.second).toMatchObject({ slowed: true });
  });

  it('must fit its other settings', () => {
    const problem = (changes: object) => watchSpecSchema.safeParse({ camera: 'c', question: 'Q?', ...changes }).error?.issues[0];
    expect(problem({ duty: { above_c: 80 } })).toBeUndefined();
    expect(problem({ duty: { above_c: 80, interval_ms: 30_000 } })).toMatchObject({
      path: ['ttl_ms'],
      message: 'ttl_ms above duty.interval_ms, or answers expire while the board is hot; ttl_ms is 30000 (the default), duty.interval_ms is 30000',
    });
    expect(problem({ interval_ms: 11_000, reask_ms: 12_000, duty: { above_c: 80 } })).toMatchObject({
      path: ['duty', 'interval_ms'],
      message: 'duty.interval_ms at least interval_ms; duty.interval_ms is 10000 (the default), interval_ms is 11000',
    });
  });
});
