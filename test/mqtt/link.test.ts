import { afterEach, beforeEach, expect, it } from 'vitest';
import { startBroker } from '../../src/mqtt/broker.js';
import type { Link } from '../../src/mqtt/link.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { linkTo, observe, retained, topics } from './nodes.js';

const RESULT = topics.watch('lamp', 'result');

describeWith(['mosquitto'], 'a link to mosquitto', () => {
  let broker: Mosquitto;
  const links: Link[] = [];
  const link = (changes: Parameters<typeof linkTo>[1] = {}, url = broker.url) => {
    const made = linkTo(url, changes);
    links.push(made);
    return made;
  };
  beforeEach(async () => {
    broker = await startMosquitto();
  });
  afterEach(async () => {
    await Promise.all(links.splice(0).map((one) => one.stop(500)));
    await broker.close();
  });

  it.each(['5', '3.1.1'] as const)('comes up in order with MQTT %s: subscriptions, states, online, events', async (protocol) => {
    await using observer = await observe(broker.url, topics.all);
    const node = link({ protocol });
    node.outbox.state(topics.info, 'info');
    node.outbox.state(RESULT, 'a');
    node.outbox.state(RESULT, 'b');
    node.outbox.event(topics.event, { id: 'e1', replayed: false });
    await node.start();
    expect(node.connected).toBe(true);
    await until('the event', () => observer.on(topics.event).length === 1);
    expect(observer.seen.map(({ topic }) => topic)).toEqual([topics.info, RESULT, topics.availability, topics.event]);
    expect(observer.on(RESULT)).toEqual(['b']);
    expect(observer.on(topics.availability)).toEqual(['online']);
    const id = 'mipha-node-1-test';
    const order = broker.log
      .split('\n')
      .filter((line) => line.includes(`from ${id}`) && !line.includes(`${id}-probe`) && /Received (SUBSCRIBE|PUBLISH)/.test(line));
    expect(order[0]).toContain('SUBSCRIBE');
    expect(order.slice(1).every((line) => line.includes('PUBLISH'))).toBe(true);
  });

  it('says offline when it stops, after what was queued, and leaves nothing open', async () => {
    await using observer = await observe(broker.url, topics.all);
    const node = link();
    await node.start();
    for (let i = 0; i < 50; i++) node.outbox.event(topics.event, { id: `${i}`, replayed: false });
    node.outbox.state(RESULT, 'last');
    await node.stop(2000);
    await until('offline', () => observer.on(topics.availability).at(-1) === 'offline');
    expect(observer.on(topics.event)).toHaveLength(50);
    expect(observer.seen.at(-1)).toMatchObject({ topic: topics.availability, payload: 'offline' });
    await sleep(50);
    expect(node.stats()).toMatchObject({ connected: false, queued: 0 });
    expect((await retained(broker.url)).get(topics.availability)).toBe('offline');
  });

  it('stops without a broker, and can be stopped before it was ever up', async () => {
    await broker.stop();
    const node = link();
    const started = node.start();
    const offline = new Promise<string>((done) => {
      node.on('alert', (id, text) => {
        if (text !== null) done(`${id}: ${text}`);
      });
    });
    expect(await offline).toMatch(/^mqtt-connection: No connection to mqtt:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
    node.outbox.state(RESULT, 'a');
    expect(node.outbox.transient(topics.log, 'x')).toBe(false);
    expect(node.outbox.respond(topics.response('query'), 'x')).toBe('offline');
    await node.stop(1000);
    await started;
    expect(node.stats()).toMatchObject({ queued: 1, dropped: { offline: 2 }, published: { qos0: 0, qos1: 0 } });
  });

  it('says online again when somebody says offline in its name', async () => {
    const node = link();
    await node.start();
    await using observer = await observe(broker.url, topics.availability, { live: true });
    await observer.client.publishAsync(topics.availability, 'offline', { qos: 1, retain: true });
    await until('online', () => observer.on(topics.availability).at(-1) === 'online');
    expect(node.stats().reasserted).toBe(1);
    expect((await retained(broker.url)).get(topics.availability)).toBe('online');
  });

  it('forgets a state on the broker too, also when it was told so without a connection', async () => {
    const node = link();
    await node.start();
    node.outbox.state(RESULT, 'a');
    node.outbox.state(topics.info, 'b');
    await until('both', async () => (await retained(broker.url)).size === 3);
    node.outbox.forget(RESULT);
    await until('one less', async () => !(await retained(broker.url)).has(RESULT));
    await broker.stop();
    await until('offline', () => !node.connected);
    node.outbox.forget(topics.info);
    await broker.start();
    await until('back', () => node.connected);
    expect([...(await retained(broker.url)).keys()]).toEqual([topics.availability]);
  });

  it('forgets what an earlier process left on the broker', async () => {
    await using earlier = await observe(broker.url, 'x');
    await earlier.client.publishAsync(RESULT, 'old', { qos: 1, retain: true });
    const node = link();
    node.outbox.forget(RESULT);
    await node.start();
    expect([...(await retained(broker.url)).keys()]).toEqual([topics.availability]);
    expect(node.stats().queued).toBe(0);
  });

  it('brings every retained topic back within 5 s after a broker restart with an empty store', async () => {
    const node = link({ timing: {} });
    const names = Array.from({ length: 200 }, (_, i) => topics.watch(`w-${i}`, 'result'));
    for (const name of names) node.outbox.state(name, `value of ${name}`);
    await node.start();
    const before = await retained(broker.url);
    expect(before.size).toBe(201);
    for (let i = 0; i < 2; i++) {
      await broker.stop();
      await until('offline', () => !node.connected);
      await broker.start();
      const back = performance.now();
      await until('back', () => node.connected, 5000);
      expect(performance.now() - back).toBeLessThan(5000);
      expect(await retained(broker.url)).toEqual(before);
    }
    expect(node.stats().reconnects).toBe(2);
  });

  it('publishes a state with the life it has left, and an expired one not at all', async () => {
    await broker.stop();
    const node = link();
    void node.start();
    node.outbox.state(topics.watch('short', 'result'), 'x', 0.3);
    node.outbox.state(topics.watch('long', 'result'), 'y', 100);
    await sleep(400);
    await broker.start();
    await until('online', () => node.connected);
    await using observer = await observe(broker.url, topics.all);
    await until('the long one', () => observer.on(topics.watch('long', 'result')).length === 1);
    const life = observer.seen.find(({ payload }) => payload === 'y')?.packet.properties?.messageExpiryInterval;
    expect(life).toBeGreaterThan(90);
    expect(life).toBeLessThanOrEqual(100);
    expect(observer.on(topics.watch('short', 'result'))).toEqual([]);
    expect(node.stats().dropped.expired).toBe(1);
  });

  it('takes an expired state away from a broker that cannot expire', async () => {
    const node = link({ protocol: '3.1.1' });
    node.outbox.state(RESULT, 'x', 1);
    await node.start();
    expect((await retained(broker.url)).get(RESULT)).toBe('x');
    await sleep(1000);
    node.restate();
    await until('gone', async () => !(await retained(broker.url)).has(RESULT));
  });

  it('refuses to come up where another process answers as the same node, and does so once that one is dead', async () => {
    const first = link();
    first.on('message', ({ topic, payload }) => {
      if (topic !== topics.request('health')) return;
      const { transaction, reply_to } = JSON.parse(payload.toString());
      first.outbox.respond(reply_to, JSON.stringify({ status: 'ok', transaction, data: { session: 's1' } }));
    });
    await first.start();
    const second = link({ clientId: 'mipha-node-1-other', session: 's2' });
    await expect(second.start()).rejects.toMatchObject({
      code: 'ERR_MQTT',
      retryable: false,
      message: 'another process answers as node mipha/v1/node-1 (session s1)',
    });
    await second.stop(500);
    expect(first.connected).toBe(true);
    expect((await retained(broker.url)).get(topics.availability)).toBe('online');
    await first.stop(500);
    const third = link({ session: 's3' });
    await third.start();
    expect(third.connected).toBe(true);
  });

  it('comes up where `online` is only what a dead process left behind', async () => {
    await using other = await observe(broker.url, 'x');
    await other.client.publishAsync(topics.availability, 'online', { qos: 1, retain: true });
    const node = link();
    await node.start();
    expect(node.connected).toBe(true);
  });

  it('never gets the retained commands of the past, and marks those of the present', async () => {
    const node = link();
    const got: [string, boolean, boolean][] = [];
    node.on('message', ({ payload, retained, duplicate }) => got.push([payload.toString(), retained, duplicate]));
    await using requester = await observe(broker.url, 'replies');
    await requester.client.publishAsync(topics.request('query'), 'retained before', { qos: 1, retain: true });
    await node.start();
    await requester.client.publishAsync(topics.request('query'), 'retained', { qos: 1, retain: true });
    await requester.client.publishAsync(topics.request('query'), 'plain', {
      qos: 1,
      properties: { responseTopic: 'replies', correlationData: Buffer.from('c') },
    });
    await until('both', () => got.length === 2);
    expect(got).toEqual([
      ['retained', true, false],
      ['plain', false, false],
    ]);
  });

  it('speaks 3.1.1 with the embedded broker', async () => {
    const embedded = await startBroker();
    const node = link({ protocol: '3.1.1' }, embedded.url);
    node.outbox.state(RESULT, 'a', 60);
    await node.start();
    await using observer = await observe(embedded.url, '#', { protocolVersion: 4 });
    const got: string[] = [];
    node.on('message', ({ payload }) => got.push(payload.toString()));
    await observer.client.publishAsync(topics.request('health'), '{}', { qos: 1 });
    node.outbox.event(topics.event, { id: 'e', replayed: false });
    await until('state, availability and event', () => observer.on(topics.event).length === 1);
    await until('the request', () => got.length === 1);
    expect(observer.on(RESULT)).toEqual(['a']);
    expect(observer.on(topics.availability)).toEqual(['online']);
    await node.stop(1000);
    await until('offline', () => observer.on(topics.availability).at(-1) === 'offline');
    await embedded.close();
  });
});
