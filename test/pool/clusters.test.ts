/** Three nodes on every kind of broker, asked through a pool while a node dies, a server dies, and the one that leads: each question has one outcome. */
import { connect } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPool, type Pool } from '../../src/pool/index.js';
import { CLUSTERS, type Cluster, type ClusterName } from '../support/clusters.js';
import { counts, THOROUGH } from '../support/counts.js';
import { sleep, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { type Simulated, simulate } from './support.js';

const NAMES = THOROUGH ? (Object.keys(CLUSTERS) as ClusterName[]) : (['mosquitto'] as const);
const QUESTIONS = counts(60, 2000);
const AT_ONCE = 12;
const ASK_MS = 2;
const AWAY_MS = 1000;
const DEATHS = 3;
const LAMP = { camera: 'front', question: 'Is the lamp on?', answer: { type: 'boolean' as const } };
const SURVIVES_MS = 5000;
/** NATS lets nobody in until what the dead one led has another leader, nor where it comes back: 0.2 to 10 s where it was measured. */
const ELECTS_MS = 50_000;

for (const name of NAMES) {
  const { programs, start } = CLUSTERS[name];

  describeWith(programs, `three nodes on ${name}`, () => {
    let cluster: Cluster;
    let proxy: TcpProxy;
    let pool: Pool;
    const nodes: Simulated[] = [];
    /** Topics that a server hands out to somebody who comes now; none where nobody gets in. */
    const handedOut = async (server: number): Promise<Set<string>> => {
      const { username, protocol } = cluster.access;
      const login = username === undefined ? {} : { username, password: 'secret' };
      const options = { protocolVersion: protocol === '5' ? 5 : 4, reconnectPeriod: 0, connectTimeout: 1500, ...login } as const;
      const seen = new Set<string>();
      const client = connect(`mqtt://127.0.0.1:${cluster.ports[server]}`, options);
      client.on('error', () => {});
      await new Promise<void>((resolve) => client.once('connect', () => resolve()).once('close', () => resolve())); // who is not let in in time is sent away
      client.on('message', (topic, payload, { retain }) => retain && payload.length > 0 && seen.add(topic));
      if (client.connected) await Promise.race([client.subscribeAsync('mipha/v1/+/+', { qos: 0 }).catch(() => {}), sleep(2000)]); // nothing may come of it
      await sleep(100);
      await client.endAsync(true);
      return seen;
    };
    const hasAll = async (server: number, withinMs = SURVIVES_MS) => {
      const wanted = nodes.flatMap(({ id }) => ['availability', 'info', 'load'].map((leaf) => `mipha/v1/${id}/${leaf}`));
      const all = async () => {
        const seen = await handedOut(server);
        return wanted.every((topic) => seen.has(topic));
      };
      await until(`all of it on ${server}`, all, withinMs);
    };

    beforeAll(async () => {
      cluster = await start();
      proxy = await startTcpProxy(cluster.portsFrom(2));
      const started = ['a', 'b', 'c'].map((id, i) => simulate({ port: cluster.portsFrom(i) }, { id, askMs: ASK_MS, ...cluster.access }));
      nodes.push(...(await Promise.all(started)));
      pool = await openPool({ url: `mqtt://127.0.0.1:${proxy.port}`, ...cluster.access });
      await until('all are ready', () => pool.status().nodes.filter(({ state }) => state === 'ready').length === nodes.length);
    }, 60_000);
    afterAll(async () => {
      await pool?.close();
      await Promise.all(nodes.map((node) => node.close()));
      await proxy?.close();
      await cluster?.close();
    });

    it('have all they retain on every server soon after one has died and come back', async () => {
      const led = await cluster.leader();
      const dead = cluster.ports.length - (led === cluster.ports.length - 1 ? 2 : 1); // where the leader dies, nobody gets in until there is another one
      const others = [...cluster.ports.keys()].filter((server) => server !== dead);
      await cluster.kill(dead);
      try {
        if (cluster.sharesState) for (const server of others) await hasAll(server, name === 'NATS' ? ELECTS_MS : SURVIVES_MS);
      } finally {
        await cluster.restart(dead);
      }
      if (cluster.sharesState) await hasAll(dead, name === 'NATS' ? ELECTS_MS : SURVIVES_MS);
    }, 180_000);

    it('answer every question once, whatever dies', async () => {
      const [a, , c] = nodes as [Simulated, Simulated, Simulated];
      c.askMs = 5 * ASK_MS;
      let asked = 0;
      const trouble: Record<number, () => Promise<unknown>> = {
        1: async () => a.kill(),
        2: async () => {
          await cluster.kill(0);
          await sleep(AWAY_MS);
          await cluster.restart(0);
        },
        4: async () => {
          const leader = await cluster.leader();
          if (leader !== undefined) await cluster.kill(leader);
        },
      };
      const troubles: Promise<unknown>[] = [];
      const outcomes: string[] = [];
      const transactions = new Set<string | null>();
      const asker = async () => {
        while (asked < QUESTIONS) {
          const now = (++asked * 5) / QUESTIONS;
          if (Number.isInteger(now)) troubles.push(trouble[now]?.() ?? Promise.resolve());
          const outcome = pool.ask(LAMP, { deadlineMs: 30_000 }).then(
            ({ transaction }) => {
              transactions.add(transaction);
              return 'ok';
            },
            (error: unknown) => String(error),
          );
          outcomes.push(await outcome);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, asker));
      await Promise.all(troubles);
      const runs = nodes.flatMap(({ begun }) => begun);
      const others = outcomes.filter((outcome) => outcome !== 'ok');
      expect([outcomes.length, transactions.size]).toEqual([QUESTIONS, QUESTIONS - others.length]);
      if (name === 'NATS') {
        // while it elects a leader nobody gets in, once in a while for longer than a question has; what waits for that looks lost, and is run twice
        expect(others.filter((outcome) => !outcome.endsWith('the broker is away'))).toEqual([]);
        expect(others.length).toBeLessThan(QUESTIONS / 4);
      } else {
        expect(others).toEqual([]);
        expect(runs.length - new Set(runs).size).toBeLessThanOrEqual(AT_ONCE * DEATHS * 2); // in flight when something died
      }
    }, 300_000);
  });
}
