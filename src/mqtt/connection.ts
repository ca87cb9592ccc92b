/** The connection to the broker: made again and again for as long as it takes, broken off when it has died silently. */
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import type { IPublishPacket, MqttClient } from 'mqtt';
import { Backoff } from '../backoff.js';
import { acknowledge, type BrokerOptions, failureOf, holdAcks, incomingOf, openClient, publishOptions, readSecrets } from './client.js';
import { checkGranted, lackIn, lackOf, suspectedLack } from './needs.js';
import { makePacketLengths } from './packet-lengths.js';
import type { Incoming, Publish, Wire } from './wire.js';

export interface ConnectionOptions extends BrokerOptions {
  /** Published by the broker, retained, when this connection is lost. */
  will?: { topic: string; payload: string };
  /** What came while it was away for a moment is not asked for when it is back: default false. */
  clean?: boolean;
  /** MQTT 5: so many messages come at a time, and the next one when one of them was acknowledged by whoever got it (Incoming.acknowledge). */
  heldAtOnce?: number;
  /** For a program that asks and publishes nothing else: takes less memory, see packet-lengths.ts. Default false. */
  small?: boolean;
  /** Runs before each attempt; false ends all attempts, an exception is a failed one. */
  before?: (signal: AbortSignal) => Promise<boolean>;
  timing?: Partial<ConnectionTiming>;
}

/** Milliseconds. */
export interface ConnectionTiming {
  firstMs: number; // backoff
  mostMs: number;
  /** After a refusal that somebody has to cure, e.g. a wrong password. */
  refusedMs: number;
  /** A connection this old has proven good: the backoff starts anew. */
  steadyMs: number;
  /** From opening the socket to the CONNACK. */
  connectMs: number;
  /** Without the PUBACK for a message for this long the connection is dead. */
  ackMs: number;
}

const TIMING: ConnectionTiming = { firstMs: 1000, mostMs: 60_000, refusedMs: 30_000, steadyMs: 30_000, connectMs: 10_000, ackMs: 10_000 };
/** What the broker keeps for us through a blip, in seconds: requests that arrive meanwhile. With 3.1.1 this has no limit in time, so there it is off. */
const SESSION_EXPIRY_S = 30;
/** A blip shorter than this is not announced. */
const WILL_DELAY_S = 2;
/** Messages we take before acknowledging the first. */
const RECEIVE_MAXIMUM = 16;
const CLOSE_MS = 1000;
/** So many connections in a row that end like this did not end by chance. */
const BY_CHANCE = 3;

/** Why a connection ended or could not be made, and whether somebody has to do something about it. */
interface Failure {
  text: string;
  lasting: boolean;
}

/**
 * `up`: connected, with the wire to use until `down` follows with the reason. `message`: from the broker. `alert`: why there is no connection,
 * or null once there is one. Handlers must not throw.
 */
export class Connection extends EventEmitter<{ up: [Wire]; down: [string]; message: [Incoming]; alert: [string | null] }> {
  private readonly timing: ConnectionTiming;
  private readonly backoff: Backoff;
  private readonly slowBackoff: Backoff;
  private client: MqttClient | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running: AbortController | undefined;
  private attemptsMade = 0;
  /** The broker has acknowledged a retained message, on whatever connection. */
  private retains = false;
  /** One was sent on this connection. */
  private retainedSent = false;
  /** Connections that ended right after one, in a row. */
  private endedByRetained = 0;
  private ended: Promise<void> = Promise.resolve();

  constructor(private readonly options: ConnectionOptions) {
    super();
    this.timing = { ...TIMING, ...options.timing };
    this.backoff = new Backoff(this.timing);
    this.slowBackoff = new Backoff({ firstMs: this.timing.refusedMs, mostMs: Math.max(this.timing.refusedMs, this.timing.mostMs) });
  }

  /** To connect, so far. */
  get attempts(): number {
    return this.attemptsMade;
  }

