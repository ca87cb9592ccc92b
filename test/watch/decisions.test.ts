/** What is told about every frame, for whoever keeps a record. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { FrameDecision } from '../../src/watch/decisions.js';
import { WatchLoop } from '../../src/watch/loop.js';
import { blank, FakeCamera, FakeEyes, spec } from './stage.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function decisions(lookMs: number, frames: readonly number[], watches: Record<string, object>): Promise<string[]> {
  const told: string[] = [];
  const began = performance.now();
  const onDecision = ({ watch, inspection, atMs, skipped, compared }: FrameDecision) => {
    expect(inspection.pair(undefined).whole.count).toBeGreaterThan(0); // its pixels are still there
    const share = compared === null ? '-' : `${compared.share} of ${compared.against}`;
    told.push(`${atMs - began} ${watch.id} ${inspection.frame.id} ${skipped ?? 'asked'} ${share}`);
  };
  const loop = new WatchLoop(new FakeEyes({ lookMs, askMs: 0 }), { onOutcome: () => {}, onDecision, onFault: (fault) => told.push(String(fault)) });
  const camera = new FakeCamera('kitchen');
  loop.addCamera(camera);
  for (const [id, given] of Object.entries(watches)) loop.put(id, spec(given));
  loop.start();
  for (const value of frames) {
    camera.show(blank(value));
    await vi.advanceTimersByTimeAsync(100);
  }
  await vi.advanceTimersByTimeAsync(1000);
  await loop.stop(0);
  return told;
}

it('one that was compared says with which, and how much differed; one that waits is told again when it is asked about', async () => {
  expect(await decisions(0, [10, 10, 200, 90, 60], { lamp: { interval_ms: 250 } })).toEqual([
    '0 lamp kitchen-1 asked -',
    '100 lamp kitchen-2 repeat -',
    '200 lamp kitchen-3 interval -',
    '250 lamp kitchen-3 unchanged 1 of kitchen-1', // it may be a flash
    '300 lamp kitchen-4 asked 1 of kitchen-1',
    '400 lamp kitchen-5 interval -',
    '550 lamp kitchen-5 unchanged 0 of kitchen-4', // darker all over
  ]);
});

it('those that come while the engine is busy are told too, for each watch', async () => {
  const watches = { lamp: { interval_ms: 0, change_percent: 0 }, door: { interval_ms: 0, change_percent: 0, enabled: false } };
  expect(await decisions(250, [10, 20, 30, 40], watches)).toEqual([
    '0 lamp kitchen-1 asked -',
    '100 lamp kitchen-2 busy -',
    '200 lamp kitchen-3 busy -',
    '251 lamp kitchen-3 asked -',
    '300 lamp kitchen-4 busy -',
    '502 lamp kitchen-4 asked -',
  ]);
});
