/** A queue that nodes share: each query is one node's, the next one comes when it was answered, and nodes take part only while they can serve. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { connectAsync, type IClientPublishOptions, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Response, responseSchema } from '../../src/mqtt/messages.js';
import { SharedQueue } from '../../src/mqtt/shared-queue.js';
import { configOf } from '../../src/service/config/config.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type FakeModel, fakeModel, type Node, startNode } from './support.js';

const TOPIC = 'mipha/v1/pool/hall-2/request/query';
const ANSWERS = 'mipha/v1/pool/hall-2/response/query';
const QUESTION = { question: 'Is the lamp on?', answer: { type: 'boolean' }, max_age_ms: 60_000 };

describeWith(['mosquitto'], 'nodes that share a queue', () => {
  let broker: Mosquitto;
  let client: MqttClient;
  const heard: { topic: string; response: Response }[] = [];
  const models: Record<string, FakeModel> = {};
  const nodes: Record<string, Node> = {};

  const publish = (transaction: string, expiryS: number | null = 30, more: object = {}, options: IClientPublishOptions = {}, topic = TOPIC) =>
    client.publishAsync(topic, JSON.stringify({ ...QUESTION, transaction, ...more }), {
      qos: 1,
      ...options,
      ...(expiryS === null ? {} : { properties: { messageExpiryInterval: expiryS, ...options.properties } }),
    });
  const finals = (transaction: string) =>
    heard.filter(({ response }) => response.transaction === transaction && ['ok', 'error'].includes(response.status)).map(({ response }) => response);
  const progress = (transaction: string) => heard.some(({ response }) => response.transaction === transaction && response.status === 'accepted');
  /** Looking takes so long, until `back`. */
  const slow = (id: string, ms: number) => {
    const model = models[id] as FakeModel;
    const { look } = model;
    model.look = async (...given) => {
      await sleep(ms);
      return await look.apply(model, given);
    };
    return {
      model,
      back: () => {
        model.look = look;
      },
    };
  };
  const final = (transaction: string) => until(`an answer to ${transaction}`, () => finals(transaction)[0]);
  const start = async (id: string, mqtt: object = {}) => {
    const model = fakeModel({ lookMs: 20 });
    models[id] = model;
    nodes[id] = await startNode(
      broker.url,
      { node: id, watches: {}, health_interval_ms: 1000, mqtt: { pool: 'hall-2', ...mqtt } },
      { loadModel: async () => model },
    );
  };
  const order = async (id: string, verb: string, body: object) => {
    const transaction = `${id}-${verb}-${Math.random()}`;
    await client.publishAsync(`mipha/v1/${id}/request/${verb}`, JSON.stringify({ ...body, transaction, reply_to: 'mipha/v1/tester/reply/x' }), {
      qos: 1,
    });
    return await final(transaction);
  };

  /** It has frames, and is in the queue. */
  const ready = async (id: string) => {
    await until(`${id} in the queue`, () => new RegExp(`Received SUBSCRIBE from mipha-${id}-\\S*-pool`).test(broker.log));
    const frames = async () => ((await order(id, 'health', {})).data as { cameras: { kitchen: { frames: number } } }).cameras.kitchen.frames;
    await until(`frames of ${id}`, async () => (await frames()) > 0);
  };

  beforeAll(async () => {
    broker = await startMosquitto();
    client = await connectAsync(broker.url, { protocolVersion: 5 });
    client.on('message', (topic, payload) => heard.push({ topic, response: responseSchema.parse(JSON.parse(payload.toString())) }));
    await client.subscribeAsync([ANSWERS, 'mipha/v1/tester/reply/#'], { qos: 1 });
    await start('a');
    await start('b');
    for (const id of ['a', 'b']) await ready(id);
  });
  afterAll(async () => {
    for (const node of Object.values(nodes)) await node[Symbol.asyncDispose]();
    await client.endAsync(true);
    await broker.close();
  });

  it('answer each query once, below the pool or where it asks for the answer', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `each-${i}`);
    for (const name of names) await publish(name);
    const answers = await Promise.all(names.map(final));
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 'ok'));
    expect(new Set(answers.map(({ node }) => node))).toEqual(new Set(['a', 'b']));
    expect(heard.filter(({ response }) => response.transaction === 'each-0').every(({ topic }) => topic === ANSWERS)).toBe(true);
    await publish('elsewhere', 30, {}, { properties: { responseTopic: 'mipha/v1/tester/reply/mine' } });
    await final('elsewhere');
    expect(heard.at(-1)?.topic).toBe('mipha/v1/tester/reply/mine');
    await sleep(100);
    expect(names.map((name) => finals(name).length)).toEqual(names.map(() => 1));
  });

  it('refuse a query without an expiry, and go on', async () => {
    await publish('for-ever', null, { deadline_ms: 1000 });
    expect(await final('for-ever')).toMatchObject({
      status: 'error',
      error: { code: 'SCHEMA', refs: [{ key: 'message_expiry_interval', value: 'missing' }] },
    });
    for (const name of ['on-1', 'on-2', 'on-3', 'on-4']) await publish(name);
    for (const name of ['on-1', 'on-2', 'on-3', 'on-4']) expect(await final(name)).toMatchObject({ status: 'ok' });
  });

  it('answer what they cannot serve in time, and hear a cancel meanwhile; one that is drained has no part in it', async () => {
    expect(await order('b', 'options', { options: { draining: true } })).toMatchObject({ status: 'ok' });
    await until('it has left', () => /Received UNSUBSCRIBE from mipha-b-\S*-pool/.test(broker.log));
    const { model, back } = slow('a', 1500);
    const before = model.looks;
    await publish('long');
    await until('it is at it', () => progress('long'));
    await publish('brief', 1);
    await publish('patient');
    expect(await final('brief')).toMatchObject({ status: 'error', node: 'a', error: { code: 'TIMEOUT' } });
    expect(finals('long')).toEqual([]);
    expect(await order('a', 'cancel', { target: 'patient' })).toMatchObject({ status: 'ok', data: { cancelled: true } });
    expect(await final('patient')).toMatchObject({ status: 'error', error: { code: 'CANCELLED' } });
    expect(await final('long')).toMatchObject({ status: 'ok', node: 'a' });
    back();
    for (const name of ['after-1', 'after-2', 'after-3']) await publish(name);
    for (const name of ['after-1', 'after-2', 'after-3']) expect(await final(name)).toMatchObject({ status: 'ok', node: 'a' });
    expect(model.looks - before).toBe(4);
    expect(await order('b', 'options', { options: { draining: false } })).toMatchObject({ status: 'ok' });
  });

  it('take one at a time from a queue of the broker, and let it have the next one when one was answered', async () => {
    await start('c', { pool: 'held', pool_filter: '$share/held/mipha/v1/pool/held/request/query' });
    await ready('c');
    const topic = 'mipha/v1/pool/held/request/query';
    const { back } = slow('c', 1000);
    const more = { reply_to: 'mipha/v1/tester/reply/held' };
    for (const name of ['held-1', 'held-2']) await publish(name, 30, more, {}, topic);
    await until('it is at it', () => progress('held-1'));
    const { data } = await order('c', 'health', {});
    expect((data as { queue: { waiting: number } }).queue.waiting).toBe(1); // the other one is with the broker
    expect(progress('held-2')).toBe(false);
    expect(await final('held-1')).toMatchObject({ status: 'ok' });
    back();
    expect(await final('held-2')).toMatchObject({ status: 'ok' });
    await publish('held-3', null, more, {}, topic);
    expect(await final('held-3')).toMatchObject({ error: { code: 'SCHEMA' } }); // refused, and acknowledged
    await publish('held-4', 30, more, {}, topic);
    expect(await final('held-4')).toMatchObject({ status: 'ok', node: 'c' });
  });

  it('survive the broker, and leave it when they stop', async () => {
    await broker.stop();
    const before = broker.log.length;
    await broker.start();
    await until('they are back', () =>
      ['a', 'b'].every((id) => new RegExp(`Received SUBSCRIBE from mipha-${id}-\\S*-pool`).test(broker.log.slice(before))),
    );
    await until('the tester is back', () => client.connected);
    await publish('again');
    expect(await final('again')).toMatchObject({ status: 'ok' });
    await nodes.a?.[Symbol.asyncDispose]();
    delete nodes.a;
    for (const name of ['left-1', 'left-2', 'left-3']) await publish(name);
    for (const name of ['left-1', 'left-2', 'left-3']) expect(await final(name)).toMatchObject({ status: 'ok', node: 'b' });
  });
});

