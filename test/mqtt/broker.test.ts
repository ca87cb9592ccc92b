import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Broker, startBroker } from '../../src/mqtt/broker.js';
import { until } from '../support/mosquitto.js';
import { observe } from './nodes.js';

describe('the embedded broker', () => {
  let broker: Broker;
  const connect = (url: string) => connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 }, false);
  beforeEach(async () => {
    broker = await startBroker();
  });
  afterEach(() => broker.close());

  it('hands a message on, and keeps it for those who come later', async () => {
    const publisher = await connect(broker.url);
    await using early = await observe(broker.url, '#', { protocolVersion: 4 });
    await publisher.publishAsync('a', 'x', { qos: 1, retain: true });
    await until('the message', () => early.seen.length === 1);
    await using late = await observe(broker.url, '#', { protocolVersion: 4 });
    await until('the retained message', () => late.seen.length === 1);
    expect([early.seen[0]?.retained, late.seen[0]?.retained]).toEqual([false, true]);
    publisher.end(true);
  });

  it('listens on loopback only and can be closed twice, clients connected', async () => {
    const client = await connect(broker.url);
    client.on('error', () => {});
    expect(broker.url).toBe(`mqtt://127.0.0.1:${broker.port}`);
    await Promise.all([broker.close(), broker.close()]);
    await expect(connect(broker.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('reports a port in use', async () => {
    await expect(startBroker(broker.port)).rejects.toMatchObject({ code: 'ERR_MQTT' });
  });
});
