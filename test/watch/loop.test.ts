import { describe, expect, it, vi } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import type { WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import { film, onFakeTime, stage } from './loop-stage.js';
import { blank, FakeCamera, room, spec } from './stage.js';

const all = { change_percent: 0 };

onFakeTime();

it('tells how long a look has been under way', async () => {
  const { loop, camera } = stage({ lookMs: 90_000 });
  expect(loop.status().lookingMs).toBeNull();
  loop.put('lamp', spec({ ...all, ttl_ms: 600_000 }));
  camera.show();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(loop.status()).toMatchObject({ state: 'looking', lookingMs: 60_000 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(loop.status()).toMatchObject({ state: 'idle', lookingMs: null });
});

it('says of a text whether it was cut', async () => {
  const { eyes, loop, camera, outcomes } = stage();
  loop.put('scene', spec({ ...all, interval_ms: 0, ttl_ms: 1000, reask_ms: 500, answer: { type: 'text', max_chars: 5 } }));
  for (const finish of ['length', 'eos'] as const) {
    eyes.answer = () => ({ value: 'a cup', finish });
    camera.show();
    await vi.advanceTimersByTimeAsync(50);
  }
  await vi.advanceTimersByTimeAsync(2000);
  expect(outcomes.map(({ status, truncated }) => [status, truncated])).toEqual([
    ['ok', true],
    ['ok', false],
    ['stale', false],
  ]);
});

describe('the newest frame', () => {
  it('is what is looked at: at 30 frames per second and with a slow engine it is never older than one interval', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 400, askMs: 70 });
    loop.put('lamp', spec(all));
    const frameMs = 1000 / 30;
    const ages: number[] = [];
    const look = eyes.look.bind(eyes);
    eyes.look = (image, options) => {
      ages.push(performance.now() - (camera.newest?.monotonicMs ?? 0));
      expect(image.data.buffer).toBe(camera.newest?.data.buffer); // not a copy
      return look(image, options);
    };
    await film([camera], 20_000, frameMs);
    expect(ages.length).toBeGreaterThan(40);
    expect(Math.max(...ages)).toBeLessThanOrEqual(frameMs);
    expect(outcomes.length).toBe(ages.length - 1);
    expect(loop.status().watches.lamp?.skipped.busy).toBeGreaterThan(500);
  });

  it('of a crop that must wait for another crop is newer than that of the first', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 250 });
    loop.put('left', spec({ ...all, crop: { width: 0.5 } }));
    loop.put('right', spec({ ...all, crop: { x: 0.5, width: 0.5 } }));
    await film([camera], 1100, 50);
    expect(outcomes.slice(0, 4).map(({ watch }) => watch)).toEqual(['left', 'right', 'left', 'right']);
    expect(new Set(outcomes.map(({ frame }) => frame?.id)).size).toBe(outcomes.length);
    expect(eyes.views).toBe(0);
  });
});

describe('questions about one frame', () => {
  it('are asked in the same tick on one view, by crop', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 20, askMs: 5 });
    const crop = { x: 0.25, y: 0.5, width: 0.5, height: 0.25 };
    for (const [index, id] of ['a', 'b', 'c'].entries()) loop.put(id, spec({ question: `${id}?`, priority: index, interval_ms: 1000 }));
    for (const id of ['d', 'e']) loop.put(id, spec({ question: `${id}?`, crop, interval_ms: 1000 }));
    const picture = room(40, 20, 'rgb');
    camera.show(picture);
    await vi.advanceTimersByTimeAsync(100);
    expect(eyes.looks.map(({ questions }) => questions.map(({ question }) => question))).toEqual([
      ['a?', 'b?', 'c?'],
      ['d?', 'e?'],
    ]);
    expect(eyes.looks.map(({ options }) => options.priority)).toEqual([2, 0]);
    expect(eyes.looks[0]?.questions.map(({ options }) => options.priority)).toEqual([0, 1, 2]);
    expect(new Set(eyes.looks[0]?.questions.map(({ atMs }) => atMs)).size).toBe(1);
    expect(eyes.looks.every(({ disposed }) => disposed)).toBe(true);
    const image = eyes.looks[1]?.image;
    expect(image).toMatchObject({ width: 20, height: 5, stride: 120, format: 'rgb' });
    expect(image?.data.byteOffset).toBe(10 * 120 + 10 * 3);
    expect(image?.data.length).toBe(4 * 120 + 60);
    expect(outcomes.find(({ watch }) => watch === 'd')?.frame).toMatchObject({ crop, width: 40, height: 20 });
  });

  it('that need less than a pixel get one', async () => {
    const { eyes, camera, loop } = stage();
    loop.put('dot', spec({ crop: { x: 0.999, y: 0.999, width: 0.0001, height: 0.0001 } }));
    camera.show(blank(1, 10, 10));
    await vi.advanceTimersByTimeAsync(0);
    expect(eyes.looks[0]?.image).toMatchObject({ width: 1, height: 1 });
    expect(eyes.looks[0]?.image.data.byteOffset).toBe(99);
  });
});