describe('a shared queue', () => {
  /** A broker of a few bytes: what it answers to CONNECT and to anything else. */
  async function script(connack: Buffer, answer: (packet: Buffer, socket: Socket) => void) {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
      socket.on('data', (data) => (data[0] === 0x10 ? socket.write(connack) : answer(data, socket)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    };
    return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.asyncDispose]: close };
  }
  const queueAt = (url: string, filter: string) =>
    new SharedQueue({
      url,
      filter,
      holds: false,
      protocol: '5',
      clientId: 'q',
      keepaliveS: 15,
      maxPacketBytes: 1e6,
      timing: { firstMs: 20, mostMs: 40, refusedMs: 30 },
    });

  it('says once what the broker lacks', async () => {
    await using server = await script(Buffer.from([0x20, 5, 0, 0, 2, 42, 0]), () => {}); // shared subscriptions: not available
    const queue = queueAt(server.url, '$share/hall-2/t');
    const alerts: (string | null)[] = [];
    queue.on('alert', (text) => alerts.push(text));
    queue.open(true);
    queue.start();
    await until('an alert', () => alerts.length > 0);
    await sleep(200);
    expect(alerts).toEqual(['the broker offers no shared subscriptions (MQTT 5, CONNACK)']);
    await queue.stop();
  });

  it('subscribes to a queue of the broker as it is named', async () => {
    const packets: Buffer[] = [];
    await using server = await script(Buffer.from([0x20, 5, 0, 0, 2, 42, 0]), (packet, socket) => {
      packets.push(packet);
      if (packet[0] === 0x82) socket.write(Buffer.from([0x90, 4, packet[2] as number, packet[3] as number, 0, 1]));
    });
    const queue = queueAt(server.url, '$queue/hall-2');
    const alerts: (string | null)[] = [];
    queue.on('alert', (text) => alerts.push(text));
    queue.open(true);
    queue.start();
    await until('a subscription', () => packets.some((packet) => packet[0] === 0x82 && packet.includes('$queue/hall-2')));
    await queue.stop();
    expect(alerts).toEqual([]);
  });

  it('needs MQTT 5, a name, and no node called pool', () => {
    const refused = (values: object) => () => configOf({ node: 'a', ...values });
    expect(refused({ mqtt: { pool: 'hall-2', protocol: '3.1.1' } })).toThrow(/mqtt\.pool.*expected none with mqtt\.protocol 3\.1\.1/);
    expect(refused({ mqtt: { pool: 'Hall 2' } })).toThrow(/mqtt\.pool/);
    expect(refused({ mqtt: { pool_filter: '$queue/x' } })).toThrow(/mqtt\.pool.*a name for mqtt\.pool_filter/);
    expect(refused({ mqtt: { pool: 'x', pool_filter: 'queue/x' } })).toThrow(/mqtt\.pool_filter.*begins with \$/);
    expect(() => configOf({ node: 'pool' })).toThrow(/node.*another name than pool/);
  });
});
