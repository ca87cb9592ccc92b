import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Inspection } from '../../src/watch/inspection.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import type { WatchSpec } from '../../src/watch/spec.js';
import { counts } from '../support/counts.js';
import { blank, exposed, FakeCamera, FakeEyes, noisy, type Picture, painted, room, spec } from './stage.js';

const FRAME_MS = 100; // 10 frames per second
const scene = room(320, 240, 'rgb');

function stage(watch: WatchSpec) {
  const eyes = new FakeEyes();
  const camera = new FakeCamera('kitchen');
  const outcomes: WatchOutcome[] = [];
  const loop = new WatchLoop(eyes, { onOutcome: (outcome) => outcomes.push(outcome) });
  loop.addCamera(camera);
  loop.put('lamp', watch);
  loop.start();
  /** Shows a picture every 100 ms for so long. */
  const show = async (ms: number, picture: (i: number) => Picture) => {
    for (let i = 0; i < ms / FRAME_MS; i++) {
      camera.show(picture(i));
      await vi.advanceTimersByTimeAsync(FRAME_MS);
    }
  };
  const skipped = () => loop.status().watches.lamp?.skipped;
  return { eyes, camera, outcomes, loop, show, skipped };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a watch that asks about every frame', () => {
  it('compares no pictures until it is told to, and from the next frame on it does', async () => {
    const { eyes, loop, show, skipped } = stage(spec({ change_percent: 0, interval_ms: 0 }));
    const noise = noisy(2);
    const blocks = vi.spyOn(Inspection.prototype, 'pair');
    await show(500, () => noise(scene));
    expect(eyes.looks).toHaveLength(5);
    expect(blocks).not.toHaveBeenCalled();
    blocks.mockRestore();
    loop.put('lamp', spec({ change_percent: 2, interval_ms: 0 }));
    await show(500, () => noise(scene));
    expect(eyes.looks).toHaveLength(6);
    expect(skipped()?.unchanged).toBe(3); // and one is still open
  });
});

describe('an unchanged scene', () => {
  const floor = { reask_ms: 10_000, interval_ms: 200 };

  it('is asked about once per floor interval, whatever noise, exposure and lightning do', async () => {
    const { eyes, show, skipped } = stage(spec(floor));
    const noise = noisy(8);
    const light = [1, 1.2, 1, 0.8, 1, 1.1].map((gain) => exposed(scene, gain));
    const flash = { ...scene, data: scene.data.map((value) => Math.min(255, value + 100)) };
    const strikes = [23, 41, 77];
    await show(40_000, (i) => noise(strikes.includes(i % 100) ? flash : (light[Math.floor(i / 17) % light.length] as Picture)));
    const begin = eyes.looks[0]?.atMs ?? 0;
    expect(eyes.looks.map(({ atMs }) => atMs - begin)).toEqual([0, 10_000, 20_000, 30_000, 40_000]);
    expect(skipped()?.unchanged).toBeGreaterThan(350);
  });

  it('is asked about again at the floor though no frame comes just then', async () => {
    const { eyes, camera } = stage(spec({ reask_ms: 1000, max_age_ms: 5000 }));
    camera.show(scene);
    await vi.advanceTimersByTimeAsync(700);
    camera.show(noisy(2)(scene));
    await vi.advanceTimersByTimeAsync(290);
    expect(eyes.looks).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(20);
    expect(eyes.looks).toHaveLength(2);
  });
});

describe('a change', () => {
  it.each([
    ['the picture', undefined],
    ['the crop', { x: 0.25, y: 0.25, width: 0.4, height: 0.5 }],
  ])('of a fiftieth of %s is asked about within a second', async (_, crop) => {
    for (let place = 0; place < counts(2, 5); place++) {
      const { eyes, show } = stage(spec({ reask_ms: 20_000, ...(crop === undefined ? {} : { crop }) }));
      const noise = noisy(8, place + 1);
      await show(3000, () => noise(scene));
      expect(eyes.looks).toHaveLength(1);
      const { x, y, width, height } = crop ?? { x: 0, y: 0, width: 1, height: 1 };
      const at = { x: x + place * 0.17 * width, y: y + place * 0.19 * height, width: width * Math.SQRT2 * 0.1, height: height * Math.SQRT2 * 0.1 };
      await show(1000, () => noise(painted(scene, at, 245)));
      expect(eyes.looks).toHaveLength(2);
    }
  });

  it('outside the crop is nothing to it', async () => {
    const { eyes, show } = stage(spec({ reask_ms: 20_000, crop: { x: 0, y: 0, width: 0.5, height: 1 } }));
    await show(1000, () => scene);
    await show(1000, (i) => painted(scene, { x: 0.6, y: 0.1 * i, width: 0.3, height: 0.3 }, 245));
    expect(eyes.looks).toHaveLength(1);
  });

  it('of everything counts in the second frame that shows it', async () => {
    const { eyes, camera } = stage(spec({ reask_ms: 20_000 }));
    camera.show(scene);
    await vi.advanceTimersByTimeAsync(FRAME_MS);
    const dark = exposed(scene, 0.2);
    camera.show(dark);
    await vi.advanceTimersByTimeAsync(FRAME_MS);
    expect(eyes.looks).toHaveLength(1);
    camera.show(noisy(1)(dark));
    await vi.advanceTimersByTimeAsync(FRAME_MS);
    expect(eyes.looks).toHaveLength(2);
    camera.show(scene); // lightning
    await vi.advanceTimersByTimeAsync(FRAME_MS);
    camera.show(dark);
    await vi.advanceTimersByTimeAsync(FRAME_MS);
    expect(eyes.looks).toHaveLength(2);
  });

  it('of everything counts after a quarter of a second when the camera is slow', async () => {
    const { eyes, camera } = stage(spec({ reask_ms: 20_000 }));
    camera.show(scene);
    await vi.advanceTimersByTimeAsync(1000);
    camera.show(exposed(scene, 0.2));
    await vi.advanceTimersByTimeAsync(240);
    expect(eyes.looks).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(20);
    expect(eyes.looks).toHaveLength(2);
  });

  it('share of 0 asks about every new picture', async () => {
    const { eyes, show } = stage(spec({ change_percent: 0 }));
    const noise = noisy(1);
    await show(1000, () => noise(scene));
    expect(eyes.looks).toHaveLength(10);
  });
});

