import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { MiphaError, type MiphaErrorOf } from '../../src/errors.js';
import { WatchLoop } from '../../src/watch/loop.js';
import { Queries, type Query } from '../../src/watch/queries.js';
import { blank, FakeCamera, FakeEyes, room, spec } from './stage.js';

function stage({ lookMs = 100, askMs = 20, limit = 4 } = {}) {
  const eyes = new FakeEyes({ lookMs, askMs });
  const camera = new FakeCamera('kitchen');
  camera.show(room(40, 20, 'rgb'));
  const queries = new Queries(eyes, { limit });
  const ledger: string[] = [];
  /** Asks, and notes how it ended under the question. */
  const ask = (question: string, more: Partial<Query> = {}) =>
    queries.ask({ frame: () => camera.newest as Frame, question, deadlineMs: 10_000, answer: { type: 'boolean' }, ...more }).then(
      (outcome) => {
        ledger.push(`${question} ok`);
        return outcome;
      },
      (error: MiphaError) => {
        ledger.push(`${question} ${(error.code as string | undefined) ?? error.message}`);
        return error;
      },
    );
  const questions = () => eyes.looks.flatMap((look) => look.questions.map(({ question }) => question));
  return { eyes, camera, queries, ledger, ask, questions };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(async () => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('a query', () => {
  it('is answered with what was seen, when, and what it cost since it arrived', async () => {
    const { camera, eyes, queries } = stage();
    eyes.answer = () => ({ value: 'red', confidence: 0.5 });
    const frame = () => camera.newest as Frame;
    const crop = { x: 0.25, y: 0.5, width: 0.5, height: 0.25 };
    const first = queries.ask({ frame, question: 'lamp?', answer: { type: 'boolean' }, deadlineMs: 5000 });
    const second = queries.ask({
      frame,
      question: 'colour?',
      answer: { type: 'choice', choices: ['red', 'blue'] },
      crop,
      deadlineMs: 5000,
      priority: 3,
    });
    await vi.advanceTimersByTimeAsync(130);
    const newest = camera.show(room(40, 20, 'rgb', 2));
    await vi.advanceTimersByTimeAsync(200);
    await first;
    expect(await second).toEqual({
      type: 'choice',
      value: 'red',
      text: 'red',
      confidence: 0.5,
      frame: { id: 'kitchen-1', at: expect.any(Date), monotonicMs: expect.any(Number), width: 40, height: 20, crop },
      timing: { queueMs: 122, prepMs: 2, visionMs: 100, prefillMs: 7, decodeMs: 20, totalMs: 240 },
      tokens: { in: 10, out: 1 },
      truncated: false,
    });
    expect(newest.id).toBe('kitchen-2');
    expect(eyes.looks[1]?.image).toMatchObject({ width: 20, height: 5, stride: 120 });
    expect(eyes.looks.map(({ options }) => options.priority)).toEqual([100, 103]);
    expect(eyes.looks.every(({ disposed }) => disposed)).toBe(true);
  });

  it('looks at the frame that is newest when its turn comes', async () => {
    const { camera, ask, eyes } = stage();
    void ask('first?');
    const second = ask('second?');
    await vi.advanceTimersByTimeAsync(50);
    camera.show(blank(3));
    await vi.advanceTimersByTimeAsync(500);
    expect(await second).toMatchObject({ frame: { id: 'kitchen-2', width: 16 } });
    expect(eyes.looks).toHaveLength(2);
  });

  it('for which there is no frame rejects with what was thrown, and the next has its turn', async () => {
    const { ask, ledger, eyes } = stage();
    const frame = () => {
      throw new MiphaError('ERR_CAMERA', 'no frame');
    };
    void ask('nothing?', { frame });
    void ask('lamp?');
    await vi.advanceTimersByTimeAsync(500);
    expect(ledger).toEqual(['nothing? ERR_CAMERA', 'lamp? ok']);
    expect(eyes.looks).toHaveLength(1);
  });

  it('in free text has no type, may be short, and comes in pieces when wanted', async () => {
    const { ask, eyes } = stage();
    eyes.answer = () => ({ value: 'A red cup on the table.', confidence: null });
    const plain = ask('what?', { answer: undefined, maxTokens: 7 });
    await vi.advanceTimersByTimeAsync(200);
    expect(await plain).toMatchObject({ type: 'text', value: 'A red cup on the table.', confidence: null, truncated: false });
    expect(eyes.looks[0]?.questions[0]?.options).toMatchObject({ maxTokens: 7 });
    expect(eyes.looks[0]?.questions[0]?.options.as).toBeUndefined();
    const pieces: string[] = [];
    const written = ask('what?', { answer: undefined, onText: (piece) => pieces.push(piece) });
    await vi.advanceTimersByTimeAsync(200);
    expect(await written).toMatchObject({ value: 'A red cup on the table.', truncated: false });
    expect(pieces).toEqual(['A ', 'red ', 'cup ', 'on ', 'the ', 'table.']);
  });

  it('in pieces ends at its longest text, between characters', async () => {
    const { ask, eyes } = stage();
    eyes.answer = () => ({ value: 'A red 🍎 here.', confidence: null });
    for (const [most, text] of [
      [4, 'A re'],
      [6, 'A red '],
      [7, 'A red 🍎'],
      [100, 'A red 🍎 here.'],
    ] as const) {
      const pieces: string[] = [];
      const written = ask('what?', { answer: { type: 'text', max_chars: most }, onText: (piece) => pieces.push(piece) });
      await vi.advanceTimersByTimeAsync(200);
      expect(await written).toMatchObject({ type: 'text', value: text, text, truncated: most < 100 });
      expect(pieces.join('')).toBe(text);
    }
  });

  it('whose receiver of pieces throws rejects with that', async () => {
    const { ask, ledger, eyes } = stage();
    const onText = () => {
      throw new Error('full');
    };
    void ask('what?', { answer: undefined, onText });
    await vi.advanceTimersByTimeAsync(200);
    expect(ledger).toEqual(['what? full']);
    expect(eyes.views).toBe(0);
  });
});

describe('the lane', () => {
  it('waits while the lane is held, and is answered then, or ends at its deadline', async () => {
    const { ask, ledger, queries } = stage();
    void ask('a');
    const held = queries.lane.hold();
    void ask('b');
    void ask('c', { deadlineMs: 500 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(ledger).toEqual(['a ok', 'c ERR_DEADLINE']);
    (await held)();
    await vi.advanceTimersByTimeAsync(200);
    expect(ledger).toEqual(['a ok', 'c ERR_DEADLINE', 'b ok']);
  });

  it('is bounded: one more is refused and told when to try again', async () => {
    const { ask, ledger, queries } = stage({ limit: 3 });
    for (const name of ['a', 'b', 'c']) void ask(name);
    const refused = await ask('d');
    expect(refused).toMatchObject({ code: 'ERR_BUSY', retryable: true, details: { limit: 3, retryAfterMs: expect.any(Number) } });
    expect(queries.status).toEqual({ waiting: 2, running: 1, limit: 3, rejected: 1, usualMs: null });
    await vi.advanceTimersByTimeAsync(130);
    void ask('e');
    await vi.advanceTimersByTimeAsync(1000);
    expect(ledger).toEqual(['d ERR_BUSY', 'a ok', 'b ok', 'c ok', 'e ok']);
    expect(queries.status).toEqual({ waiting: 0, running: 0, limit: 3, rejected: 1, usualMs: expect.any(Number) });
    queries.lane.setLimit(1);
    void ask('f');
    expect(await ask('g')).toMatchObject({ code: 'ERR_BUSY', details: { limit: 1 } });
    await vi.advanceTimersByTimeAsync(200);
  });

  it('has room for others however many guests there are', async () => {
    const { ask, ledger, queries } = stage({ limit: 5 });
    for (const name of ['a', 'b']) void ask(name, { guest: true });
    expect(await ask('c', { guest: true })).toMatchObject({ code: 'ERR_BUSY', details: { limit: 2, retryAfterMs: expect.any(Number) } });
    for (const name of ['d', 'e', 'f']) void ask(name);
    expect(queries.status).toEqual({ waiting: 4, running: 1, limit: 5, rejected: 1, usualMs: null });
    await vi.advanceTimersByTimeAsync(1000);
    expect(ledger).toEqual(['c ERR_BUSY', 'a ok', 'b ok', 'd ok', 'e ok', 'f ok']);
    queries.lane.setLimit(1);
    void ask('g', { guest: true });
    expect(await ask('h', { guest: true })).toMatchObject({ code: 'ERR_BUSY', details: { limit: 1 } });
    await vi.advanceTimersByTimeAsync(200);
  });

  it('tells who got a place, and only them', async () => {
    const { ask, eyes } = stage({ limit: 2 });
    const admitted: string[] = [];
    for (const name of ['a', 'b', 'c']) void ask(name, { onAdmitted: () => admitted.push(`${name} before look ${eyes.looks.length + 1}`) });
    await vi.advanceTimersByTimeAsync(500);
    expect(admitted).toEqual(['a before look 1', 'b before look 2']);
  });

  it('learns from how long queries take when to try again', async () => {
    const { ask } = stage({ limit: 1, lookMs: 180, askMs: 20 });
    for (let i = 0; i < 12; i++) {
      void ask('lamp?');
      await vi.advanceTimersByTimeAsync(300);
    }
    void ask('lamp?');
    const { details } = (await ask('one more?')) as MiphaErrorOf<'ERR_BUSY'>;
    expect(details.retryAfterMs).toBeGreaterThanOrEqual(200);
    expect(details.retryAfterMs).toBeLessThan(300);
    await vi.advanceTimersByTimeAsync(300);
  });

  it('has a place free as soon as one that waits is cancelled or late', async () => {
    const { ask, queries } = stage({ limit: 3, lookMs: 1000 });
    const controller = new AbortController();
    void ask('running');
    void ask('cancelled', { signal: controller.signal });
    void ask('late', { deadlineMs: 20 });
    controller.abort(new Error('never mind'));
    await vi.advanceTimersByTimeAsync(30);
    expect(queries.status).toMatchObject({ waiting: 0, running: 1, rejected: 0 });
    await vi.advanceTimersByTimeAsync(2000);
  });

  it('serves the highest priority first, and among equals the earliest deadline', async () => {
    const { ask, questions } = stage({ limit: 10 });
    void ask('running');
    void ask('late', { deadlineMs: 9000 });
    void ask('early', { deadlineMs: 3000 });
    void ask('urgent', { deadlineMs: 9500, priority: 5 });
    void ask('middle', { deadlineMs: 5000 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(questions()).toEqual(['running', 'urgent', 'early', 'middle', 'late']);
  });

  it('goes ahead of every watch in the engine', async () => {
    const { ask, eyes, camera } = stage();
    const loop = new WatchLoop(eyes, { onOutcome: () => {} });
    loop.addCamera(camera);
    loop.put('lamp', spec({ priority: 9 }));
    loop.start();
    void ask('now?', { priority: 0 });
    await vi.advanceTimersByTimeAsync(300);
    const [watch, query] = eyes.looks;
    expect(query?.options.priority).toBeGreaterThan(watch?.options.priority ?? 1e9);
    expect(query?.questions[0]?.options.priority).toBeGreaterThan(watch?.questions[0]?.options.priority ?? 1e9);
    await loop.stop(0);
  });
});

describe('a deadline', () => {
  it('that passes before its turn costs no inference and is told at once', async () => {
    const { ask, ledger, eyes } = stage({ lookMs: 2000 });
    void ask('slow?');
    const late = ask('late?', { deadlineMs: 500 });
    await vi.advanceTimersByTimeAsync(501);
    expect(await late).toMatchObject({ code: 'ERR_DEADLINE', details: { started: false, deadlineMs: 500 } });
    await vi.advanceTimersByTimeAsync(5000);
    expect(ledger).toEqual(['late? ERR_DEADLINE', 'slow? ok']);
    expect(eyes.looks).toHaveLength(1);
  });

  it('that passes under way stops the work', async () => {
    for (const deadlineMs of [50, 110]) {
      const { ask, eyes, ledger } = stage();
      const late = ask('late?', { deadlineMs });
      void ask('next?');
      await vi.advanceTimersByTimeAsync(deadlineMs + 1);
      expect(await late).toMatchObject({ code: 'ERR_DEADLINE', details: { started: true, deadlineMs } });
      await vi.advanceTimersByTimeAsync(500);
      expect(ledger).toEqual(['late? ERR_DEADLINE', 'next? ok']);
      expect([eyes.running, eyes.views]).toEqual([0, 0]);
    }
  });

  it('that the engine notices first reads the same', async () => {
    const { ask, eyes } = stage();
    eyes.lookError = new MiphaError('ERR_DEADLINE', 'too slow', { details: { deadlineMs: 9999.9 } });
    const late = ask('late?');
    await vi.advanceTimersByTimeAsync(200);
    expect(await late).toMatchObject({ code: 'ERR_DEADLINE', details: { started: true, deadlineMs: 10_000 } });
  });

  it('is also the life of the answer: past it the work is given up at once, and no engine that is late makes it good', async () => {
    const { ask, eyes, ledger } = stage();
    const late = ask('late?', { ttlMs: 80 });
    void ask('next?', { ttlMs: 5000 });
    await vi.advanceTimersByTimeAsync(81);
    expect(await late).toMatchObject({ code: 'ERR_DEADLINE', details: { ttlMs: 80 } });
    await vi.advanceTimersByTimeAsync(500);
    expect(ledger).toEqual(['late? ERR_DEADLINE', 'next? ok']);
    expect([eyes.running, eyes.views]).toEqual([0, 0]);
  });

  it('is kept though the engine hangs', async () => {
    const { ask, eyes, queries } = stage();
    eyes.look = () => new Promise(() => {});
    const late = ask('late?', { deadlineMs: 300 });
    await vi.advanceTimersByTimeAsync(301);
    expect(await late).toMatchObject({ code: 'ERR_DEADLINE' });
    expect(queries.status.running).toBe(1); // the engine has not let go
  });
});

describe('a cancelled query', () => {
  it('rejects with the reason at once, waiting or under way', async () => {
    const { ask, ledger, eyes } = stage();
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()] as const;
    third.abort(new Error('before'));
    void ask('first', { signal: first.signal });
    void ask('second', { signal: second.signal });
    void ask('third', { signal: third.signal });
    void ask('fourth');
    await vi.advanceTimersByTimeAsync(50);
    second.abort(new Error('waiting'));
    await vi.advanceTimersByTimeAsync(0);
    first.abort(new Error('under way'));
    await vi.advanceTimersByTimeAsync(0);
    expect(ledger).toEqual(['third before', 'second waiting', 'first under way']);
    await vi.advanceTimersByTimeAsync(500);
    expect(ledger.at(-1)).toBe('fourth ok');
    expect(eyes.looks).toHaveLength(2);
  });
});

describe('a query that was cancelled while the engine looked', () => {
  it('is not asked, though the engine did not notice', async () => {
    const { ask, ledger, eyes, questions } = stage();
    const look = eyes.look.bind(eyes);
    eyes.look = (image) => look(image);
    const controller = new AbortController();
    void ask('lamp?', { signal: controller.signal });
    await vi.advanceTimersByTimeAsync(50);
    controller.abort(new Error('never mind'));
    await vi.advanceTimersByTimeAsync(500);
    expect([ledger, questions(), eyes.views]).toEqual([['lamp? never mind'], [], 0]);
  });
});

describe('stop', () => {
  it('refuses who waits, and lets the one under way finish within the budget', async () => {
    const { ask, ledger, queries } = stage();
    void ask('running');
    void ask('waiting');
    await vi.advanceTimersByTimeAsync(10);
    const stopping = queries.lane.stop(500);
    await vi.advanceTimersByTimeAsync(0);
    expect(ledger).toEqual(['waiting ERR_DISPOSED']);
    await vi.advanceTimersByTimeAsync(200);
    await stopping;
    expect(ledger).toEqual(['waiting ERR_DISPOSED', 'running ok']);
    expect(await ask('later')).toMatchObject({ code: 'ERR_DISPOSED' });
  });

  it('cancels it after the budget', async () => {
    const { ask, ledger, queries, eyes } = stage({ lookMs: 5000 });
    void ask('running');
    const stopping = queries.lane.stop(500);
    await vi.advanceTimersByTimeAsync(501);
    await stopping;
    expect(ledger).toEqual(['running ERR_DISPOSED']);
    expect([eyes.running, eyes.views]).toEqual([0, 0]);
  });

  it('does not wait for ever for an engine that hangs', async () => {
    const { ask, ledger, queries, eyes } = stage();
    eyes.look = () => new Promise(() => {});
    void ask('running');
    let stopped = false;
    void queries.lane.stop(500).then(() => (stopped = true));
    await vi.advanceTimersByTimeAsync(1600);
    expect(stopped).toBe(true);
    expect(ledger).toEqual(['running ERR_DISPOSED']);
  });
});
