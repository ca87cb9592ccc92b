import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Link } from '../../src/mqtt/link.js';
import { type Handlers, Requests } from '../../src/mqtt/requests.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { handle, linkTo, observe, topics } from './nodes.js';

/** What the documentation recommends: the node, a robot that asks, somebody who looks at pictures; and a stranger with an account. */
const ACL = `${readFileSync('examples/mosquitto.acl', 'utf8').replaceAll('kitchen-1', 'node-1')}
user stranger
topic readwrite elsewhere/#
`;

describeWith(['mosquitto'], 'with an access list', () => {
  let broker: Mosquitto;
  let node: Link;
  let requests: Requests;
  let asked = 0;
  const as = (username: string) => ({ username, password: 'secret' });
  beforeAll(async () => {
    const users = Object.fromEntries(['node-1', 'robot', 'viewer', 'stranger'].map((name) => [name, 'secret']));
    broker = await startMosquitto({ users, acl: ACL });
    writeFileSync(`${broker.folder}/secret`, 'secret\n');
    node = linkTo(broker.url, { username: 'node-1', passwordFile: `${broker.folder}/secret`, subscriptions: ['homeassistant/status'] });
    const query = async () => {
      asked++;
      return { value: true };
    };
    requests = new Requests({
      topics,
      base: 'mipha',
      node: 'node-1',
      handlers: { query, health: async () => ({ session: 's1' }) } as unknown as Handlers,
      respond: (topic, payload, properties) => node.respond(topic, payload, properties),
      requestBytes: 65_536,
      deadlineMs: 30_000,
      dedupeMs: 300_000,
      replyTopics: [],
    });
    node.on('message', (message) => handle(requests, message));
    await node.start();
  });
  afterAll(async () => {
    requests?.stop();
    await node?.stop(500);
    await broker?.close();
  });

  it('the node publishes all it must, and nothing of it is refused', async () => {
    await using robot = await observe(broker.url, 'mipha/v1/#', as('robot'));
    node.state(topics.info, '{}');
    node.state(topics.watch('lamp', 'result'), '{}');
    node.state('homeassistant/device/mipha_node-1/config', '{}');
    node.event(topics.watch('lamp', 'event'), { id: 'e', replayed: false });
    await until('info, result and event', () => robot.seen.length >= 4);
    expect(new Set(robot.seen.map(({ topic }) => topic))).toEqual(
      new Set([topics.availability, topics.info, topics.watch('lamp', 'result'), topics.watch('lamp', 'event')]),
    );
    await until('peace', () => node.stats().queued === 0);
    expect(node.stats().dropped.refused).toBe(0);
  });

  it('a robot asks and is answered on its own reply topic', async () => {
    await using robot = await observe(broker.url, 'mipha/v1/robot/reply/#', as('robot'));
    await robot.client.publishAsync(topics.request('query'), JSON.stringify({ question: 'x?' }), {
      qos: 1,
      properties: { responseTopic: 'mipha/v1/robot/reply/1', correlationData: Buffer.from('c') },
    });
    await until('the answer', () => robot.seen.length === 1);
    expect(JSON.parse(robot.seen[0]?.payload as string)).toMatchObject({ status: 'ok', data: { value: true } });
  });

  it('a stranger can neither command nor read, and cannot have answers sent elsewhere', async () => {
    const before = asked;
    await using stranger = await observe(broker.url, ['mipha/#', 'elsewhere/#'], as('stranger'));
    for (const topic of [topics.request('query'), 'mipha/v1/_all/request/health', 'mipha/v1/node-1/watch/lamp/enabled/set']) {
      await expect(stranger.client.publishAsync(topic, '{}', { qos: 1 })).rejects.toThrow('Not authorized');
    }
    await using robot = await observe(broker.url, 'mipha/v1/robot/reply/#', as('robot'));
    await robot.client.publishAsync(topics.request('query'), JSON.stringify({ question: 'x?' }), {
      qos: 1,
      properties: { responseTopic: 'elsewhere/answers' },
    });
    await until('the refusal', () => requests.stats().errors.FORBIDDEN === 1);
    await sleep(200);
    expect(stranger.seen).toEqual([]);
    expect(asked).toBe(before);
  });

  it('pictures reach those with a grant of their own, not the robot', async () => {
    await using viewer = await observe(broker.url, 'mipha/v1/+/camera/+/image', as('viewer'));
    await using robot = await observe(broker.url, 'mipha/#', { ...as('robot'), live: true });
    node.transient(topics.camera('front', 'image'), Buffer.from([0xff, 0xd8]), { contentType: 'image/jpeg', user: { id: '7' } });
    await until('the picture', () => viewer.seen.length === 1);
    expect(viewer.seen[0]?.packet.properties).toMatchObject({ contentType: 'image/jpeg', userProperties: { id: '7' } });
    await sleep(200);
    expect(robot.on(topics.camera('front', 'image'))).toEqual([]);
  });
});
