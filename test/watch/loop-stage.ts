/** Loops before cameras and engines that are made up, on a clock that the test moves. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { type LoopHandlers, WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import { FakeCamera, FakeEyes } from './stage.js';

let loops: WatchLoop[] = [];

/** For every test of the file: each loop is stopped after it, and must leave no timer. */
export function onFakeTime(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    loops = [];
  });
  afterEach(async () => {
    const stopping = Promise.all(loops.map((loop) => loop.stop(0)));
    await vi.advanceTimersByTimeAsync(5000);
    await stopping;
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
}

/** Ended with the others. */
export function kept(loop: WatchLoop): WatchLoop {
  loops.push(loop);
  return loop;
}

export function stage({ cameras = ['kitchen'], lookMs = 0, askMs = 0 } = {}, handlers: Partial<LoopHandlers> = {}) {
  const eyes = new FakeEyes({ lookMs, askMs });
  const outcomes: WatchOutcome[] = [];
  const loop = kept(new WatchLoop(eyes, { onOutcome: (outcome) => outcomes.push(outcome), ...handlers }));
  const made = cameras.map((id) => new FakeCamera(id));
  for (const camera of made) loop.addCamera(camera);
  loop.start();
  return { eyes, outcomes, loop, cameras: made, camera: made[0] as FakeCamera };
}

/** Each camera gives a new picture every `frameMs`, evenly, for so long. */
export async function film(cameras: readonly FakeCamera[], ms: number, frameMs: number): Promise<void> {
  for (let t = 0; t < ms; t += frameMs) {
    for (const camera of cameras) camera.show();
    await vi.advanceTimersByTimeAsync(Math.min(frameMs, ms - t));
  }
}