describe('outcomes', () => {
  it('say what was seen, when, and what it cost', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 30, askMs: 12 });
    eyes.answer = () => ({ value: 3, confidence: 0.75 });
    loop.put('balls', spec({ question: 'How many balls?', answer: { type: 'number', min: 0, max: 9 }, ttl_ms: 20_000 }));
    const frame = camera.show();
    await vi.advanceTimersByTimeAsync(50);
    expect(outcomes).toEqual([
      {
        id: expect.any(String),
        atMs: frame.monotonicMs + 42,
        watch: 'balls',
        camera: 'kitchen',
        type: 'number',
        status: 'ok',
        value: 3,
        previous: null,
        changed: true,
        observed: 3,
        confidence: 0.75,
        stableCount: 1,
        answer: '3',
        truncated: false,
        validUntil: new Date(frame.at.getTime() + 20_000),
        frame: { id: 'kitchen-1', at: frame.at, monotonicMs: frame.monotonicMs, width: 16, height: 16, crop: null },
        compare: null,
        timing: { queueMs: 2, prepMs: 2, visionMs: 30, prefillMs: 7, decodeMs: 12, totalMs: 42 },
        tokens: { in: 10, out: 1 },
        error: null,
      },
    ]);
    expect(loop.status()).toMatchObject({
      state: 'idle',
      watches: { balls: { camera: 'kitchen', enabled: true, value: 3, asked: 1, answered: 1, errors: 0, lastAskedAt: frame.at } },
      cameras: { kitchen: { looks: 1, asked: 1, lastAskedAt: frame.at } },
    });
  });

  it('that their receiver throws at do not stop the loop', async () => {
    const faults: unknown[] = [];
    const onOutcome = () => {
      throw new Error('no room');
    };
    const { camera, loop } = stage({}, { onOutcome, onFault: (fault) => faults.push(fault) });
    loop.put('lamp', spec(all));
    await film([camera], 300, 100);
    expect(faults).toHaveLength(3);
  });

  it('tell how busy the engine was in the last minute', async () => {
    const { camera, loop } = stage({ lookMs: 250 });
    loop.put('lamp', spec({ ...all, interval_ms: 1000 }));
    await film([camera], 90_000, 100);
    expect(loop.status().busyRatio).toBeCloseTo(0.25, 1);
    await vi.advanceTimersByTimeAsync(61_000);
    expect(loop.status().busyRatio).toBe(0);
  });
});

