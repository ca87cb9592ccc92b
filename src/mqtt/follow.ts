/** Listens to what a node publishes, as any other program would. */
import { randomUUID } from 'node:crypto';
import { MiphaError } from '../errors.js';
import { type BrokerOptions, openClient, readSecrets } from './client.js';

export interface Follower extends AsyncDisposable {
  close(): Promise<void>;
}

const CONNECT_MS = 5000;

/**
 * Subscribes to `filters` and calls `onMessage` for everything on them. Comes back by itself after an outage, and subscribes again.
 * Throws ERR_MQTT when the broker cannot be reached at first.
 */
export async function follow(
  options: Omit<BrokerOptions, 'clientId' | 'keepaliveS'>,
  filters: readonly string[],
  onMessage: (topic: string, payload: Buffer, retained: boolean) => void,
): Promise<Follower> {
  const clientId = `mipha-follower-${randomUUID().slice(0, 8)}`;
  const client = openClient({ ...options, clientId, keepaliveS: 15 }, await readSecrets({ ...options, clientId, keepaliveS: 15 }), {
    clean: true,
    connectTimeout: CONNECT_MS,
    resubscribe: true,
  });
  const close = async () => {
    await client.endAsync(true);
  };
  client.on('message', (topic, payload, { retain }) => onMessage(topic, payload, retain));
  try {
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('error', reject);
      client.once('close', () => reject(new Error('the connection was closed')));
    });
    client.on('error', () => {}); // followed by `close` and another attempt
    client.options.reconnectPeriod = 1000;
    await client.subscribeAsync([...filters], { qos: options.protocol === '5' ? 1 : 0 });
  } catch (cause) {
    await close().catch(() => {});
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new MiphaError('ERR_MQTT', `No connection to ${options.url}: ${message || code || 'unknown reason'}`, { cause });
  }
  return { close, [Symbol.asyncDispose]: close };
}
