import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Broker, startBroker } from '../../src/mqtt/broker.js';
import { connect } from '../../src/mqtt/client.js';
import { type Result, resultOf, resultSchema, stateOf } from '../../src/mqtt/messages.js';
import { topicsOf } from '../../src/mqtt/topics.js';

const topics = topicsOf('mipha', 'node-1');

describe('topics', () => {
  it('lie below base, version and node', () => {
    expect(topics.all).toBe('mipha/v1/node-1/#');
    expect(topics.availability).toBe('mipha/v1/node-1/availability');
    expect(topics.result('lamp')).toBe('mipha/v1/node-1/watch/lamp/result');
    expect(topics.state('lamp')).toBe('mipha/v1/node-1/watch/lamp/state');
  });

  it('are read back, and nothing else is', () => {
    expect(topics.parse(topics.result('lamp'))).toEqual({ watch: 'lamp', leaf: 'result' });
    expect(topics.parse(topics.state('lamp'))).toEqual({ watch: 'lamp', leaf: 'state' });
    for (const other of [
      topics.availability,
      'mipha/v1/node-2/watch/lamp/result',
      `${topics.result('lamp')}/x`,
      'mipha/v1/node-1/watch/lamp/event',
    ]) {
      expect(topics.parse(other)).toBeNull();
    }
  });

  it.each(['', 'Lamp', 'a/b', '+', '#', '_all', 'x'.repeat(65)])('refuse the id %j', (id) => {
    expect(() => topics.result(id)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    expect(() => topicsOf('mipha', id)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
  });
});

describe('messages', () => {
  const fields = {
    seq: 0,
    session: 's',
    node: 'node-1',
    camera: 'kitchen',
    watch: 'lamp',
    value: true,
    type: 'boolean',
    answer: 'Yes',
    confidence: 0.97,
    model: { id: 'mipha-nano', rev: 'abc' },
    timing: { queue_ms: 0, prep_ms: 1, vision_ms: 2, prefill_ms: 3, decode_ms: 4, total_ms: 10 },
    tokens: { in: 20, out: 1 },
  } satisfies Partial<Result>;

  it('carry the frame they speak of and follow the schema', () => {
    const at = new Date(Date.now() - 50);
    const result = resultOf({ ...fields, frame: { id: '7', at, width: 320, height: 240 } });
    expect(resultSchema.parse(JSON.parse(JSON.stringify(result)))).toEqual(result);
    expect(result.frame.ts).toBe(at.toISOString());
    expect(result.frame.age_ms).toBe(Date.parse(result.ts) - at.getTime());
    expect(result.frame).not.toHaveProperty('at');
    expect(resultOf({ ...fields, frame: { id: '7', at, width: 320, height: 240 } }).id).not.toBe(result.id);
  });

  it('have a bare value for simple consumers', () => {
    expect([true, false, 3, 'red'].map(stateOf)).toEqual(['ON', 'OFF', '3', 'red']);
    expect(stateOf('x'.repeat(300))).toHaveLength(255);
  });
});

describe('broker and client', () => {
  let broker: Broker;
  beforeEach(async () => {
    broker = await startBroker();
  });
  afterEach(() => broker.close());

  const next = async (url: string, filter: string, count: number) => {
    const client = await connect(url);
    const messages: [string, string, boolean][] = [];
    const arrived = new Promise<void>((done) => {
      void client.subscribe(filter, (...message) => {
        messages.push(message);
        if (messages.length === count) done();
      });
    });
    return { messages, arrived, close: () => client.close() };
  };

  it('hand a message on, and keep it for those who come later', async () => {
    await using publisher = await connect(broker.url);
    const early = await next(broker.url, topics.all, 1);
    await publisher.publish(topics.state('lamp'), 'ON');
    await early.arrived;
    expect(early.messages).toEqual([[topics.state('lamp'), 'ON', false]]);
    const late = await next(broker.url, topics.all, 1);
    await late.arrived;
    expect(late.messages).toEqual([[topics.state('lamp'), 'ON', true]]);
    await early.close();
    await late.close();
  });

  it('says offline when the connection of a node is lost', async () => {
    const lost = await next(broker.url, topics.availability, 1);
    const sockets: Socket[] = [];
    const relay = createServer((socket) => {
      const upstream = createConnection(broker.port, '127.0.0.1');
      sockets.push(socket, upstream);
      socket
        .on('error', () => {})
        .pipe(upstream)
        .on('error', () => {})
        .pipe(socket);
    });
    await new Promise<void>((done) => relay.listen(0, '127.0.0.1', done));
    const { port } = relay.address() as AddressInfo;
    const node = await connect(`mqtt://127.0.0.1:${port}`, { availability: topics.availability });
    for (const socket of sockets) socket.destroy();
    await lost.arrived;
    expect(lost.messages).toEqual([[topics.availability, 'offline', false]]);
    await lost.close();
    await node.close();
    relay.close();
  });

  it('listens on loopback only and can be closed twice, clients connected', async () => {
    await connect(broker.url);
    expect(broker.url).toBe(`mqtt://127.0.0.1:${broker.port}`);
    await Promise.all([broker.close(), broker.close()]);
    await expect(connect(broker.url)).rejects.toMatchObject({ code: 'ERR_MQTT', retryable: true });
  });

  it('reports a port in use', async () => {
    await expect(startBroker(broker.port)).rejects.toMatchObject({ code: 'ERR_MQTT' });
  });

  it('fails a publish after the broker is gone, without hanging', async () => {
    const client = await connect(broker.url);
    await broker.close();
    await expect(client.publish('a', 'b')).rejects.toMatchObject({ code: 'ERR_MQTT' });
    await expect(client.publish('a', 'b')).rejects.toMatchObject({ code: 'ERR_MQTT' });
    await client.close();
  });

  it('never shows the password of a url', async () => {
    await broker.close();
    const failure = await connect(`mqtt://user:secret@127.0.0.1:${broker.port}`).catch((error: Error) => error.message);
    expect(failure).toContain('127.0.0.1');
    expect(failure).not.toContain('secret');
  });
});