describe('turns', () => {
  it('go round the cameras, however many crops one of them has', async () => {
    const { cameras, loop, eyes } = stage({ cameras: ['a', 'b', 'c'], lookMs: 100 });
    for (const [index, x] of [0, 0.2, 0.4, 0.6].entries()) loop.put(`a${index}`, spec({ ...all, camera: 'a', crop: { x, width: 0.2 } }));
    loop.put('b', spec({ ...all, camera: 'b' }));
    loop.put('c', spec({ ...all, camera: 'c' }));
    await film(cameras, 12_000, 50);
    const { a, b, c } = loop.status().cameras;
    expect(eyes.looks.length).toBeGreaterThanOrEqual(119);
    for (const camera of [a, b, c]) expect(Math.abs((camera?.looks ?? 0) - 40)).toBeLessThanOrEqual(1);
    const { watches } = loop.status();
    for (const id of ['a0', 'a1', 'a2', 'a3']) expect(Math.abs((watches[id]?.asked ?? 0) - 10)).toBeLessThanOrEqual(1);
  });

  it('come sooner with a higher priority, but to everybody', async () => {
    const { cameras, loop } = stage({ cameras: ['low', 'high'], lookMs: 100 });
    loop.put('low', spec({ ...all, camera: 'low', priority: 0 }));
    loop.put('high', spec({ ...all, camera: 'high', priority: 9 }));
    await film(cameras, 20_000, 50);
    const { low, high } = loop.status().cameras;
    expect(high?.looks).toBeGreaterThan(150);
    expect(low?.looks).toBeGreaterThanOrEqual(18);
  });

  it('go round the crops of a camera too, sooner with a higher priority', async () => {
    const { camera, loop } = stage({ lookMs: 100 });
    loop.put('low', spec({ ...all, crop: { width: 0.5 } }));
    loop.put('high', spec({ ...all, crop: { x: 0.5, width: 0.5 }, priority: 9 }));
    await film([camera], 20_000, 50);
    const { low, high } = loop.status().watches;
    expect(high?.asked).toBeGreaterThan(150);
    expect(low?.asked).toBeGreaterThanOrEqual(18);
  });

  it('are not taken by a camera whose watches are not due', async () => {
    const { cameras, loop } = stage({ cameras: ['calm', 'lively'], lookMs: 100 });
    loop.put('calm', spec({ ...all, camera: 'calm', interval_ms: 5000, priority: 9 }));
    loop.put('lively', spec({ ...all, camera: 'lively' }));
    await film(cameras, 10_000, 50);
    expect(loop.status().cameras.calm?.looks).toBe(2);
    expect(loop.status().cameras.lively?.looks).toBeGreaterThan(90);
  });
});