  start(): void {
    if (this.running !== undefined) return;
    makePacketLengths({ small: this.options.small === true });
    this.running = new AbortController();
    this.attemptLater(0);
  }

  /** Sends DISCONNECT, so no will follows; whatever has to be out must be out before. */
  async stop(): Promise<void> {
    this.running?.abort();
    this.running = undefined;
    clearTimeout(this.timer);
    const { client } = this;
    if (client?.connected === true) {
      const force = setTimeout(() => client.end(true), CLOSE_MS);
      await client.endAsync(false, this.options.protocol === '5' ? { properties: { sessionExpiryInterval: 0 } } : {}).catch(() => {});
      clearTimeout(force);
    } else {
      client?.end(true);
    }
    await this.ended;
  }

  private attemptLater(ms: number): void {
    if (this.running === undefined) return;
    this.timer = setTimeout(() => {
      this.ended = this.attempt();
    }, ms);
  }

  /** One attempt and, if it succeeds, the life of the connection. Never rejects. */
  private async attempt(): Promise<void> {
    let failure: Failure;
    this.attemptsMade++;
    try {
      if (this.running === undefined) return;
      if ((await this.options.before?.(this.running.signal)) === false) {
        this.running = undefined;
        return;
      }
      const secrets = await readSecrets(this.options);
      if (this.running === undefined) return;
      failure = await this.live(this.open(secrets));
    } catch (error) {
      failure = failureOf(error);
    }
    if (this.running === undefined) return;
    this.emit('alert', `No connection to ${this.options.url}: ${failure.text}`);
    this.attemptLater((failure.lasting ? this.slowBackoff : this.backoff).next());
  }

  private open(secrets: Awaited<ReturnType<typeof readSecrets>>): MqttClient {
    const { will, clean = false, heldAtOnce = RECEIVE_MAXIMUM, protocol, maxPacketBytes } = this.options;
    const v5 = protocol === '5';
    const keeps = v5 && !clean;
    return openClient(this.options, secrets, {
      clean: !keeps,
      connectTimeout: this.timing.connectMs,
      ...(will === undefined
        ? {}
        : {
            will: {
              topic: will.topic,
              payload: Buffer.from(will.payload),
              qos: 1,
              retain: true,
              ...(v5 ? { properties: { willDelayInterval: WILL_DELAY_S } } : {}),
            },
          }),
      ...(v5
        ? {
            properties: {
              receiveMaximum: heldAtOnce,
              maximumPacketSize: maxPacketBytes,
              ...(keeps ? { sessionExpiryInterval: SESSION_EXPIRY_S } : {}),
            },
          }
        : {}),
    });
  }

  /** Resolves, with the reason, when the client is done for. */
  private live(client: MqttClient): Promise<Failure> {
    this.client = client;
    const { stream } = client;
    if (stream instanceof Socket) stream.setNoDelay(true); // small messages that answer each other: 40 ms each way otherwise
    return new Promise((resolve) => {
      let reason: Failure | undefined;
      let steady: NodeJS.Timeout | undefined;
      let giveUp: NodeJS.Timeout | undefined;
      let up = false;
      const acks = new Set<NodeJS.Timeout>();

      const over = () => {
        if (this.client !== client) return;
        this.client = undefined;
        clearTimeout(steady);
        clearTimeout(giveUp);
        for (const timer of acks) clearTimeout(timer);
        acks.clear();
        reason = this.explained(reason ?? { text: 'the connection was closed', lasting: false });
        if (up) this.emit('down', reason.text);
        resolve(reason);
      };
      const breakOff = (why: Failure) => {
        reason ??= why;
        client.end(true);
        client.stream?.destroy();
        giveUp ??= setTimeout(over, CLOSE_MS); // should the socket never say that it is closed
      };
      client.on('error', (error) => breakOff(failureOf(error)));
      client.on('disconnect', ({ reasonCode }) => {
        // Two processes with one client id would throw each other out for ever: the one that was thrown out takes its time.
        const takenOver = reasonCode === 142;
        const lack = lackOf(reasonCode ?? 0);
        breakOff({
          text: takenOver ? 'another client took over this client id' : (lack ?? `the broker disconnected (reason ${reasonCode})`),
          lasting: takenOver || lack !== undefined,
        });
      });
      client.on('close', over);
      const { heldAtOnce } = this.options;
      if (heldAtOnce !== undefined) holdAcks(client);
      client.on('message', (topic: string, payload: Buffer, packet: IPublishPacket) => {
        const message = incomingOf(topic, payload, packet);
        if (heldAtOnce !== undefined) message.acknowledge = () => acknowledge(client, packet);
        this.emit('message', message);
      });
      client.on('connect', () => {
        const lack = lackIn(client.serverProperties ?? {});
        if (lack !== undefined) {
          breakOff({ text: lack, lasting: true });
          return;
        }
        up = true;
        steady = setTimeout(() => {
          this.backoff.reset();
          this.slowBackoff.reset();
        }, this.timing.steadyMs);
        this.emit('alert', null);
        this.emit(
          'up',
          this.wire(client, acks, (text, lasting = false) => breakOff({ text, lasting })),
        );
      });
    });
  }

