import { describe, expect, it } from 'vitest';
import { counts } from '../support/counts.js';
import { mipha } from './run.js';

const INTERVAL_MS = 200; // of the demo's watches when it is counted
const FRAMES = counts(12, 200);
const WATCHES = ['lamp', 'door', 'person', 'objects', 'cup', 'things'];

/** The figures of the summary. */
function summary(stdout: string) {
  const [, frames, right, total] = /(\d+) frames, (\d+) of (\d+) answers right/.exec(stdout) ?? [];
  const [, followed, changes, slowest, unit] = /(\d+) of (\d+) changes reached the broker .* slowest after ([\d.]+) (ms|s)/.exec(stdout) ?? [];
  const numbers = [frames, right, total, followed, changes].map(Number);
  return { numbers, slowestMs: Number(slowest) * (unit === 's' ? 1000 : 1) };
}

describe('mipha demo', () => {
  // A shared machine may stand still for longer than two intervals; a demo that is late will be late again.
  it('is right about its frames, and the broker follows every change within two intervals', { timeout: 300_000, retry: 2 }, async () => {
    const { code, stdout, stderr } = await mipha(['demo', '--frames', String(FRAMES)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { numbers, slowestMs } = summary(stdout);
    const [frames = 0, right = 0, total = 0, followed = 0, changes = 0] = numbers;
    expect(frames).toBeGreaterThanOrEqual(FRAMES);
    expect(total).toBeGreaterThanOrEqual(FRAMES * WATCHES.length);
    expect(right / total).toBeGreaterThanOrEqual(0.97);
    expect(changes).toBeGreaterThan(0.75 * FRAMES);
    expect(followed).toBe(changes);
    expect(slowestMs).toBeLessThanOrEqual(2 * INTERVAL_MS);
  });
});
