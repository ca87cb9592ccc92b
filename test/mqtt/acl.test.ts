import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Component, discoveryPayloads } from '../../src/mqtt/discovery-payload.js';
import { matches } from '../../src/mqtt/filters.js';
import type { Link } from '../../src/mqtt/link.js';
import { CHANGING_VERBS, VERBS } from '../../src/mqtt/request-schemas.js';
import { type Handlers, Requests } from '../../src/mqtt/requests.js';
import type { AnswerSpec } from '../../src/watch/spec.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { handle, linkTo, observe, topics } from './nodes.js';

/** What the documentation recommends, and a stranger with an account. */
const ACL = `${readFileSync('examples/mosquitto.acl', 'utf8').replaceAll('kitchen-1', 'node-1')}
user stranger
topic readwrite elsewhere/#
`;

/** What a block of the file grants its user. */
function grants(user: string, access: 'read' | 'write', topic: string): boolean {
  const block = ACL.split(/^user /m).find((text) => text.startsWith(`${user}\n`)) ?? '';
  const rules = [...block.matchAll(/^topic (read|write|readwrite) (\S+)$/gm)];
  return rules.some(([, kind = '', filter = '']) => kind.includes(access) && matches(filter, topic));
}

describe('the access list', () => {
  const discovery = discoveryPayloads({
    base: 'mipha',
    node: 'node-1',
    topics,
    prefix: 'homeassistant',
    version: '1',
    updates: true,
    cameras: [{ id: 'front', images: true }],
    watches: (['boolean', 'text'] as const).map((type) => ({ id: type, camera: 'front', ttlMs: 1000, answer: { type } as AnswerSpec })),
  });

  it('grants Home Assistant every topic of every entity, and no other command', () => {
    for (const topic of [...discovery.keys(), 'homeassistant/status']) expect(grants('homeassistant', 'read', topic), topic).toBe(true);
    expect(grants('homeassistant', 'write', 'homeassistant/status')).toBe(true);
    let named = 0;
    for (const component of [...discovery.values()].flatMap(({ components }) => Object.values(components))) {
      const { availability, command_topic, ...rest } = component as Component & { availability: { topic: string }[]; command_topic?: string };
      const read = [
        ...availability.map(({ topic }) => topic),
        ...Object.entries(rest).flatMap(([key, value]) => (/_topic$/.test(key) ? [String(value)] : [])),
      ];
      for (const topic of read) expect(grants('homeassistant', 'read', topic), topic).toBe(true);
      if (command_topic !== undefined) expect(grants('homeassistant', 'write', command_topic), command_topic).toBe(true);
      named += read.length;
    }
    expect(named).toBeGreaterThan(30);
    for (const verb of VERBS) {
      expect(grants('homeassistant', 'write', topics.request(verb)), verb).toBe(['model/install', 'restart', 'snapshot'].includes(verb));
    }
  });

  it('grants commands to those who shall command, pictures to those who shall see', () => {
    const changing = [
      ...CHANGING_VERBS.map((verb) => topics.request(verb)),
      ...['enabled', 'prompt', 'interval'].map((name) => `${topics.root}/watch/w/${name}/set`),
    ];
    for (const topic of [...changing, `${topics.root}/camera/c/enabled/set`, 'mipha/v1/_all/request/announce']) {
      expect(grants('operator', 'write', topic), topic).toBe(true);
      for (const user of ['robot', 'dashboard', 'viewer', 'stranger']) expect(grants(user, 'write', topic), `${user} ${topic}`).toBe(false);
    }
    const who = ['node-1', 'robot', 'homeassistant', 'operator', 'dashboard', 'viewer', 'stranger'];
    for (const topic of [topics.camera('c', 'image'), topics.watch('w', 'picture')]) {
      expect(who.filter((user) => grants(user, 'read', topic))).toEqual(['homeassistant', 'operator', 'viewer']);
      expect(who.filter((user) => grants(user, 'write', topic))).toEqual(['node-1']);
    }
    expect(who.filter((user) => grants(user, 'read', topics.watch('w', 'result')))).toEqual(['robot', 'homeassistant', 'operator', 'dashboard']);
    expect(who.filter((user) => grants(user, 'read', 'mipha/v1/robot/reply/1'))).toEqual(['robot', 'operator']);
  });
});