  /** Where the broker gives no reason, one that cannot retain is known by what it never does. */
  private explained(reason: Failure): Failure {
    const because = this.retainedSent && !this.retains;
    this.endedByRetained = because ? this.endedByRetained + 1 : 0;
    this.retainedSent = false;
    if (!because || reason.lasting) return reason;
    return { text: suspectedLack(reason.text), lasting: this.endedByRetained >= BY_CHANCE };
  }

  private wire(client: MqttClient, acks: Set<NodeJS.Timeout>, breakOff: Wire['breakOff']): Wire {
    const {
      maximumPacketSize = Number.POSITIVE_INFINITY,
      receiveMaximum = 65_535,
      sharedSubscriptionAvailable = true,
    } = client.serverProperties ?? {};
    const { protocol } = this.options;
    const { ackMs } = this.timing;
    return {
      protocol,
      maxPacketBytes: maximumPacketSize,
      receiveMaximum,
      offersShared: protocol === '5' && sharedSubscriptionAvailable,
      breakOff,
      get backlogBytes() {
        return client.stream.writableLength;
      },
      publish: (message: Publish, done) => {
        if (this.client !== client || !client.connected) return; // `down` is on its way
        const proof = message.retain && message.qos === 1;
        if (proof) this.retainedSent = true;
        const timer = message.qos === 0 ? undefined : setTimeout(() => breakOff(`no acknowledgement within ${ackMs} ms`), ackMs);
        if (timer !== undefined) acks.add(timer);
        client.publish(message.topic, message.payload, publishOptions(message), (error) => {
          clearTimeout(timer);
          if (timer !== undefined) acks.delete(timer);
          // MQTT.js also calls back for what it gives up on when the connection ends: only a reason code is an answer of the broker.
          const refusal = error ?? null;
          const answered = refusal === null || typeof (refusal as { code?: unknown }).code === 'number';
          if (!answered || this.client !== client || !client.connected) return;
          if (proof && refusal === null) this.retains = true;
          done(refusal);
        });
      },
      subscribe: async (filters, { past = false } = {}) => {
        // Retained commands are refused, not obeyed: their flag is kept as published, and those of the past are not asked for.
        // A subscription that is shared must not leave out one's own messages.
        // With MQTT 3.1.1 no session outlives its connection, so QoS 1 would bring nothing, and NATS refuses it while one of its servers is away.
        const flags = (filter: string) =>
          protocol === '5' ? { qos: 1 as const, nl: !filter.startsWith('$share/'), rap: !past, rh: past ? 0 : 2 } : { qos: 0 as const };
        const granted = await client.subscribeAsync(Object.fromEntries(filters.map((filter) => [filter, flags(filter)])));
        if (protocol === '5') checkGranted(granted);
      },
      unsubscribe: async (filters) => {
        await client.unsubscribeAsync([...filters]);
      },
    };
  }
}
