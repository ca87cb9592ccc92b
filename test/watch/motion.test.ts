import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { Motion } from '../../src/watch/motion.js';

const [WIDTH, HEIGHT] = [96, 72];

/** A grey picture with noise, and a bright square at `x` where there is one. */
function frame(x: number | null, seed: number): Frame {
  const data = new Uint8Array(WIDTH * HEIGHT);
  let state = seed + 1;
  for (let i = 0; i < data.length; i++) {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    const inside = x !== null && i % WIDTH >= x && i % WIDTH < x + 16 && Math.floor(i / WIDTH) >= 30 && Math.floor(i / WIDTH) < 46;
    data[i] = (inside ? 220 : 100) + (state >>> 28) - 8;
  }
  return { id: `f-${seed}`, monotonicMs: performance.now(), at: new Date(), width: WIDTH, height: HEIGHT, format: 'gray', data, content: seed };
}

describe('motion', () => {
  const told: boolean[] = [];
  const motion = () => new Motion((moving) => told.push(moving));
  beforeEach(() => {
    told.length = 0;
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  /** Ten frames a second for so long; `at` says where the square is. */
  const watch = (seen: Motion, seconds: number, at: (t: number) => number | null) => {
    for (let i = 0; i < seconds * 10; i++) {
      seen.see(frame(at(i / 10), i));
      vi.advanceTimersByTime(100);
    }
  };

  it('is said once when something moves, and its end some seconds after', () => {
    const seen = motion();
    watch(seen, 2, () => 10);
    expect(told).toEqual([]);
    watch(seen, 3, (t) => 10 + t * 10);
    expect(told).toEqual([true]);
    watch(seen, 4, () => 40);
    expect(told).toEqual([true]);
    watch(seen, 3, () => 40);
    expect(told).toEqual([true, false]);
    seen.stop();
  });

  it('is not said about noise, and stop() leaves no timer', () => {
    const seen = motion();
    watch(seen, 10, () => null);
    expect(told).toEqual([]);
    watch(seen, 1, (t) => 10 + t * 30);
    expect(seen.moving).toBe(true);
    seen.stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(told).toEqual([true, false]); // nothing is left to move for ever
  });
});
