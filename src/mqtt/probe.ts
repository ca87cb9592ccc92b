/** Finds out whether another process already answers as this node, before this one does. */
import { randomUUID } from 'node:crypto';
import type { IPublishPacket, MqttClient } from 'mqtt';
import { type BrokerOptions, openClient, readSecrets } from './client.js';
import type { Topics } from './topics.js';

/** Milliseconds. */
const CONNECT_MS = 10_000;
/** For the retained availability to arrive after it was subscribed to. */
const RETAINED_MS = 500;

/**
 * The session of a living process that answers health requests on these topics, or null. Asks only where the broker holds `online`, and waits
 * `answerMs` for the answer. Uses a client of its own without will or session. Rejects when the broker cannot be reached or refuses.
 */
export async function livingSession(options: BrokerOptions, topics: Topics, signal: AbortSignal, answerMs = 2000): Promise<string | null> {
  const client = openClient({ ...options, clientId: `${options.clientId}-probe` }, await readSecrets(options), {
    clean: true,
    connectTimeout: CONNECT_MS,
    ...(options.protocol === '5' ? { properties: { maximumPacketSize: options.maxPacketBytes } } : {}),
  });
  const stop = () => client.end(true);
  signal.addEventListener('abort', stop);
  try {
    await connected(client);
    const transaction = randomUUID();
    const replies = topics.response(`probe-${transaction}`);
    const availability = nextMessage(client, (topic, _, { retain }) => topic === topics.availability && retain, RETAINED_MS);
    await client.subscribeAsync([topics.availability, replies], { qos: 1 });
    if ((await availability)?.toString() !== 'online') return null;
    const reply = nextMessage(client, (topic, payload) => topic === replies && sessionIn(payload) !== null, answerMs);
    const v5 = options.protocol === '5' ? { properties: { messageExpiryInterval: Math.ceil(answerMs / 1000) } } : {};
    // To nobody in particular: the reply topic stands in the payload, which every version of the protocol carries.
    await client.publishAsync(topics.request('health'), JSON.stringify({ transaction, reply_to: replies }), { qos: 1, ...v5 });
    const payload = await reply;
    return payload === undefined ? null : sessionIn(payload);
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
