/** A look at the broker before this node speaks: does another process already answer as it, and what did an earlier one leave behind. */
import { randomUUID } from 'node:crypto';
import type { IPublishPacket, MqttClient } from 'mqtt';
import { type BrokerOptions, openClient, readSecrets } from './client.js';
import { BrokerLacks, lackIn } from './needs.js';
import type { Topics } from './topics.js';

/** Milliseconds. */
const CONNECT_MS = 10_000;
/** For the retained availability to arrive after it was subscribed to. */
const RETAINED_MS = 500;

export interface Findings {
  /** The session of a living process that answers health requests on these topics, or null. */
  living: string | null;
  /** The retained `info` of an earlier process, or null. */
  info: Buffer | null;
}

/**
 * Asks for a sign of life only where the broker holds `online`, and waits `answerMs` for it. Uses a client of its own without will or session.
 * Rejects when the broker cannot be reached, refuses, or says that it lacks what a node needs.
 */
export async function lookAround(options: BrokerOptions, topics: Topics, signal: AbortSignal, answerMs = 2000): Promise<Findings> {
  const client = openClient({ ...options, clientId: `${options.clientId}-probe` }, await readSecrets(options), {
    clean: true,
    connectTimeout: CONNECT_MS,
    ...(options.protocol === '5' ? { properties: { maximumPacketSize: options.maxPacketBytes } } : {}),
  });
  const stop = () => client.end(true);
  signal.addEventListener('abort', stop);
  try {
    await connected(client);
    const lack = lackIn(client.serverProperties ?? {});
    if (lack !== undefined) throw new BrokerLacks(lack);
    const transaction = randomUUID();
    const replies = topics.response(`probe-${transaction}`);
    const retained = (wanted: string) => nextMessage(client, (topic, _, { retain }) => topic === wanted && retain, RETAINED_MS);
    const [availability, left] = [retained(topics.availability), retained(topics.info)];
    await client.subscribeAsync([topics.info, topics.availability, replies], { qos: options.protocol === '5' ? 1 : 0 });
    const said = (await availability)?.toString();
    const info = (await left) ?? null;
    if (said !== 'online') return { living: null, info };
    const reply = nextMessage(client, (topic, payload) => topic === replies && sessionIn(payload) !== null, answerMs);
    const v5 = options.protocol === '5' ? { properties: { messageExpiryInterval: Math.ceil(answerMs / 1000) } } : {};
    // To nobody in particular: the reply topic stands in the payload, which every version of the protocol carries.
    await client.publishAsync(topics.request('health'), JSON.stringify({ transaction, reply_to: replies }), { qos: 1, ...v5 });
    const payload = await reply;
    return { living: payload === undefined ? null : sessionIn(payload), info };
  } finally {
    signal.removeEventListener('abort', stop);
    client.end(true);
  }
}

function connected(client: MqttClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve());
    client.on('error', reject); // for good: what comes later finds a promise that is settled
    client.once('close', () => reject(new Error('the connection was closed')));
  });
}

/** Undefined when none came in time or the connection broke. */
function nextMessage(
  client: MqttClient,
  wanted: (topic: string, payload: Buffer, packet: IPublishPacket) => boolean,
  withinMs: number,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const end = (payload?: Buffer) => {
      clearTimeout(timer);
      client.removeListener('message', onMessage);
      client.removeListener('close', onClose);
      resolve(payload);
    };
    const onMessage = (topic: string, payload: Buffer, packet: IPublishPacket) => {
      if (wanted(topic, payload, packet)) end(payload);
    };
    const onClose = () => end();
    const timer = setTimeout(end, withinMs);
    client.on('message', onMessage);
    client.on('close', onClose);
  });
}

function sessionIn(payload: Buffer): string | null {
  try {
    const { status, data } = JSON.parse(payload.toString()) as { status?: unknown; data?: { session?: unknown } };
    return status === 'ok' && typeof data?.session === 'string' ? data.session : null;
  } catch {
    return null;
  }
}
