import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Camera } from '../../src/camera/camera.js';
import type { Frame, Picture } from '../../src/camera/frame.js';
import { openSource } from '../../src/camera/source.js';
import { counts } from '../support/counts.js';
import { describeWith } from '../support/programs.js';
import { HandSource, until } from './support.js';

const INTERVAL_MS = 1000 / 30;
const FRAMES = counts(45, 180); // of a camera in real time
const SLOW_MS = 200; // what a slow engine needs for a frame
const BITS = 12;

/** Twelve columns, black or white, that spell a number. */
function numbered(n: number, column = 1, height = 1): Picture {
  const row = Uint8Array.from({ length: BITS * column }, (_, x) => ((n >> Math.floor(x / column)) & 1) * 255);
  return { width: row.length, height, format: 'gray', data: Buffer.concat(Array.from({ length: height }, () => row)) };
}

function numberIn({ data, width, format }: Picture): number {
  const channels = format === 'rgb' ? 3 : 1;
  const column = width / BITS;
  return Array.from({ length: BITS }, (_, bit) => ((data[Math.floor((bit + 0.5) * column) * channels] as number) > 127 ? 1 << bit : 0)).reduce(
    (a, b) => a + b,
  );
}

/** Looks at the newest frame, then is busy for SLOW_MS, until `signal` aborts; `wait` lets that time pass. */
async function slowConsumer(camera: Camera, signal: AbortSignal, wait: () => unknown, onFrame: (frame: Frame) => void): Promise<void> {
  let last: Frame | undefined;
  while (!signal.aborted) {
    last = await camera.slot.next(last, signal).catch(() => undefined);
    if (last === undefined) return;
    onFrame(last);
    await wait();
  }
}

describe('The newest frame wins', () => {
  afterEach(() => vi.useRealTimers());

  it('to within one interval, with a clock in the hand of the test', async () => {
    vi.useFakeTimers();
    const source = new HandSource();
    const camera = new Camera({ id: 'clock', source, stallMs: 1000, frozenMs: 0 });
    camera.start();
    const end = new AbortController();
    const ages: number[] = [];
    const behind: number[] = [];
    let produced = -1;
    const consuming = slowConsumer(
      camera,
      end.signal,
      () => new Promise((resolve) => setTimeout(resolve, SLOW_MS)),
      (frame) => {
        ages.push(performance.now() - frame.monotonicMs);
        behind.push(produced - numberIn(frame));
      },
    );
    for (let n = 0; n < 300; n++) {
      source.put(numbered(n));
      produced = n;
      await vi.advanceTimersByTimeAsync(INTERVAL_MS);
    }
    end.abort();
    await vi.advanceTimersByTimeAsync(SLOW_MS);
    await consuming;
    await camera.stop();
    expect(ages.length).toBeGreaterThan(40);
    expect(Math.max(...ages)).toBeLessThanOrEqual(INTERVAL_MS + 1);
    expect(new Set(behind)).toEqual(new Set([0]));
    expect(camera.status().dropped.superseded + ages.length).toBeGreaterThanOrEqual(299); // every frame was looked at or counted
  });

  describeWith(['gstreamer'], 'through a child process at 30 frames a second', () => {
    const block = () => {
      for (const end = performance.now() + SLOW_MS; performance.now() < end; );
    };
    it.each([
      ['while the engine is busy', () => new Promise((resolve) => setTimeout(resolve, SLOW_MS)), 4],
      ['while this very thread is busy', block, 4],
      ['with frames far larger than the pipe', () => new Promise((resolve) => setTimeout(resolve, SLOW_MS)), 60],
    ])('%s', async (_, wait, column) => {
      const folder = mkdtempSync(join(tmpdir(), 'mipha-newest-'));
      const count = FRAMES + 60;
      for (let n = 0; n < count; n++) {
        const { width, height, data } = numbered(n, column, column * 9);
        writeFileSync(join(folder, `${n}.pgm`), Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`), data]));
      }
      const pipeline = `multifilesrc location=${folder}/%d.pgm stop-index=${count - 1} caps="image/x-portable-graymap,framerate=30/1" ! pnmdec ! identity sync=true`;
      const camera = new Camera({ id: 'numbers', source: openSource(`gst:${pipeline}`, { sidePx: 1200 }), stallMs: 10_000, frozenMs: 0 });
      const seen: { n: number; at: number }[] = [];
      let origin = Number.POSITIVE_INFINITY; // when number 0 was due, as the least delayed frame tells
      let newest = -1;
      camera.on('frame', (frame) => {
        newest = numberIn(frame);
        origin = Math.min(origin, frame.monotonicMs - newest * INTERVAL_MS);
      });
      const end = new AbortController();
      camera.start();
      const consuming = slowConsumer(camera, end.signal, wait, (frame) => seen.push({ n: numberIn(frame), at: performance.now() }));
      try {
        await until('enough frames', () => newest > FRAMES);
      } finally {
        end.abort();
        await consuming;
        await camera.stop();
        rmSync(folder, { recursive: true });
      }

      const late = seen.map(({ n, at }) => (at - origin) / INTERVAL_MS - n).sort((a, b) => a - b); // in intervals
      expect(seen.length).toBeGreaterThan(FRAMES / 9);
      expect(seen.map(({ n }) => n)).toEqual(seen.map(({ n }) => n).sort((a, b) => a - b));
      // One interval is what waiting costs, the rest is a noisy machine's. A queue anywhere on the way would be most of the frames long by now.
      const quantile = (q: number) => late[Math.floor(late.length * q)];
      expect(quantile(0.5)).toBeLessThan(5);
      expect(quantile(0.9)).toBeLessThan(20);
    });
  });
});
