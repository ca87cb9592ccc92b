import { describe, expect, it } from 'vitest';
import { counts } from '../support/counts.js';
import { mipha } from './run.js';

// Slow enough for a machine that others share: how soon an answer comes is a benchmark's matter, that it comes before the next change is the demo's.
const PACE = { fps: 5, changeMs: 800, intervalMs: 250 };
const FRAMES = counts(12, 30);
const WATCHES = ['lamp', 'door', 'person', 'objects', 'cup', 'things'];

/** The figures of the summary. */
function summary(stdout: string): number[] {
  const [, frames, right, total] = /(\d+) frames, (\d+) of (\d+) answers right/.exec(stdout) ?? [];
  const [, followed, changes] = /(\d+) of (\d+) changes reached the broker/.exec(stdout) ?? [];
  return [frames, right, total, followed, changes].map(Number);
}

describe('mipha demo', () => {
  it('is right about its frames, and the broker follows every change before the next', { timeout: 300_000, retry: 1 }, async () => {
    const paced = [
      `cameras.kitchen.uri=synthetic://kitchen?cup=one&fps=${PACE.fps}&change_ms=${PACE.changeMs}`,
      ...WATCHES.map((watch) => `watches.${watch}.interval_ms=${PACE.intervalMs}`),
    ].flatMap((assignment) => ['--set', assignment]);
    const { code, stdout, stderr } = await mipha(['demo', '--frames', String(FRAMES), ...paced]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [frames = 0, right = 0, total = 0, followed = 0, changes = 0] = summary(stdout);
    expect(frames).toBeGreaterThanOrEqual(FRAMES);
    expect(total).toBeGreaterThanOrEqual(FRAMES * WATCHES.length);
    expect(right / total).toBeGreaterThanOrEqual(0.97);
    expect(changes).toBeGreaterThan(0.75 * FRAMES);
    expect(followed).toBe(changes);
  });
});
