import { describe, expect, it } from 'vitest';
import { openCamera } from '../../src/camera/open.js';

const PICTURES = 'test/fixtures/eval/pictures';
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe('openCamera', () => {
  it('gives the newest frame, each once, and counts what came meanwhile', async () => {
    await using camera = openCamera('synthetic://kitchen?fps=50&change_ms=20', { sidePx: 112, id: 'eye' });
    const numbers: number[] = [];
    for await (const frame of camera.frames()) {
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
    for await (const frame of camera.frames()) last = frame.id;
    expect(last).toMatch(/-9$/);
    const again: string[] = [];
    for await (const frame of camera.frames()) again.push(frame.id);
    expect(again).toEqual([last]); // the newest there is
  });

  it('ends when it is disposed, and with the reason of a signal', async () => {
    const camera = openCamera('synthetic://kitchen?fps=20', { sidePx: 112 });
    const controller = new AbortController();
    const aborted = (async () => {
      for await (const _ of camera.frames(controller.signal));
    })();
    const disposed = (async () => {
      for await (const _ of camera.frames());
      return 'ended';
    })();
    await pause(300);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await camera.dispose();
    expect(await disposed).toBe('ended');
    expect(camera.state).toBe('offline');
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
