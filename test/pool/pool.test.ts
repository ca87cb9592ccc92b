import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import { RequestError } from '../../src/mqtt/request-error.js';
import { openPool, type Pool, type PoolQuestion } from '../../src/pool/index.js';
import { observe } from '../mqtt/nodes.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Simulated, type SimulatedOptions, simulate } from './support.js';

const LAMP: PoolQuestion = { camera: 'front', question: 'Is the lamp on?', answer: { type: 'boolean' } };

for (const protocol of ['5', '3.1.1'] as const) {
  describeWith(['mosquitto'], `a pool over MQTT ${protocol}`, () => {
    let broker: Mosquitto;
    const nodes: Simulated[] = [];
    const pools: Pool[] = [];
    beforeAll(async () => {
      broker = await startMosquitto();
    });
    afterAll(() => broker.close());
    afterEach(async () => {
      await Promise.all(pools.splice(0).map((pool) => pool.close()));
      await Promise.all(nodes.splice(0).map((node) => node.close()));
      await broker.stop();
      await broker.start();
    });

    const start = async (...options: SimulatedOptions[]) => {
      const started = await Promise.all(options.map((one) => simulate(broker, { protocol, ...one })));
      nodes.push(...started);
      return started as [Simulated, ...Simulated[]];
    };
    const open = async (options: Partial<Parameters<typeof openPool>[0]> = {}) => {
      const pool = await openPool({ url: broker.url, protocol, ...options });
      pools.push(pool);
      return pool;
    };
    const stateOf = (pool: Pool, id: string) => pool.status().nodes.find(({ node }) => node === id)?.state;
    const failure = async (work: Promise<unknown>) =>
      (await work.then(
        () => null,
        (error: unknown) => error,
      )) as MiphaError;

    it('asks a node that has the camera, the watch, the labels, the model and the name', async () => {
      await start(
        { id: 'press-1', labels: { site: 'hall-1' }, cameras: ['front', 'back'], watches: ['door'] },
        { id: 'press-2', labels: { site: 'hall-2' } },
        { id: 'gate', model: 'mipha-1.6b', labels: { site: 'hall-2' } },
      );
      const pool = await open();
      const asked = async (question: PoolQuestion, options = {}) => (await pool.ask(question, { deadlineMs: 5000, ...options })).node;
      expect(await asked({ ...LAMP, camera: 'back' })).toBe('press-1');
      expect(await asked({ watch: 'door' })).toBe('press-1');
      expect(await asked(LAMP, { labels: { site: 'hall-1' } })).toBe('press-1');
      expect(await asked(LAMP, { model: 'mipha-1.6b' })).toBe('gate');
      expect(await asked(LAMP, { model: 'mipha-3b@r1', labels: { site: 'hall-2' } })).toBe('press-2');
      expect(await asked(LAMP, { nodes: 'g*' })).toBe('gate');
      const { camera: _, ...unnamed } = LAMP;
      expect(['press-2', 'gate']).toContain(await asked(unnamed));

      const nobody = await failure(pool.ask({ ...LAMP, camera: 'attic' }, { deadlineMs: 5000 }));
      expect(nobody).toMatchObject({ code: 'ERR_NODE', retryable: true, details: { tries: [] } });
      expect(nobody.message).toBe('No node could take this question: gate: no camera attic; press-1: no camera attic; press-2: no camera attic');
      const few = await open({ nodes: ['press-*'], labels: { site: 'hall-2' } });
      expect(few.status().nodes.map(({ node, misfit }) => [node, misfit])).toEqual([
        ['press-1', 'label site is hall-1'],
        ['press-2', null],
      ]);
      expect((await few.ask(LAMP)).node).toBe('press-2');
    });

    it('asks the next one with the same transaction when a node is full, drained or stopping', async () => {
      const [one, two] = (await start({ id: 'a' }, { id: 'b' })) as [Simulated, Simulated];
      const pool = await open();
      await using ear = await observe(broker.url, 'mipha/v1/+/request/query');
      for (const code of ['QUEUE_FULL', 'DRAINING', 'SHUTTING_DOWN', 'MODEL_LOADING', 'STALE_FRAME', 'UNKNOWN_CAMERA', 'FORBIDDEN'] as const) {
        one.fail(new RequestError(code, 'not now'));
        const answers = await Promise.all(Array.from({ length: 6 }, () => pool.ask(LAMP, { deadlineMs: 5000 })));
        expect(answers.map(({ node }) => node)).toEqual(Array(6).fill('b'));
      }
      one.fail(null);
      const sent = ear.seen.map(({ topic, payload }) => [topic, JSON.parse(payload).transaction as string] as const);
      const toBoth = new Set(sent.filter(([topic]) => topic.includes('/a/')).map(([, transaction]) => transaction));
      expect(toBoth.size).toBeGreaterThan(7);
      expect([...toBoth].every((transaction) => sent.some(([topic, other]) => topic.includes('/b/') && other === transaction))).toBe(true);

      two.drain(true);
      await until('it is told', () => stateOf(pool, 'b') === 'draining');
      const before = two.begun.length;
      for (let i = 0; i < 8; i++) expect((await pool.ask(LAMP)).node).toBe('a');
      expect(two.begun.length).toBe(before);
    });

    it('waits for a node that is full or drained until the deadline', async () => {
      const [only] = await start({ id: 'a', limit: 1, askMs: 150 });
      const pool = await open();
      const all = await Promise.all(Array.from({ length: 4 }, () => pool.ask(LAMP, { deadlineMs: 10_000 })));
      expect(new Set(all.map(({ transaction }) => transaction)).size).toBe(4);
      only.drain(true);
      await until('it is told', () => stateOf(pool, 'a') === 'draining');
      const late = await failure(pool.ask(LAMP, { deadlineMs: 400 }));
      expect(late).toMatchObject({ code: 'ERR_DEADLINE', retryable: true, details: { deadlineMs: 400 } });
      const asked = pool.ask(LAMP, { deadlineMs: 10_000 });
      await sleep(100);
      only.drain(false);
      expect((await asked).node).toBe('a');
    });

    it('asks another one when a node is silent, tells the slower one to stop, and leaves the silent one alone', async () => {
      const [one, two] = (await start({ id: 'a', askMs: 30 }, { id: 'b', askMs: 30 })) as [Simulated, Simulated];
      const pool = await open();
      await Promise.all(Array.from({ length: 8 }, () => pool.ask(LAMP))); // they know how long it takes
      one.mute = true;
      const answers = await Promise.all(Array.from({ length: 6 }, () => pool.ask(LAMP, { deadlineMs: 3000 })));
      expect(answers.map(({ node }) => node)).toEqual(Array(6).fill('b'));
      expect(stateOf(pool, 'a')).toBe('silent');
      const beganMs = performance.now();
      for (let i = 0; i < 4; i++) await pool.ask(LAMP, { deadlineMs: 3000 });
      expect(performance.now() - beganMs).toBeLessThan(1000); // nobody waited for it again
      one.mute = false;

      two.askMs = 3000; // admitted, and then not heard of
      one.askMs = 3000;
      const asking = pool.ask(LAMP, { deadlineMs: 30_000 });
      await until('both are at it', () => pool.status().nodes.every(({ underWay }) => underWay === 1));
      const { node } = await asking;
      const other = node === 'a' ? two : one;
      await until('the other one was told', () => other.dropped.length > 0);
    });

    it('asks the same one again where there is no other, as it may never have got the question', async () => {
      const [one, two] = (await start({ id: 'a' }, { id: 'b' })) as [Simulated, Simulated];
      const pool = await open();
      one.deaf = true;
      const only = pool.ask(LAMP, { nodes: 'a', deadlineMs: 10_000 });
      await until('it is silent', () => stateOf(pool, 'a') === 'silent');
      one.deaf = false;
      expect((await only).node).toBe('a');
      expect(one.begun.length).toBe(1);

      one.deaf = true;
      two.deaf = true;
      const either = pool.ask(LAMP, { deadlineMs: 20_000 });
      await until('both are silent', () => ['a', 'b'].every((id) => stateOf(pool, id) === 'silent'));
      two.deaf = false;
      expect((await either).node).toBe('b');
    });

    it('asks another one when a node dies, with the same transaction, at the latest when the broker tells of it', async () => {
      const [one, two] = (await start({ id: 'a', askMs: 20_000 }, { id: 'b', askMs: 20_000 })) as [Simulated, Simulated];
      const pool = await open();
      const asking = pool.ask(LAMP, { deadlineMs: 60_000 });
      const [dying, living] = await until('one is at it', () => (one.begun.length > 0 ? [one, two] : two.begun.length > 0 ? [two, one] : undefined));
      living.askMs = 10;
      dying.kill();
      expect(await asking).toMatchObject({ node: living.id, transaction: dying.begun[0] });
      await until('it is offline', () => stateOf(pool, dying.id) === 'offline', 10_000);
    });

    it('ends with the signal, at the deadline, or with the refusal of a node, each time telling the node to stop', async () => {
      const [node] = await start({ id: 'a', askMs: 20_000 });
      const pool = await open();
      const controller = new AbortController();
      const asking = failure(pool.ask(LAMP, { signal: controller.signal }));
      await until('it is at it', () => node.begun.length === 1);
      const reason = new Error('enough');
      controller.abort(reason);
      expect(await asking).toBe(reason);
      await until('it has stopped', () => node.dropped.length === 1);
      expect(await failure(pool.ask(LAMP, { signal: controller.signal }))).toBe(reason);
      expect(await failure(pool.ask(LAMP, { deadlineMs: 300 }))).toMatchObject({ code: 'ERR_DEADLINE', details: { deadlineMs: 300 } });
      await until('it has stopped', () => node.dropped.length === 2);
      node.fail(new RequestError('SCHEMA', 'crop: too small', { refs: [{ key: 'crop', value: 'too small' }] }));
      expect(await failure(pool.ask(LAMP))).toMatchObject({
        code: 'ERR_NODE',
        retryable: false,
        message: 'a refuses: crop: too small',
        details: { reason: 'SCHEMA', node: 'a', refs: [{ key: 'crop', value: 'too small' }] },
      });
      node.fail(new RequestError('FORBIDDEN', 'only watches'));
      expect(await failure(pool.ask(LAMP))).toMatchObject({
        code: 'ERR_NODE',
        details: { reason: 'FORBIDDEN', tries: [{ node: 'a', reason: 'FORBIDDEN' }] },
      });
      expect(pool.status()).toMatchObject({ underWay: 0, answered: 0, failed: 4, unreadable: 0 });
    });

    it('outlives the broker: what is asked meanwhile and what was under way is answered once, and run once', async () => {
      const [node] = await start({ id: 'a', askMs: 1500 });
      const pool = await open();
      const under = pool.ask(LAMP, { deadlineMs: 60_000 });
      await until('it is at it', () => node.begun.length === 1);
      await broker.stop();
      await until('it is noticed', () => !pool.status().connected);
      const during = pool.ask(LAMP, { deadlineMs: 60_000 });
      const late = await failure(pool.ask(LAMP, { deadlineMs: 300 }));
      expect(late).toMatchObject({ code: 'ERR_MQTT', retryable: true });
      await sleep(500);
      await broker.start();
      expect([(await under).node, (await during).node]).toEqual(['a', 'a']);
      expect((await under).transaction).toBe(node.begun[0]);
      expect(node.begun.length).toBe(2);
      expect(new Set(node.begun).size).toBe(2);
    });

    it('keeps what has something in common on one node while that takes it', async () => {
      await start({ id: 'a' }, { id: 'b' }, { id: 'c' });
      const pool = await open();
      const asked = async (sticky: string) => (await pool.ask(LAMP, { sticky })).node;
      for (const word of ['robot-1', 'robot-2', 'robot-3', 'robot-4']) {
        const first = await asked(word);
        for (let i = 0; i < 4; i++) expect(await asked(word)).toBe(first);
      }
      const kept = await asked('robot-1');
      nodes.find(({ id }) => id === kept)?.drain(true);
      await until('it is told', () => stateOf(pool, kept) === 'draining');
      const next = await asked('robot-1');
      expect(next).not.toBe(kept);
      nodes.find(({ id }) => id === kept)?.drain(false);
      await until('it is back', () => stateOf(pool, kept) === 'ready');
      expect(await asked('robot-1')).toBe(next); // where it is now, not where it was
    });

    it('leaves nothing behind when it is closed', async () => {
      const [node] = await start({ id: 'a', askMs: 20_000 });
      const pool = await open();
      const asking = failure(pool.ask(LAMP));
      await until('it is at it', () => node.begun.length === 1);
      await pool.close();
      expect(await asking).toMatchObject({ code: 'ERR_DISPOSED' });
      await until('it has stopped', () => node.dropped.length === 1);
      expect(await failure(pool.ask(LAMP))).toMatchObject({ code: 'ERR_DISPOSED' });
      await pool.close();
    });
  });
}