describeWith(['mosquitto'], 'with an access list', () => {
  let broker: Mosquitto;
  let node: Link;
  let requests: Requests;
  let asked = 0;
  const as = (username: string) => ({ username, password: 'secret' });
  beforeAll(async () => {
    const users = Object.fromEntries(
      ['node-1', 'robot', 'homeassistant', 'operator', 'dashboard', 'viewer', 'stranger'].map((name) => [name, 'secret']),
    );
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
      handlers: { query, snapshot: async () => ({}), health: async () => ({ session: 's1' }) } as unknown as Handlers,
      respond: (topic, payload, properties) => node.outbox.respond(topic, payload, properties),
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
    node.outbox.state(topics.info, '{}');
    node.outbox.state(topics.watch('lamp', 'result'), '{}');
    node.outbox.state('homeassistant/device/mipha_node-1/config', '{}');
    node.outbox.event(topics.watch('lamp', 'event'), { id: 'e', replayed: false });
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

  it('Home Assistant and an operator are heard, a dashboard sees what they do and says nothing', async () => {
    await using assistant = await observe(broker.url, ['homeassistant/#', 'mipha/v1/#'], as('homeassistant'));
    await using dashboard = await observe(broker.url, 'mipha/v1/#', as('dashboard'));
    await using operator = await observe(broker.url, 'mipha/v1/operator/reply/#', as('operator'));
    const before = requests.stats().received;
    await assistant.client.publishAsync(topics.request('snapshot'), '{"camera":"front"}', { qos: 1 });
    await operator.client.publishAsync('mipha/v1/_all/request/health', '{"reply_to":"mipha/v1/operator/reply/1"}', { qos: 1 });
    await until('both', () => requests.stats().received === before + 2);
    await until('the answer', () => operator.seen.length > 0);
    await expect(assistant.client.publishAsync(topics.request('options'), '{}', { qos: 1 })).rejects.toThrow('Not authorized');
    await expect(dashboard.client.publishAsync(topics.request('query'), '{}', { qos: 1 })).rejects.toThrow('Not authorized');
    node.outbox.state(topics.watch('lamp', 'state'), 'ON');
    await until('the state', () => assistant.on(topics.watch('lamp', 'state')).length * dashboard.on(topics.watch('lamp', 'state')).length > 0);
    expect(dashboard.seen.filter(({ topic }) => /request|response|reply|image/.test(topic))).toEqual([]);
  });

  it('pictures reach those with a grant of their own, not the robot', async () => {
    await using viewer = await observe(broker.url, 'mipha/v1/#', { ...as('viewer'), live: true });
    await using robot = await observe(broker.url, 'mipha/#', { ...as('robot'), live: true });
    node.outbox.transient(topics.camera('front', 'image'), Buffer.from([0xff, 0xd8]), { contentType: 'image/jpeg', user: { id: '7' } });
    const picture = { topic: topics.watch('lamp', 'picture'), payload: Buffer.from([0xff, 0xd8]), contentType: 'image/jpeg', user: { id: '8' } };
    node.outbox.event(topics.watch('lamp', 'event'), { id: 'pictured', replayed: false, picture: { seq: 0 } }, picture);
    await until('the pictures', () => viewer.seen.length === 2);
    for (const [i, id] of ['7', '8'].entries()) {
      expect(viewer.seen[i]?.packet.properties).toMatchObject({ contentType: 'image/jpeg', userProperties: { id } });
    }
    await until('the event', () => robot.on(topics.watch('lamp', 'event')).length > 0);
    expect(robot.seen.filter(({ topic }) => /image|picture/.test(topic))).toEqual([]);
    expect(JSON.parse(robot.on(topics.watch('lamp', 'event')).at(-1) as string)).toMatchObject({ id: 'pictured', picture: { seq: 0 } });
  });
});
