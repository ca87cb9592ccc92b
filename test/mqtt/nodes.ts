/** Nodes and observers for the tests of this folder. */
import { connectAsync, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { Link, type LinkOptions } from '../../src/mqtt/link.js';
import type { Requests } from '../../src/mqtt/requests.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import type { Incoming } from '../../src/mqtt/wire.js';
import { caughtUp } from '../support/mosquitto.js';

export const topics = topicsOf('mipha', 'node-1');

/** A message on a request topic of this node, as the service hands it on. */
export function handle(requests: Requests, message: Incoming): void {
  const target = topics.parse(message.topic);
  if (target?.kind === 'request') requests.handle(message, target);
}

/** Fast attempts; everything else as in service. */
export const FAST = { firstMs: 50, mostMs: 200, refusedMs: 100 };

export function linkOptions(url: string, changes: Partial<LinkOptions> = {}): LinkOptions {
  return {
    url,
    protocol: '5',
    clientId: 'mipha-node-1-test',
    keepaliveS: 15,
    maxPacketBytes: 1_000_000,
    topics,
    session: 's1',
    timing: FAST,
    ...changes,
  };
}

export interface Heard {
  topic: string;
  payload: string;
  retained: boolean;
  packet: IPublishPacket;
}

export interface Observer extends AsyncDisposable {
  client: MqttClient;
  /** Everything that came, in order. */
  seen: Heard[];
  /** Payloads of one topic, in order. */
  on(topic: string): string[];
  close(): Promise<void>;
}

/** A client that sees all that is published below a filter; with `live`, what is retained already stays out. */
export async function observe(url: string, filter: string | string[] = '#', options: IClientOptions & { live?: boolean } = {}): Promise<Observer> {
  const { live = false, ...rest } = options;
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...rest });
  const seen: Heard[] = [];
  client.on('error', () => {});
  client.on('message', (topic: string, payload: Buffer, packet: IPublishPacket) => {
    seen.push({ topic, payload: payload.toString(), retained: packet.retain, packet });
  });
  await client.subscribeAsync(filter, { qos: 1, ...(client.options.protocolVersion === 5 ? { rh: live ? 2 : 0 } : {}) });
  const close = async () => {
    await client.endAsync(true);
  };
  return {
    client,
    seen,
    on: (topic) => seen.filter((one) => one.topic === topic).map(({ payload }) => payload),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Retained messages as somebody sees them who comes now. */
export async function retained(url: string, filter = '#', options: IClientOptions = {}): Promise<Map<string, string>> {
  await using observer = await observe(url, filter, options);
  await caughtUp(observer.client, () => observer.seen.length);
  return new Map(observer.seen.filter((one) => one.retained).map(({ topic, payload }) => [topic, payload]));
}

export function linkTo(url: string, changes: Partial<LinkOptions> = {}): Link {
  return new Link(linkOptions(url, changes));
}
