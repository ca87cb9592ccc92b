import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Motion } from '../../src/watch/motion.js';
import { FakeCamera, noisy, type Picture, painted, room } from './stage.js';

const scene = room(160, 120, 'rgb');
const noise = noisy(8);

describe('motion', () => {
  let told: boolean[];
  let motion: Motion;
  const camera = new FakeCamera('kitchen');
  camera.on('frame', (frame) => motion.see(frame));
  const show = async (ms: number, picture: (i: number) => Picture) => {
    for (let i = 0; i < ms / 100; i++) {
      camera.show(picture(i));
      await vi.advanceTimersByTimeAsync(100);
    }
  };
  const walker = (i: number) => noise(painted(scene, { x: (i % 8) / 10, y: 0.3, width: 0.15, height: 0.5 }, 240));

  beforeEach(() => {
    vi.useFakeTimers();
    told = [];
    motion = new Motion((moving) => told.push(moving));
  });
  afterEach(() => {
    motion.stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('is none in a still scene, however noisy', async () => {
    await show(10_000, () => noise(scene));
    expect(told).toEqual([]);
  });

  it('is told once when it begins, and once it has been over for five seconds', async () => {
    await show(2000, () => noise(scene));
    await show(8000, walker);
    expect(told).toEqual([true]);
    await show(4500, () => noise(scene));
    expect(told).toEqual([true]);
    await show(1500, () => noise(scene));
    expect(told).toEqual([true, false]);
    await show(1000, walker);
    expect(told).toEqual([true, false, true]);
  });

  it('is not told after the end', async () => {
    await show(1000, walker);
    motion.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual([true]);
  });
});
