/** MQTT.js, one client per attempt to connect: its stores start empty, and secrets and certificates are read each time. */
import { readFile } from 'node:fs/promises';
import { type IClientOptions, type IClientPublishOptions, type IPublishPacket, type MqttClient, connect as mqttConnect } from 'mqtt';
import { generate } from 'mqtt-packet';
import { MiphaError } from '../errors.js';
import { redactor } from '../redact.js';
import { type BrokerAddress, parseAddress } from './address.js';
import { BrokerLacks, lackOf } from './needs.js';
import type { Incoming, Publish } from './wire.js';

/** The `mqtt` section of the configuration, as far as it is about connecting. */
export interface BrokerOptions {
  /** mqtt://HOST:PORT or mqtts://HOST:PORT */
  url: string;
  protocol: '5' | '3.1.1';
  /** The same for the same node at every start: a second process with it would take over the connection. */
  clientId: string;
  username?: string | undefined;
  /** Paths; read again at every attempt. */
  passwordFile?: string | undefined;
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
  keepaliveS: number;
  /** Larger packets are neither sent nor taken. */
  maxPacketBytes: number;
}

export interface Secrets {
  password?: Buffer;
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
}

/** Throws ERR_MQTT, naming the file that cannot be read. */
export async function readSecrets(options: BrokerOptions): Promise<Secrets> {
  const read = async (name: string, path: string | undefined) => {
    if (path === undefined) return undefined;
    try {
      return await readFile(path);
    } catch (cause) {
      throw new MiphaError('ERR_MQTT', `${name} ${path} cannot be read: ${(cause as Error).message}`, { cause });
    }
  };
  const [password, ca, cert, key] = await Promise.all([
    read('mqtt.password_file', options.passwordFile),
    read('mqtt.ca_file', options.caFile),
    read('mqtt.cert_file', options.certFile),
    read('mqtt.key_file', options.keyFile),
  ]);
  if (password !== undefined) redactor.add([withoutNewline(password).toString(), withoutNewline(password).toString('latin1')]);
  return {
    ...(password === undefined ? {} : { password: withoutNewline(password) }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** A password is bytes; an editor's newline at the end is none of them. */
function withoutNewline(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === 10 ? (bytes.at(-2) === 13 ? -2 : -1) : bytes.length;
  return bytes.subarray(0, end);
}

/** Begins to connect, once; may throw what TLS says about unusable certificates. `overrides` are MQTT.js's own options. */
export function openClient(options: BrokerOptions, secrets: Secrets, overrides: IClientOptions): MqttClient {
  const { tls, host, port }: BrokerAddress = parseAddress(options.url);
  return mqttConnect({
    protocol: tls ? 'mqtts' : 'mqtt',
    host,
    hostname: host,
    port,
    protocolVersion: options.protocol === '5' ? 5 : 4,
    clientId: options.clientId,
    keepalive: options.keepaliveS,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...secrets,
    ...overrides,
  });
}

/** Reason codes of a CONNACK that waiting alone will not cure: credentials, rights, an unwanted identity. */
const REFUSED_FOR_GOOD = new Set([2, 4, 5, 133, 134, 135, 138, 140]);

/** Why connecting failed, in words, and whether somebody has to do something about it. */
export function failureOf(error: unknown): { text: string; lasting: boolean } {
  const { code, message } = error as { code?: unknown; message?: string };
  if (error instanceof BrokerLacks) return { text: error.message, lasting: true };
  const lack = typeof code === 'number' ? lackOf(code) : undefined;
  if (lack !== undefined) return { text: lack, lasting: true };
  if (typeof code === 'number') return { text: message ?? `reason ${code}`, lasting: REFUSED_FOR_GOOD.has(code) };
  if (code === 'CERT_HAS_EXPIRED') return { text: 'the certificate of the broker has expired', lasting: false };
  return { text: message || (typeof code === 'string' ? code : '') || String(error), lasting: false };
}

export function incomingOf(topic: string, payload: Buffer, packet: IPublishPacket): Incoming {
  const { responseTopic, correlationData, messageExpiryInterval } = packet.properties ?? {};
  return {
    topic,
    payload,
    retained: packet.retain,
    duplicate: packet.dup,
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlation: correlationData }),
    ...(messageExpiryInterval === undefined ? {} : { expiryS: messageExpiryInterval }),
  };
}

/** MQTT.js acknowledges a message when this function says that it was handled. That it was not lets it read on, which waiting would not: pings come too. */
export function holdAcks(client: MqttClient): void {
  client.handleMessage = ({ qos }, done) => done(qos === 0 ? undefined : new Error('held'));
}

/** Of a message that was held. */
export function acknowledge(client: MqttClient, { qos, messageId }: IPublishPacket): void {
  if (qos === 0 || messageId === undefined || !client.connected) return;
  client.stream.write(generate({ cmd: 'puback', messageId, reasonCode: 0 }, { protocolVersion: 5 }));
}

export function publishOptions({ qos, retain, expiryS, contentType, correlation, user }: Publish): IClientPublishOptions {
  return {
    qos,
    retain,
    properties: {
      ...(expiryS === undefined ? {} : { messageExpiryInterval: Math.ceil(expiryS) }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(correlation === undefined ? {} : { correlationData: correlation }),
      ...(user === undefined ? {} : { userProperties: user }),
    },
  };
}