describe('options of a pool', () => {
  const URL = 'mqtt://127.0.0.1:1';
  it.each([
    [{ url: 'http://x' }, /Option url: expected mqtt:\/\/HOST:PORT or mqtts/],
    [{ url: 'mqtt://broker.example' }, /Option url: expected mqtts:\/\/ for another machine than this one, or allowPlaintext/],
    [{ url: URL, base: 'A' }, /Option base/],
    [{ url: URL, name: 'a/b' }, /Option name/],
    [{ url: URL, nodes: 'a/b' }, /Option nodes/],
    [{ url: URL, nodes: [] }, /Option nodes/],
    [{ url: URL, labels: { site: 7 } }, /Option labels\.site/],
    [{ url: URL, protocol: '3.1' }, /Option protocol/],
    [{ url: URL, node: 'a' }, /Option openPool\.node: .*did you mean nodes/],
  ])('%j is refused', async (options, message) => {
    await expect(openPool(options as never)).rejects.toThrow(message);
  });

  it('name a broker that cannot be reached', async () => {
    await expect(openPool({ url: URL })).rejects.toMatchObject({ code: 'ERR_MQTT', message: expect.stringContaining('ECONNREFUSED') });
  });
});

describeWith(['mosquitto'], 'questions to a pool', () => {
  let broker: Mosquitto;
  let pool: Pool;
  beforeEach(async () => {
    broker = await startMosquitto();
    pool = await openPool({ url: broker.url, model: 'mipha-3b', labels: { site: 'hall-1' } });
  });
  afterEach(async () => {
    await pool.close();
    await broker.close();
  });

  it('are checked before they leave', async () => {
    const refused = async (question: unknown, options?: unknown) =>
      (await pool.ask(question as never, options as never).catch((error: unknown) => error)) as MiphaError;
    for (const [question, option] of [
      [undefined, 'question'],
      [{}, 'question'],
      [{ question: 7 }, 'question'],
      [{ question: 'a?', camera: 'A' }, 'camera'],
      [{ question: 'a?', partial: true }, 'ask.partial'],
      [{ question: 'a?', answer: { type: 'number' } }, 'answer.min'],
    ] as const) {
      expect(await refused(question)).toMatchObject({ code: 'ERR_OPTION', details: { option } });
    }
    for (const [options, option] of [
      [{ deadlineMs: 0 }, 'deadlineMs'],
      [{ deadlineMs: Number.NaN }, 'deadlineMs'],
      [{ sticky: '' }, 'sticky'],
      [{ signal: {} }, 'signal'],
      [{ model: 'mipha-1.6b' }, 'model'],
      [{ labels: { site: 'hall-2' } }, 'labels.site'],
      [{ deadline: 5 }, 'ask.deadline'],
    ] as const) {
      expect(await refused(LAMP, options)).toMatchObject({ code: 'ERR_OPTION', details: { option } });
    }
    expect(pool.status()).toMatchObject({ connected: true, trouble: null, nodes: [], underWay: 0, answered: 0, failed: 0 });
    expect(await refused(LAMP)).toMatchObject({ code: 'ERR_NODE', message: expect.stringContaining('none is known on this broker') });
    expect(MiphaError).toBeDefined();
  });
});
