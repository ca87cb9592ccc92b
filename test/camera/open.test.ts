import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Camera } from '../../src/camera/camera.js';
import type { Frame } from '../../src/camera/frame.js';
import { OpenCamera, openCamera } from '../../src/camera/open.js';
import { gray, HandSource } from './support.js';

const PICTURES = 'test/fixtures/eval/pictures';
const busy = (ms: number) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe('openCamera', () => {
  it('gives the newest frame, each once, and counts what came meanwhile', async () => {
    await using camera = openCamera('synthetic://kitchen?fps=50&change_ms=20', { sidePx: 112, id: 'eye' });
    const numbers: number[] = [];
    for await (const frame of camera) {
      numbers.push(Number(frame.id.split('-').at(-1)));
      expect(frame.id).toMatch(/^eye-/);
      expect(performance.now() - frame.monotonicMs).toBeLessThan(500);
      await pause(200);
      if (numbers.length === 5) break;
    }
    expect(new Set(numbers).size).toBe(5);
    expect((numbers.at(-1) as number) - (numbers[0] as number)).toBeGreaterThan(8);
    expect(camera.status().dropped.superseded).toBeGreaterThan(4);
  });

  it('ends with what it reads, the last frame included', async () => {
    await using camera = openCamera(`images://${PICTURES}/000*.png?fps=0`, { sidePx: 112 });
    let last = '';
    for await (const frame of camera) last = frame.id;
    expect(last).toMatch(/-9$/);
    const again: string[] = [];
    for await (const frame of camera) again.push(frame.id);
    expect(again).toEqual([last]); // the newest there is
  });

  it('ends when it is disposed, and with the reason of a signal', async () => {
    const camera = openCamera('synthetic://kitchen?fps=20', { sidePx: 112 });
    const controller = new AbortController();
    const aborted = (async () => {
      for await (const _ of camera.frames(controller.signal));
    })();
    const disposed = (async () => {
      for await (const _ of camera);
      return 'ended';
    })();
    await pause(300);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await camera.dispose();
    expect(await disposed).toBe('ended');
    expect(camera.state).toBe('offline');
  });

  it('ends a loop that waits for a lost camera when it is disposed', async () => {
    const camera = openCamera('images:///no/such/folder', { sidePx: 112 });
    const loop = (async () => {
      for await (const _ of camera);
      return 'ended';
    })();
    await pause(50);
    expect(camera.status()).toMatchObject({ state: 'offline', error: expect.stringContaining('/no/such/folder') });
    await camera.dispose();
    expect(await loop).toBe('ended');
    for await (const _ of camera) throw new Error('a frame of a camera that was disposed');
  });

  it('gives timers and signals their turn, however fast frames come and whatever the loop does', async () => {
    await using camera = openCamera('synthetic://kitchen?fps=0', { sidePx: 112 });
    const controller = new AbortController();
    let ticks = 0;
    const timer = setInterval(() => {
      if (++ticks === 5) controller.abort(new Error('five ticks'));
    }, 1);
    const loop = async () => {
      for await (const _ of camera.frames(controller.signal)) busy(2);
    };
    await expect(loop()).rejects.toThrow('five ticks');
    clearInterval(timer);
  });

  it('gives them their turn in loops that take one frame each', async () => {
    await using camera = openCamera('synthetic://kitchen?fps=1', { sidePx: 112 });
    let [isOver, loops] = [false, 0];
    setTimeout(() => {
      isOver = true;
    }, 20);
    while (!isOver && loops < 100_000) {
      loops++;
      for await (const _ of camera) break; // the newest one is there already
    }
    expect(isOver).toBe(true);
  });

  it('leaves nothing behind when a loop is left', async () => {
    const source = new HandSource();
    const camera = new Camera({ id: 'hand', source, stallMs: 60_000, frozenMs: 0 });
    camera.start();
    await using open = new OpenCamera(camera);
    const controller = new AbortController();
    const ways: ((frame: Frame) => unknown)[] = [() => 'go on', () => Promise.reject(new Error('thrown'))];
    for (const [i, way] of ways.entries()) {
      source.put(gray(i));
      const loop = (async () => {
        for await (const frame of open.frames(controller.signal)) {
          await way(frame);
          break;
        }
      })();
      await loop.catch((error: Error) => expect(error.message).toBe('thrown'));
    }
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    expect(camera.eventNames()).toEqual([]);
    expect(open.state).toBe('online'); // still open, for the next loop
    source.put(gray(9));
    const { value } = await open.frames().next();
    expect(value?.data[0]).toBeGreaterThanOrEqual(1);
  });

  it('serves many loops at once without a warning about listeners', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    await using camera = openCamera('synthetic://kitchen?fps=50', { sidePx: 112 });
    const controller = new AbortController();
    await Promise.all(
      Array.from({ length: 24 }, async () => {
        let left = 3;
        for await (const _ of camera.frames(controller.signal)) if (--left === 0) break;
      }),
    );
    await pause(0);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  it.each([
    ['sinthetic://kitchen', {}],
    ['synthetic://kitchen', { sidePx: 3 }],
    ['synthetic://kitchen', { stallMs: 0 }],
    ['synthetic://kitchen', { frozenMs: -1 }],
    ['synthetic://kitchen', { sizePx: 112 }],
  ])('refuses %s with %j', (uri, options) => {
    expect(() => openCamera(uri, { sidePx: 112, ...options } as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
  });
});
