import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Camera, type CameraOptions, type CameraState } from '../../src/camera/camera.js';
import type { Frame, Source } from '../../src/camera/frame.js';
import { gray, HandSource } from './support.js';

const BACKOFF = { firstMs: 1000, mostMs: 60_000, random: () => 1 }; // no jitter: 1 s, 2 s, 4 s …

function setUp(options: Partial<CameraOptions> = {}) {
  const source = new HandSource();
  const camera = new Camera({ id: 'door', source, stallMs: 1000, frozenMs: 0, backoff: BACKOFF, ...options });
  const states: CameraState[] = [];
  const frames: Frame[] = [];
  camera.on('state', (state) => states.push(state));
  camera.on('frame', (frame) => frames.push(frame));
  return { source, camera, states, frames };
}

/** Lets a moment pass. */
const pass = async (ms = 0) => await vi.advanceTimersByTimeAsync(ms);

/** Puts pictures at 10 a second for this long, each unlike the one before unless `value` is given. */
async function show(source: HandSource, ms: number, value?: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    source.put(gray(value ?? (passed / 100) % 256));
    await pass(100);
  }
}

describe('Camera', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('is offline until started, starting until the first frame, and offline when stopped', async () => {
    const { source, camera, states } = setUp();
    expect([camera.state, source.opened]).toEqual(['offline', 0]);
    camera.start();
    camera.start();
    await pass();
    expect([camera.state, source.opened]).toEqual(['starting', 1]);
    source.put(gray(1));
    await pass();
    expect(camera.state).toBe('online');
    await camera.stop();
    await camera.stop();
    expect([states, source.opened, source.closed]).toEqual([['starting', 'online', 'offline'], 1, 1]);
    expect(camera.status()).toMatchObject({ state: 'offline', error: null, restarts: 0 });
  });

  it('makes frames: ids, times, and a number that stands still with the picture', async () => {
    const { source, camera, frames } = setUp();
    camera.start();
    for (const value of [5, 5, 6, 5]) {
      source.put(gray(value));
      await pass(100);
    }
    await camera.stop();
    expect(frames.map(({ content }) => content)).toEqual([1, 1, 2, 3]);
    expect(new Set(frames.map(({ id }) => id)).size).toBe(4);
    expect(frames[0]?.id).toMatch(/^door-[0-9a-f]{8}-0$/);
    expect(frames.map(({ monotonicMs }) => Math.round(monotonicMs - (frames[0]?.monotonicMs ?? 0)))).toEqual([0, 100, 200, 300]);
    expect((frames[3]?.at.getTime() ?? 0) - (frames[0]?.at.getTime() ?? 0)).toBe(300);
    expect(camera.slot.newest()).toBe(frames[3]);
    expect(camera.status()).toMatchObject({ frames: 4, dropped: { superseded: 3, unread: 0 } });
    const other = setUp();
    other.camera.start();
    other.source.put(gray(1));
    await pass();
    await other.camera.stop();
    expect(other.frames[0]?.id).not.toBe(frames[0]?.id);
  });

  it('reports age and rate', async () => {
    const { source, camera } = setUp();
    expect(camera.status()).toMatchObject({ fps: 0, frameAgeMs: null });
    camera.start();
    await show(source, 3000);
    expect(camera.status().fps).toBeCloseTo(10, 0);
    expect(camera.status().frameAgeMs).toBeCloseTo(100, 0);
    await camera.stop();
    await pass(6000);
    expect(camera.status().fps).toBe(0);
  });

  it('stalls when no frame comes, and recovers', async () => {
    const { source, camera, states } = setUp();
    camera.start();
    source.put(gray(1));
    await pass(999);
    expect(camera.state).toBe('online');
    await pass(2);
    expect(camera.state).toBe('stalled');
    expect(camera.status()).toMatchObject({ stalls: 1, error: 'no frame for 1000 ms' });
    expect(source.closed).toBe(1);
    await pass(999);
    expect(source.opened).toBe(1);
    await pass(2);
    expect(source.opened).toBe(2);
    expect(camera.state).toBe('stalled'); // until it has shown something
    source.put(gray(1));
    await pass();
    expect(states).toEqual(['starting', 'online', 'stalled', 'online']);
    expect(camera.status()).toMatchObject({ restarts: 1, error: null });
    await camera.stop();
  });

  it('gives the first frame ten seconds, however short the limit', async () => {
    const { camera } = setUp({ stallMs: 100 });
    camera.start();
    await pass(9999);
    expect(camera.state).toBe('starting');
    await pass(2);
    expect(camera.state).toBe('stalled');
    await camera.stop();
  });

  it('stalls on a frozen picture, and takes nothing but another picture for recovery', async () => {
    const { source, camera, states, frames } = setUp({ frozenMs: 5000 });
    camera.start();
    await show(source, 5100, 7);
    expect(camera.state).toBe('stalled');
    expect(camera.status()).toMatchObject({ stalls: 1, error: 'the same picture for 5000 ms' });
    await pass(1000);
    const before = frames.length;
    await show(source, 3000, 7);
    expect([camera.state, frames.length - before]).toEqual(['stalled', 0]);
    expect(camera.status().dropped.frozen).toBe(30);
    source.put(gray(8));
    await pass();
    expect([camera.state, frames.length - before]).toEqual(['online', 1]);
    expect(states).toEqual(['starting', 'online', 'stalled', 'online']);
    await camera.stop();
  });

  it('never takes a picture for frozen when told so', async () => {
    const { source, camera, states } = setUp();
    camera.start();
    await show(source, 120_000, 7);
    expect(states).toEqual(['starting', 'online']);
    await camera.stop();
  });

  it('waits longer after each failure, up to a minute, for ever; and starts small again after ten good seconds', async () => {
    const { source, camera } = setUp();
    camera.start();
    const waits: number[] = [];
    const failAndMeasure = async () => {
      const opened = source.opened;
      source.fail('unplugged');
      await pass();
      expect(camera.status()).toMatchObject({ state: 'offline', error: 'unplugged' });
      const began = performance.now();
      while (source.opened === opened) await pass(100);
      waits.push(Math.round((performance.now() - began) / 1000));
    };
    for (let i = 0; i < 9; i++) await failAndMeasure();
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    await show(source, 9000);
    await failAndMeasure(); // nine seconds prove nothing
    await show(source, 11_000);
    await failAndMeasure();
    expect(waits.slice(-2)).toEqual([60, 1]);
    expect(camera.status().restarts).toBe(11);
    await camera.stop();
  });

  it('does not take frozen pictures for good ones', async () => {
    const { source, camera } = setUp({ frozenMs: 20_000 });
    camera.start();
    await show(source, 20_100, 7);
    const opened = source.opened;
    await pass(1100);
    expect(source.opened).toBe(opened + 1);
    await show(source, 20_100, 7);
    expect(camera.status().stalls).toBe(2);
    await pass(1100);
    expect(source.opened).toBe(opened + 1); // two seconds this time
    await pass(1000);
    expect(source.opened).toBe(opened + 2);
    await camera.stop();
  });

  it('stays offline when the source has nothing more to come, until it is started again', async () => {
    const { source, camera } = setUp();
    camera.start();
    source.put(gray(1));
    source.end();
    await pass(600_000);
    expect(source.opened).toBe(1);
    expect(camera.status()).toMatchObject({ state: 'offline', error: 'hand: ended after 1 picture' });
    camera.restart();
    source.put(gray(2));
    await pass();
    expect([camera.state, source.opened]).toEqual(['online', 2]);
    await camera.stop();
  });

  it('restarts at once when told to, out of a wait as well', async () => {
    const { source, camera } = setUp();
    camera.start();
    source.put(gray(1));
    await pass();
    camera.restart();
    await pass();
    expect([camera.state, source.opened, source.closed]).toEqual(['starting', 2, 1]);
    source.fail('unplugged');
    await pass();
    expect(camera.state).toBe('offline');
    camera.restart();
    await pass();
    expect([camera.state, source.opened]).toEqual(['starting', 3]);
    expect(camera.status().restarts).toBe(2);
    await camera.stop();
  });

  it('can be started while it stops, and stopped again before it has', async () => {
    const { source, camera } = setUp();
    camera.start();
    await pass();
    const stopping = camera.stop();
    camera.start();
    await stopping;
    source.put(gray(1));
    await pass();
    expect([camera.state, source.opened]).toEqual(['online', 2]);
    const first = camera.stop();
    camera.start();
    const second = camera.stop();
    await Promise.all([first, second]);
    await pass();
    expect([camera.state, source.opened, source.closed]).toEqual(['offline', 2, 2]);
  });

  it('survives listeners that throw, and tells of them', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const { source, camera } = setUp();
    const late: number[] = [];
    camera.on('frame', () => {
      throw new Error('listener');
    });
    camera.on('frame', async () => {
      throw new Error('async listener');
    });
    camera.on('frame', ({ content }) => late.push(content));
    camera.start();
    await show(source, 300);
    await camera.stop();
    expect(late).toEqual([1, 2, 3]);
    expect(camera.status()).toMatchObject({ listenerErrors: 6, restarts: 0 });
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0]?.[0]).toMatch(/Camera door: a listener of 'frame' threw Error: listener/);
    warn.mockRestore();
  });

  it('shows what a source dropped and the last reason, and tells of the first', async () => {
    const source: Source = {
      name: 'folder',
      async *open(signal, onDropped) {
        onDropped('unread');
        onDropped('unreadable', 'a.png: broken');
        onDropped('unreadable', 'b.png: broken');
        yield gray(1);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    };
    const { camera } = setUp({ source });
    const warnings: string[] = [];
    camera.on('warning', (text) => warnings.push(text));
    camera.start();
    await pass();
    expect(camera.status()).toMatchObject({ dropped: { unread: 1, unreadable: 2, superseded: 0, frozen: 0 }, warning: 'b.png: broken' });
    expect(warnings).toEqual(['a.png: broken']); // once, however many there are
    await camera.stop();
  });

  it('tells of a source that could not be closed', async () => {
    const source: Source = {
      name: 'stubborn',
      async *open(signal) {
        yield gray(1);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw new Error('process 7 does not end');
      },
    };
    const { camera } = setUp({ source });
    camera.start();
    await pass(1100);
    expect(camera.status()).toMatchObject({ state: 'stalled', error: 'no frame for 1000 ms; process 7 does not end' });
    await camera.stop();
  });

  it('is not harmed by another one that hangs', async () => {
    const hanging = setUp({
      source: { name: 'hanging', open: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }) },
    });
    const good = setUp();
    hanging.camera.start();
    good.camera.start();
    await show(good.source, 15_000);
    expect(hanging.camera.state).toBe('stalled');
    expect(good.states).toEqual(['starting', 'online']);
    expect(good.frames.length).toBe(150);
    await good.camera.stop();
  });
});
