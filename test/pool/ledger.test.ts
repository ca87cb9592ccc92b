/** Every question has exactly one outcome, whatever becomes of the nodes; a slow node slows nobody down. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import type { Result } from '../../src/mqtt/messages.js';
import { openPool, type Pool, type PoolAskOptions } from '../../src/pool/index.js';
import { counts } from '../support/counts.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { randomFrom } from './retained.js';
import { type Simulated, type SimulatedOptions, simulate } from './support.js';

const LAMP = { camera: 'front', question: 'Is the lamp on?', answer: { type: 'boolean' as const } };
const IN_TROUBLE = counts(300, 2000);
const SLOW = counts(300, 1000);
const RATE_PER_S = 30;
const ASK_MS = 20;

interface Line {
  outcome: 'ok' | string;
  ms: number;
  node: string | null;
  transaction: string | null;
}

/** One line per question: asked at random times, so many per second; `at` is called before each. */
async function ledger(
  pool: Pool,
  count: number,
  options: (index: number) => PoolAskOptions,
  at: (index: number) => void = () => {},
): Promise<Line[]> {
  const random = randomFrom(11);
  const asked: Promise<Line>[] = [];
  for (let i = 0; i < count; i++) {
    at(i);
    const beganMs = performance.now();
    const line = (outcome: string, result: Result | null): Line => ({
      outcome,
      ms: performance.now() - beganMs,
      node: result?.node ?? null,
      transaction: result?.transaction ?? null,
    });
    asked.push(
      pool.ask(LAMP, options(i)).then(
        (result) => line('ok', result),
        (error: unknown) => line(error instanceof MiphaError ? error.code : String(error), null),
      ),
    );
    await sleep((-Math.log(1 - random()) * 1000) / RATE_PER_S);
  }
  return await Promise.all(asked);
}

function p95(lines: readonly Line[]): number {
  const sorted = lines.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.floor(0.95 * sorted.length)] as number;
}

describeWith(['mosquitto'], 'three nodes in a pool', () => {
  let broker: Mosquitto;
  let pool: Pool;
  const nodes: Simulated[] = [];
  beforeAll(async () => {
    broker = await startMosquitto();
    pool = await openPool({ url: broker.url });
  });
  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.close()));
  });
  afterAll(async () => {
    await pool.close();
    await broker.close();
  });
  const start = async (...options: SimulatedOptions[]) => {
    const started = await Promise.all(options.map((one) => simulate(broker, { askMs: ASK_MS, ...one })));
    nodes.push(...started);
    await until('all are ready', () => started.every(({ id }) => pool.status().nodes.some(({ node, state }) => node === id && state === 'ready')));
    return started;
  };

  it(
    'answer every question once while one dies and another is drained and comes back',
    async () => {
      const [a, b] = (await start({ id: 'a' }, { id: 'b' }, { id: 'c' })) as [Simulated, Simulated];
      const before = pool.status();
      const lines = await ledger(
        pool,
        IN_TROUBLE,
        () => ({ deadlineMs: 20_000 }),
        (i) => {
          if (i === Math.floor(IN_TROUBLE / 4)) a.kill();
          if (i === Math.floor(IN_TROUBLE / 2)) b.drain(true);
          if (i === Math.floor((IN_TROUBLE * 3) / 4)) b.drain(false);
        },
      );
      expect(lines.filter(({ outcome }) => outcome !== 'ok')).toEqual([]);
      expect(new Set(lines.map(({ transaction }) => transaction)).size).toBe(IN_TROUBLE);
      const after = pool.status();
      expect([after.answered - before.answered, after.failed - before.failed, after.underWay]).toEqual([IN_TROUBLE, 0, 0]);
      // What was asked twice was in flight on the dead node, or silent: nearly all were run once.
      const runs = nodes.flatMap(({ begun }) => begun);
      expect(runs.length - new Set(runs).size).toBeLessThanOrEqual(IN_TROUBLE / 20);
      expect(after.nodes.every(({ underWay }) => underWay === 0)).toBe(true);
    },
    counts(60_000, 240_000),
  );

  it(
    'end every question at its deadline, too, where none can answer in time',
    async () => {
      await start({ id: 'd', limit: 4, askMs: 150 });
      const random = randomFrom(3);
      const lines = await ledger(pool, IN_TROUBLE, () => ({ nodes: 'd', deadlineMs: 50 + random() * 500 }));
      const outcomes = new Set(lines.map(({ outcome }) => outcome));
      expect([...outcomes].sort()).toEqual(['ERR_DEADLINE', 'ok']);
      expect(lines.length).toBe(IN_TROUBLE);
      expect(Math.max(...lines.map(({ ms }) => ms))).toBeLessThan(1500);
      expect(pool.status().underWay).toBe(0);
    },
    counts(60_000, 240_000),
  );

  it(
    'are as fast with one that is five times slower',
    async () => {
      const group = (name: string, ...askMs: number[]) => askMs.map((ms, i) => ({ id: `${name}-${i}`, askMs: ms, labels: { group: name } }));
      await start(...group('even', ASK_MS, ASK_MS, ASK_MS), ...group('uneven', ASK_MS, ASK_MS, 5 * ASK_MS));
      // both at the same time: whatever else this machine does, it does to both
      const [even, uneven] = await Promise.all(
        ['even', 'uneven'].map((name) => ledger(pool, SLOW, () => ({ deadlineMs: 20_000, labels: { group: name } }))),
      );
      const all = [...(even as Line[]), ...(uneven as Line[])];
      expect(all.filter(({ outcome }) => outcome !== 'ok')).toEqual([]);
      expect(p95(uneven as Line[]) / p95(even as Line[])).toBeLessThanOrEqual(1.5);
    },
    counts(60_000, 240_000),
  );
});
