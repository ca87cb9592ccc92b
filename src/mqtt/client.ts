/** A connection to a broker, MQTT 3.1.1, with errors as ERR_MQTT. */
import { connectAsync, type IPublishPacket } from 'mqtt';
import { MiphaError } from '../errors.js';

const CONNECT_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 1000;

export interface Client extends AsyncDisposable {
  /** QoS 1, retained; resolves when the broker has it. */
  publish(topic: string, payload: string): Promise<void>;
  /** QoS 1. `onMessage` gets every message on the filter, retained ones included. */
  subscribe(filter: string, onMessage: (topic: string, payload: string, retained: boolean) => void): Promise<void>;
  close(): Promise<void>;
}

export interface ClientOptions {
  /** Topic on which the broker says `offline`, retained, when this client is lost. */
  availability?: string;
}

/** `url` is mqtt://host:port, user and password included where the broker wants them. */
export async function connect(url: string, options: ClientOptions = {}): Promise<Client> {
  const will =
    options.availability === undefined
      ? {}
      : { will: { topic: options.availability, payload: Buffer.from('offline'), qos: 1 as const, retain: true } };
  const client = await attempt(`No connection to ${withoutSecrets(url)}`, () =>
    connectAsync(url, { protocolVersion: 4, connectTimeout: CONNECT_TIMEOUT_MS, reconnectPeriod: 0, ...will }, false),
  );
  client.on('error', () => {}); // what is on its way when the connection breaks is rejected below, and so is all that follows
  const lost = new Promise<never>((_, reject) => {
    client.once('close', () => reject(new MiphaError('ERR_MQTT', `The connection to ${withoutSecrets(url)} was lost`)));
  });
  lost.catch(() => {});
  const close = async () => {
    if (!client.connected) {
      client.end(true);
      return;
    }
    const timer = setTimeout(() => client.end(true), CLOSE_TIMEOUT_MS); // breaks the connection, which settles the race
    await Promise.race([client.endAsync(), lost]).catch(() => {});
    clearTimeout(timer);
  };
  return {
    publish: async (topic, payload) => {
      await attempt(`Publishing on ${topic} failed`, () => Promise.race([lost, client.publishAsync(topic, payload, { qos: 1, retain: true })]));
    },
    subscribe: async (filter, onMessage) => {
      client.on('message', (topic: string, payload: Buffer, packet: IPublishPacket) => onMessage(topic, payload.toString(), packet.retain));
      await attempt(`Subscribing to ${filter} failed`, () => client.subscribeAsync(filter, { qos: 1 }));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof MiphaError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new MiphaError('ERR_MQTT', `${what}: ${message || code || 'unknown reason'}`, { cause });
  }
}

function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//');
}