describe('time', () => {
  it('between two questions is at least the interval, to the millisecond also for slow cameras', async () => {
    const { eyes, camera } = stage(spec({ interval_ms: 1000, change_percent: 0 }));
    for (const wait of [990, 1015, 990, 1005, 1000]) {
      camera.show();
      await vi.advanceTimersByTimeAsync(wait);
    }
    const times = eyes.looks.map(({ atMs }) => atMs);
    expect(times).toHaveLength(5);
    for (let i = 1; i < times.length; i++) expect((times[i] as number) - (times[i - 1] as number)).toBeGreaterThanOrEqual(1000);
  });

  it('after a change of the value is a cooldown', async () => {
    const { eyes, outcomes, show, skipped } = stage(spec({ change_percent: 0, cooldown_ms: 2000 }));
    eyes.answer = () => ({ value: eyes.asked % 2 === 1 });
    await show(6000, (i) => blank(i));
    expect(outcomes.filter(({ changed }) => changed)).toHaveLength(3);
    expect(eyes.looks).toHaveLength(3);
    expect(skipped()?.cooldown).toBe(56); // one is still open
  });

  it('makes frames too old', async () => {
    const { eyes, camera, loop, skipped } = stage(spec({ max_age_ms: 500, enabled: false }));
    camera.show(blank(1));
    await vi.advanceTimersByTimeAsync(600);
    loop.setEnabled('lamp', true);
    await vi.advanceTimersByTimeAsync(5000);
    expect(eyes.looks).toHaveLength(0);
    camera.show(blank(2));
    await vi.advanceTimersByTimeAsync(0);
    expect(eyes.looks).toHaveLength(1);
    expect(skipped()).toMatchObject({ age: 0 }); // it was disabled when that frame came
  });
});

describe('the ledger', () => {
  it('closes: every frame is asked about or counted under one reason', async () => {
    const { eyes, camera, loop, show } = stage(spec({ interval_ms: 300, reask_ms: 1000, cooldown_ms: 700 }));
    eyes.speed.lookMs = 130;
    eyes.answer = () => ({ value: eyes.asked % 5 === 0 });
    const noise = noisy(3);
    await show(10_000, (i) => (i % 20 < 8 ? scene : noise(i % 20 < 15 ? scene : painted(scene, { x: 0.2, y: 0.2, width: 0.3, height: 0.3 }, 240))));
    const { watches, cameras } = loop.status();
    const sum = Object.values(watches.lamp?.skipped ?? {}).reduce((total, count) => total + count, 0);
    const { asked = 0 } = watches.lamp ?? {};
    expect(camera.frames - (asked + sum)).toBeGreaterThanOrEqual(0);
    expect(camera.frames - (asked + sum)).toBeLessThanOrEqual(1); // the newest is still open
    expect(cameras.kitchen?.skipped).toEqual(watches.lamp?.skipped);
    for (const reason of ['repeat', 'unchanged', 'interval', 'cooldown', 'busy'] as const)
      expect(watches.lamp?.skipped[reason], reason).toBeGreaterThan(0);
  });

  it('shows a frozen camera as repeats, and its picture is not asked about again', async () => {
    const { eyes, show, skipped } = stage(spec({ reask_ms: 1000, ttl_ms: 2000 }));
    await show(10_000, () => scene);
    expect(eyes.looks).toHaveLength(1);
    expect(skipped()?.repeat).toBe(98); // all but the first, and the newest that is still open
  });
});

describe('an agreement of several', () => {
  it('is looked for at once, though the picture stays as it became', async () => {
    const { eyes, outcomes, show } = stage(spec({ reask_ms: 20_000, interval_ms: 300, agreement: { n: 2, of: 3 } }));
    let lamp = true;
    eyes.answer = () => ({ value: lamp });
    await show(2000, () => scene);
    expect(outcomes.map(({ value }) => value)).toEqual([null, true]);
    lamp = false;
    await show(2000, () => painted(scene, { x: 0.2, y: 0.2, width: 0.3, height: 0.3 }, 240));
    expect(outcomes.map(({ value }) => value)).toEqual([null, true, true, false]);
  });

  it('is not one of a frame with itself', async () => {
    const { eyes, camera, outcomes } = stage(spec({ agreement: { n: 2, of: 2 } }));
    camera.show(scene);
    await vi.advanceTimersByTimeAsync(1000);
    expect(eyes.looks).toHaveLength(1);
    camera.show(scene);
    await vi.advanceTimersByTimeAsync(1000);
    expect(outcomes.map(({ value }) => value)).toEqual([null, true]);
  });

  it('that does not come about costs no more than its window', async () => {
    const { eyes, outcomes, show } = stage(spec({ reask_ms: 5000, agreement: { n: 2, of: 4 }, min_confidence: 0.9 }));
    eyes.answer = () => ({ value: true, confidence: 0.5 });
    const noise = noisy(3);
    await show(4000, () => noise(scene));
    expect(eyes.looks).toHaveLength(4);
    await show(10_000, () => noise(scene));
    expect(eyes.looks).toHaveLength(6);
    expect(outcomes.every(({ value }) => value === null)).toBe(true);
  });
});
