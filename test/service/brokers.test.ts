/** A whole node and a pool on every broker that docs/fleet.md names: what the contract needs of it holds, and what it lacks the node says. */
import type { IClientOptions } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPool } from '../../src/pool/index.js';
import { type ConfigInput, configOf } from '../../src/service/config/config.js';
import { type Access, CLUSTERS, type Cluster, type ClusterName } from '../support/clusters.js';
import { THOROUGH } from '../support/counts.js';
import { until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { type Ear, type FakeModel, fakeModel, listen, type Node, ROOT, startNode } from './support.js';

const NAMES = THOROUGH ? (Object.keys(CLUSTERS) as ClusterName[]) : (['mosquitto'] as const);
const STATES = [
  'availability',
  'info',
  'health',
  'load',
  'camera/kitchen/status',
  'watch/lamp/result',
  'watch/lamp/state',
  'watch/lamp/enabled/state',
];
const DEVICE = 'homeassistant/device/mipha_test/config';

function clientOptions({ protocol, username, passwordFile }: Access): IClientOptions {
  return {
    protocolVersion: protocol === '5' ? 5 : 4,
    ...(username === undefined ? {} : { username, password: passwordFile === undefined ? '' : 'secret' }),
  };
}

for (const name of NAMES) {
  const { programs, start } = CLUSTERS[name];
  describeWith(programs, `a node on ${name}`, () => {
    let cluster: Cluster;
    let proxy: TcpProxy;
    let model: FakeModel;
    let node: Node;
    let ear: Ear;
    let far = '';
    const values = (): ConfigInput => {
      const { protocol, username, passwordFile } = cluster.access;
      const login = username === undefined ? {} : { username, password_file: passwordFile };
      return {
        mqtt: { protocol, ...login, ...(protocol === '5' ? { pool: 'hall' } : {}), discovery: { enabled: true } },
        log: { level: 'warn' },
      } as ConfigInput;
    };
    /** Sees what somebody sees who comes now, at another server where those share what is retained. */
    const comesNow = (filters: string[]) => listen(far, filters, clientOptions(cluster.access));
    beforeAll(async () => {
      cluster = await start();
      proxy = await startTcpProxy(cluster.ports[0] as number);
      // ejabberd hands out what is retained only where it was published: see the table
      far = `mqtt://127.0.0.1:${name === 'ejabberd' ? cluster.ports[0] : cluster.ports.at(-1)}`;
      ear = await listen(far, [`${ROOT}/#`, 'mipha/v1/pool/#'], clientOptions(cluster.access));
      model = fakeModel();
      node = await startNode(`mqtt://127.0.0.1:${proxy.port}`, values(), { loadModel: async () => model });
      await until('it has told all', () => STATES.every((topic) => ear.on(topic).length > 0) && ear.on('watch/lamp/state').at(-1)?.text === 'ON');
    }, 60_000);
    afterAll(async () => {
      await node?.[Symbol.asyncDispose]();
      await ear?.[Symbol.asyncDispose]();
      await proxy?.close();
      await cluster?.close();
    });

    it('retains its state for whoever comes', async () => {
      await using now = await comesNow([`${ROOT}/#`, DEVICE]);
      await until('all of it', () => STATES.every((topic) => now.on(topic).some(({ retained }) => retained)));
      expect(now.on('availability')[0]?.text).toBe('online');
      expect(JSON.parse(now.on('info')[0]?.text as string)).toMatchObject({ node: 'test', cameras: [{ id: 'kitchen' }] });
      await until('the device', () => now.all.some(({ topic, retained, text }) => topic === DEVICE && retained && JSON.parse(text).origin));
    });

    it('answers, in time or not, and gives up what is cancelled', async () => {
      const ask = (transaction: string, more: object = {}) =>
        ear.request('query', { transaction, camera: 'kitchen', question: 'Is it?', answer: { type: 'boolean' }, ...more });
      await ask('in-time');
      expect(await ear.response('in-time')).toMatchObject({ status: 'ok', data: { value: true, transaction: 'in-time' } });
      expect(ear.all.find(({ topic, text }) => topic.includes('/response/') && text.includes('in-time'))?.packet.qos).toBe(1);
      model.askMs = 400;
      await ask('late', { deadline_ms: 150 });
      expect((await ear.response('late')).error?.code).toMatch(/^(TIMEOUT|EXPIRED)$/);
      await ask('unwanted');
      await ear.request('cancel', { transaction: 'cancel', target: 'unwanted' });
      expect((await ear.response('unwanted')).error?.code).toBe('CANCELLED');
      model.askMs = 0;
      await ask('again');
      expect((await ear.response('again')).status).toBe('ok');
    });

    it('is asked by a pool at another server', async () => {
      const { protocol, username, passwordFile } = cluster.access;
      await using pool = await openPool({ url: far, protocol, username, passwordFile });
      expect(pool.status().nodes).toMatchObject([{ node: 'test', state: 'ready', misfit: null }]);
      const question = { camera: 'kitchen', question: 'Is it?', answer: { type: 'boolean' as const } };
      expect(await pool.ask(question, { deadlineMs: 5000 })).toMatchObject({ node: 'test', value: true });
    });

    it('shares a queue, or says why it cannot', async () => {
      const request = { transaction: 'shared', camera: 'kitchen', question: 'Is it?', answer: { type: 'boolean' }, deadline_ms: 5000 };
      const properties = cluster.access.protocol === '5' ? { properties: { messageExpiryInterval: 5 } } : {};
      await ear.client.publishAsync('mipha/v1/pool/hall/request/query', JSON.stringify(request), { qos: 1, ...properties });
      if (name.includes('mosquitto')) {
        if (name === 'mosquitto')
          await until('an answer', () => ear.all.some(({ topic, text }) => topic.endsWith('pool/hall/response/query') && text.includes('"ok"')));
      } else if (cluster.access.protocol === '3.1.1') {
        // what is not there is refused by the configuration already
        expect(() => configOf({ node: 'test', mqtt: { url: far, protocol: '3.1.1', pool: 'hall' }, cameras: {} })).toThrow(
          'has no shared subscriptions',
        );
      } else {
        await until('the alert', () => ear.on('alert/mqtt-pool').at(-1)?.text);
        expect(JSON.parse(ear.on('alert/mqtt-pool').at(-1)?.text as string).message).toContain('the broker offers no shared subscriptions');
      }
    });

    it('stays connected whatever response topic is asked for', async () => {
      const { connections } = proxy;
      const ask = (transaction: string, more: object = {}) =>
        ear.request('query', { transaction, camera: 'kitchen', question: 'Is it?', answer: { type: 'boolean' }, ...more });
      for (const odd of ['a.b', 'a b', 'a>', 'a*b']) await ask(odd, { reply_to: `mipha/v1/${odd}/reply/c` });
      await ask('after');
      expect((await ear.response('after')).status).toBe('ok');
      if (cluster.access.protocol === '3.1.1')
        expect((await ear.response('a.b')).error).toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('dot') });
      expect(proxy.connections).toBe(connections);
    });

    it('is offline when it is lost, and comes back with all of its state', async () => {
      const said = () => ear.on('availability').map(({ text }) => text);
      const before = said().length;
      proxy.refuse(true);
      proxy.cut();
      await until('the last word', () => said().slice(before).includes('offline'), 10_000);
      {
        await using now = await comesNow([`${ROOT}/#`]);
        await until('the last word is retained', () => now.on('availability').some(({ retained, text }) => retained && text === 'offline'));
      }
      proxy.refuse(false);
      await until('it is back', () => said().at(-1) === 'online', 20_000);
    });

    it('takes its answers along when it stops', async () => {
      await node[Symbol.asyncDispose]();
      await until('it said so', () => ear.on('availability').at(-1)?.text === 'offline');
      expect(JSON.parse(ear.on('watch/lamp/result').at(-1)?.text as string)).toMatchObject({ status: 'stale', value: null });
      await using now = await comesNow([`${ROOT}/#`]);
      await until('its last word', () => now.on('availability')[0]?.text === 'offline');
      expect(now.on('watch/lamp/state')).toEqual([]);
    });
  });
}