describe('work whose answer is of no use any more', () => {
  it('carries the life that is left as its deadline', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 900, askMs: 300 });
    loop.put('brief', spec({ ...all, ttl_ms: 1000, reask_ms: 500 }));
    loop.put('long', spec({ ...all, question: 'long?', ttl_ms: 30_000 }));
    camera.show();
    await vi.advanceTimersByTimeAsync(1300);
    expect(eyes.looks[0]?.options.deadlineMs).toBe(30_000);
    expect(eyes.looks[0]?.questions.map(({ options }) => options.deadlineMs)).toEqual([100, 29_100]);
    expect(outcomes.map(({ watch, status, error }) => [watch, status, error?.code])).toEqual([
      ['brief', 'error', 'ERR_DEADLINE'],
      ['long', 'ok', undefined],
    ]);
  });

  it.each([
    ['deleted', (loop: WatchLoop) => loop.delete('lamp')],
    ['disabled', (loop: WatchLoop) => loop.setEnabled('lamp', false)],
    ['disabled by a new spec', (loop: WatchLoop) => loop.put('lamp', spec({ ...all, enabled: false }))],
    ['without its camera', (loop: WatchLoop) => loop.removeCamera('kitchen')],
  ])('is cancelled: a watch that is %s', async (_, change) => {
    for (const during of [50, 150]) {
      const { eyes, camera, loop, outcomes } = stage({ lookMs: 100, askMs: 100 });
      loop.put('lamp', spec(all));
      camera.show();
      await vi.advanceTimersByTimeAsync(during);
      expect(eyes.running).toBe(1);
      change(loop);
      await vi.advanceTimersByTimeAsync(0);
      expect([eyes.running, eyes.views]).toEqual([0, 0]);
      await film([camera], 1000, 100);
      expect(outcomes).toEqual([]);
      expect(eyes.looks).toHaveLength(1);
    }
  });

  it('is done again when a watch is disabled meanwhile and enabled again, though the picture is the same', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 100 });
    loop.put('lamp', spec());
    camera.show();
    await vi.advanceTimersByTimeAsync(50);
    loop.setEnabled('lamp', false);
    await vi.advanceTimersByTimeAsync(50);
    loop.setEnabled('lamp', true);
    await vi.advanceTimersByTimeAsync(200);
    expect(eyes.looks).toHaveLength(2);
    expect(outcomes.map(({ status }) => status)).toEqual(['ok']);
  });

  it('is refused when it comes too late all the same', async () => {
    const { eyes, camera, loop, outcomes } = stage({ askMs: 1500 });
    eyes.deaf = true;
    loop.put('lamp', spec({ ...all, ttl_ms: 1000, reask_ms: 500 }));
    camera.show();
    await vi.advanceTimersByTimeAsync(1600);
    expect(outcomes).toMatchObject([{ status: 'error', value: null, error: { code: 'ERR_DEADLINE' } }]);
  });

  it('is cancelled for one watch while the look goes on for another', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 100, askMs: 100 });
    loop.put('lamp', spec({ interval_ms: 1000 }));
    loop.put('door', spec({ question: 'door?', interval_ms: 1000 }));
    camera.show();
    await vi.advanceTimersByTimeAsync(50);
    loop.delete('lamp');
    await vi.advanceTimersByTimeAsync(200);
    expect(outcomes.map(({ watch }) => watch)).toEqual(['door']);
    expect(eyes.looks[0]?.questions.map(({ question }) => question)).toEqual(['door?']);
  });

  it('is cancelled and done anew when the watch asks something else', async () => {
    const { eyes, camera, loop, outcomes } = stage({ lookMs: 100, askMs: 100 });
    loop.put('lamp', spec());
    camera.show();
    await vi.advanceTimersByTimeAsync(150);
    loop.put('lamp', spec({ question: 'Is the door open?' }));
    await vi.advanceTimersByTimeAsync(300);
    expect(outcomes).toHaveLength(1);
    expect(eyes.looks.map(({ questions }) => questions.map(({ question }) => question))).toEqual([['Is the lamp on?'], ['Is the door open?']]);
  });
});

describe('a changed watch', () => {
  it('keeps what is believed when it still asks the same', async () => {
    const { camera, loop, outcomes } = stage();
    expect(loop.put('lamp', spec())).toBe(true);
    camera.show();
    await vi.advanceTimersByTimeAsync(10);
    expect(loop.put('lamp', spec({ priority: 5, interval_ms: 10, ttl_ms: 60_000 }))).toBe(false);
    expect(loop.status().watches.lamp).toMatchObject({ value: true, asked: 1 });
    await film([camera], 200, 100);
    expect(outcomes.every(({ status }) => status === 'ok')).toBe(true);
    expect(outcomes.filter(({ changed }) => changed)).toHaveLength(1);
  });

  it('is not asked more often for being put again and again', async () => {
    const { eyes, camera, loop } = stage();
    for (let i = 0; i < 49; i++) {
      loop.put('lamp', spec({ ...all, interval_ms: 1000 }));
      await film([camera], 100, 50);
    }
    expect(eyes.looks).toHaveLength(5);
  });

  it('believes nothing any more when it asks something else, and says so', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    loop.put('lamp', spec());
    camera.show();
    await vi.advanceTimersByTimeAsync(10);
    eyes.speed.lookMs = 100;
    loop.put('lamp', spec({ answer: { type: 'choice', choices: ['on', 'off'] } }));
    expect(outcomes.map(({ status, value, previous, changed, type }) => ({ status, value, previous, changed, type }))).toEqual([
      { status: 'ok', value: true, previous: null, changed: true, type: 'boolean' },
      { status: 'stale', value: null, previous: true, changed: true, type: 'boolean' },
    ]);
    expect(loop.status().watches.lamp).toMatchObject({ value: null, answered: 0 });
  });

  it('is one of at most 256', () => {
    const { loop } = stage();
    for (let i = 0; i < 256; i++) loop.put(`w${i}`, spec());
    expect(() => loop.put('one-more', spec())).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    expect(loop.put('w3', spec({ question: 'else?' }))).toBe(false);
    expect([loop.delete('w3'), loop.delete('w3'), loop.setEnabled('w3', true)]).toEqual([true, false, false]);
    expect(loop.put('one-more', spec())).toBe(true);
  });
});

describe('a loop that is held', () => {
  it('finishes what is under way, begins nothing, and goes on with the newest frame and all that is believed', async () => {
    const { eyes, loop, camera, outcomes } = stage({ lookMs: 100 });
    loop.put('lamp', spec({ ...all, interval_ms: 0, ttl_ms: 5000, reask_ms: 4000 }));
    camera.show();
    const held = loop.hold();
    let isHeld = false;
    void held.then(() => {
      isHeld = true;
    });
    await vi.advanceTimersByTimeAsync(50);
    expect(isHeld).toBe(false);
    await vi.advanceTimersByTimeAsync(60);
    expect([isHeld, outcomes.length]).toEqual([true, 1]);
    const again = await loop.hold();
    await film([camera], 2000, 100);
    again();
    await film([camera], 500, 100);
    expect(eyes.looks).toHaveLength(1);
    (await held)();
    await film([camera], 300, 100);
    expect(outcomes.length).toBeGreaterThan(1);
    expect(outcomes.every(({ status }) => status === 'ok')).toBe(true);
    expect(outcomes[1]?.stableCount).toBe(2);
    const last = loop.hold();
    await vi.advanceTimersByTimeAsync(6000);
    expect(outcomes.at(-1)?.status).toBe('stale');
    (await last)();
  });
});

describe('failures', () => {
  it('of one question are an error of its watch alone, which keeps its value until that expires', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    loop.put('lamp', spec({ ...all, ttl_ms: 3000, reask_ms: 1000 }));
    loop.put('door', spec({ ...all, question: 'door?' }));
    camera.show();
    await vi.advanceTimersByTimeAsync(100);
    eyes.answer = (question) => {
      if (question !== 'door?') throw new MiphaError('ERR_CONTEXT_FULL', 'too long');
      return { value: true };
    };
    await film([camera], 900, 100);
    const errors = outcomes.filter(({ status }) => status === 'error');
    expect(errors).toHaveLength(1); // the next attempt comes a second later
    const { validUntil } = outcomes[0] as WatchOutcome;
    expect(errors[0]).toMatchObject({ watch: 'lamp', value: true, previous: true, changed: false, validUntil, frame: { id: 'kitchen-2' } });
    expect(errors[0]?.error).toEqual({ code: 'ERR_CONTEXT_FULL', message: 'too long', retryable: false });
    expect(outcomes.filter(({ watch }) => watch === 'door')).toHaveLength(10);
    await film([camera], 2500, 100);
    expect(outcomes.filter(({ status }) => status === 'stale')).toMatchObject([{ watch: 'lamp', value: null, previous: true }]);
  });

  it('of looking are an error of every watch of the round, and a broken engine is tried ever less often', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    eyes.lookError = new Error('out of luck');
    for (const id of ['lamp', 'door']) loop.put(id, spec(all));
    await film([camera], 62_000, 100);
    expect(outcomes.every(({ status, error }) => status === 'error' && error?.code === 'ERR_INTERNAL')).toBe(true);
    expect(eyes.looks.map(({ atMs }) => Math.round((atMs - (eyes.looks[0]?.atMs ?? 0)) / 1000))).toEqual([0, 1, 3, 7, 15, 31]);
    expect(loop.status().watches.lamp).toMatchObject({ asked: 6, errors: 6 });
    eyes.lookError = null;
    await film([camera], 3000, 100);
    expect(outcomes.at(-1)).toMatchObject({ status: 'ok' });
    eyes.lookError = new Error('out of luck again');
    await film([camera], 1950, 100);
    expect(loop.status().watches.lamp).toMatchObject({ errors: 8 }); // the pauses are short again
  });

  it('of a disposed engine end the loop quietly', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    loop.put('lamp', spec(all));
    await film([camera], 200, 100);
    eyes.lookError = new MiphaError('ERR_DISPOSED', 'gone');
    await film([camera], 1000, 100);
    expect(eyes.looks).toHaveLength(3);
    expect(outcomes.map(({ status }) => status)).toEqual(['ok', 'ok']);
    expect(loop.status().state).toBe('stopped');
    expect(camera.listenerCount('frame')).toBe(0);
  });
});

describe('stale', () => {
  it('is said once, when the camera gives no frame for the life of the answer, and the next frame is asked about', async () => {
    const { camera, loop, outcomes } = stage();
    loop.put('lamp', spec({ ttl_ms: 3000, reask_ms: 1000, max_age_ms: 500 }));
    await film([camera], 2050, 100);
    const last = outcomes.at(-1) as WatchOutcome;
    const begin = outcomes.length;
    await vi.advanceTimersByTimeAsync((last.validUntil?.getTime() ?? 0) - Date.now() - 10);
    expect(outcomes).toHaveLength(begin);
    await vi.advanceTimersByTimeAsync(20);
    expect(outcomes).toHaveLength(begin + 1);
    expect(outcomes.at(-1)).toMatchObject({ status: 'stale', value: null, previous: true, changed: true, validUntil: last.validUntil, frame: null });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(outcomes).toHaveLength(begin + 1);
    camera.show();
    await vi.advanceTimersByTimeAsync(10);
    expect(outcomes.at(-1)).toMatchObject({ status: 'ok', value: true, previous: null, changed: true, stableCount: 1 });
  });

  it('is said once, when the camera gives the same picture over and over', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    loop.put('lamp', spec({ ttl_ms: 3000, reask_ms: 1000 }));
    for (let i = 0; i < 200; i++) {
      camera.show(blank(9));
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(outcomes.map(({ status }) => status)).toEqual(['ok', 'stale']);
    expect(eyes.looks).toHaveLength(1);
  });

  it('comes to a value that no answer has supported for its life, though others come', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    loop.put('lamp', spec({ ...all, ttl_ms: 3000, reask_ms: 1000, min_confidence: 0.9, keep_confidence: 0.5 }));
    const frame = camera.show();
    await vi.advanceTimersByTimeAsync(100);
    eyes.answer = () => ({ value: false, confidence: 0.6 });
    await film([camera], 2800, 100);
    expect(outcomes.every(({ value }) => value === true)).toBe(true);
    expect(outcomes.at(-1)?.validUntil).toEqual(new Date(frame.at.getTime() + 3000));
    await film([camera], 300, 100);
    expect(outcomes.filter(({ status }) => status === 'stale')).toHaveLength(1);
    expect(outcomes.at(-1)).toMatchObject({ status: 'ok', value: null, observed: false });
  });

  it('comes to a disabled watch too, but not to a deleted one', async () => {
    const { camera, loop, outcomes } = stage();
    for (const id of ['disabled', 'deleted']) loop.put(id, spec());
    camera.show();
    await vi.advanceTimersByTimeAsync(10);
    loop.setEnabled('disabled', false);
    loop.delete('deleted');
    await film([camera], 60_000, 1000);
    expect(outcomes.filter(({ status }) => status === 'stale').map(({ watch }) => watch)).toEqual(['disabled']);
  });
});

describe('cameras', () => {
  it('may come and go, and their watches wait', async () => {
    const { eyes, camera, loop, outcomes } = stage();
    loop.put('lamp', spec(all));
    loop.put('stove', spec({ ...all, camera: 'cellar' }));
    await film([camera], 200, 100);
    loop.removeCamera('kitchen');
    loop.removeCamera('kitchen');
    expect(camera.listenerCount('frame')).toBe(0);
    await film([camera], 1000, 100);
    expect(eyes.looks).toHaveLength(2);
    const cellar = new FakeCamera('cellar');
    cellar.show();
    loop.addCamera(cellar);
    await vi.advanceTimersByTimeAsync(10);
    expect(outcomes.at(-1)).toMatchObject({ watch: 'stove', camera: 'cellar', status: 'ok' });
    loop.addCamera(cellar); // replaces itself
    expect(cellar.listenerCount('frame')).toBe(1);
  });
});
