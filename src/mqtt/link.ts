/** A node on the broker: the connection, the outbox before it, and the order in which the node comes up and goes down. */
import { EventEmitter } from 'node:events';
import { MiphaError } from '../errors.js';
import type { BrokerOptions } from './client.js';
import { Connection, type ConnectionOptions, type ConnectionTiming } from './connection.js';
import { BrokerLacks } from './needs.js';
import { Outbox, type OutboxStats } from './outbox.js';
import { lookAround } from './probe.js';
import type { Topics } from './topics.js';
import type { Incoming, Wire } from './wire.js';

export interface LinkOptions extends BrokerOptions {
  topics: Topics;
  /** Of this process, as in all its messages. */
  session: string;
  /** Filters besides the node's own commands, e.g. the status topic of Home Assistant. */
  subscriptions?: readonly string[];
  timing?: Partial<ConnectionTiming>;
}

export interface LinkStats extends OutboxStats {
  connected: boolean;
  /** To connect, successful or not. */
  attempts: number;
  /** Connections made after the first. */
  reconnects: number;
  /** Times somebody said `offline` in our name while we were up. */
  reasserted: number;
}

/** Standing conditions for an operator: what to tell, null when it is over. */
export type LinkAlert = 'mqtt-connection' | 'mqtt-refused';

/**
 * `online`: subscribed, all states with the broker, availability announced. `offline`: not any more, and why. `message`: commands and what else
 * was subscribed to; may come before `online`. `remembered`: once, before the first `online`, the `info` that an earlier process left behind.
 * `alert`: on every change. What a handler throws is thrown again where it ends the process: a node that has missed a message is not whole.
 */
export class Link extends EventEmitter<{
  online: [];
  offline: [string];
  message: [Incoming];
  alert: [LinkAlert, string | null];
  remembered: [Buffer];
}> {
  /** What is published, connected or not. */
  readonly outbox: Outbox;
  private readonly connection: Connection;
  private wire: Wire | undefined;
  private up = false;
  private stopping: Promise<void> | undefined;
  private alone = false; // nobody else answers as this node
  private connections = 0;
  private reasserted = 0;
  private announcing = false;
  private announceAgain = false;
  private dead = false;
  private readonly alerts = new Map<LinkAlert, string | null>();
  private begun: { resolve: () => void; reject: (error: MiphaError) => void; promise: Promise<void> } | undefined;

  /** Throws nothing about the options: the configuration was checked, see parseAddress and checkPlaintext. */
  constructor(private readonly options: LinkOptions) {
    super();
    const connection: ConnectionOptions = {
      ...options,
      will: { topic: options.topics.availability, payload: 'offline' },
      before: (signal) => this.before(signal),
    };
    this.connection = new Connection(connection);
    this.outbox = new Outbox({
      maxPacketBytes: options.maxPacketBytes,
      onRefused: (topic, reason) => this.alert('mqtt-refused', `${topic}: ${reason}`),
    });
    this.connection.on('up', (wire) => {
      this.wire = wire;
      this.outbox.attach(wire);
      void this.comeUp(wire);
    });
    this.connection.on('down', (reason) => this.goDown(reason));
    this.connection.on('message', (message) => this.take(message));
    this.connection.on('alert', (text) => {
      if (text !== null) this.alert('mqtt-connection', text); // it is over when we are online
    });
  }

  /** States, events and responses reach the broker. */
  get connected(): boolean {
    return this.up;
  }

  /**
   * Connects, for ever. Resolves when first online or stopped, which may take as long as the broker is away. Rejects with ERR_MQTT when
   * another living process answers as this node; then nothing more is tried.
   */
  start(): Promise<void> {
    if (this.begun === undefined) {
      let resolve = () => {};
      let reject: (error: MiphaError) => void = () => {};
      const promise = new Promise<void>((ok, fail) => {
        resolve = ok;
        reject = fail;
      });
      this.begun = { resolve, reject, promise };
      this.connection.start();
    }
    return this.begun.promise;
  }

  /** Waits at most `budgetMs` for what is queued, says `offline` and disconnects. Nothing is open afterwards. */
  stop(budgetMs: number): Promise<void> {
    this.stopping ??= this.goOffline(budgetMs);
    return this.stopping;
  }

  /**
   * For a process that must end because something broke: nothing goes out any more but `offline`. Resolves as soon as the broker has it or
   * cannot have it, at the latest after the budget. The connection stays, so that its end without a farewell makes the broker publish the will.
   */
  async lastWords(budgetMs: number): Promise<void> {
    this.dead = true;
    this.up = false;
    this.stopping ??= Promise.resolve();
    try {
      this.outbox.detach();
    } catch {
      // it may be what broke; it has let go of the connection first
    }
    await this.sayOffline(budgetMs);
  }

  /** Publishes availability and all states once more, for somebody who has lost them. */
  restate(): void {
    this.outbox.restate();
    if (this.up) this.announce();
  }

  stats(): LinkStats {
    return {
      ...this.outbox.stats(),
      connected: this.up,
      attempts: this.connection.attempts,
      reconnects: Math.max(0, this.connections - 1),
      reasserted: this.reasserted,
    };
  }

  /** Only for the first connection: later ones follow so fast that nobody can have moved in. */
  private async before(signal: AbortSignal): Promise<boolean> {
    if (this.alone) return true;
    const { topics, session } = this.options;
    const { living, info } = await lookAround(this.options, topics, signal);
    if (living !== null && living !== session) {
      const text = `another process answers as node ${topics.root} (session ${living})`;
      this.alert('mqtt-connection', text);
      this.begun?.reject(new MiphaError('ERR_MQTT', text, { details: { root: topics.root, session: living }, retryable: false }));
      return false;
    }
    this.alone = true;
    if (info !== null) this.tell(() => this.emit('remembered', info));
    return true;
  }

  /** Subscriptions, then states, then `online`, then events. */
  private async comeUp(wire: Wire): Promise<void> {
    const { topics, subscriptions = [] } = this.options;
    this.connections++;
    try {
      await wire.subscribe([...topics.subscriptions, ...subscriptions]);
    } catch (error) {
      const { message } = error as Error;
      if (this.wire !== wire) return;
      if (error instanceof BrokerLacks) wire.breakOff(message, true);
      else {
        this.alert('mqtt-connection', `The broker refuses a subscription: ${message}`);
        wire.breakOff(`subscription refused: ${message}`);
      }
      return;
    }
    if (this.wire !== wire || this.stopping !== undefined) return;
    this.alert('mqtt-refused', null); // this time it may be taken; if not, it is told again
    this.outbox.restore(() => {
      this.announce(() => {
        if (this.wire !== wire || this.up || this.stopping !== undefined) return;
        this.up = true;
        this.outbox.release();
        this.begun?.resolve();
        this.alert('mqtt-connection', null);
        this.tell(() => this.emit('online'));
      });
    });
  }

  private goDown(reason: string): void {
    this.wire = undefined;
    this.announcing = false;
    this.announceAgain = false;
    this.outbox.detach();
    const { up } = this;
    this.up = false;
    if (up) this.tell(() => this.emit('offline', reason));
  }

  /** Says `online`, one at a time; once more when that was asked for meanwhile. `done`: the broker has answered. */
  private announce(done: () => void = () => {}): void {
    this.announceAgain = this.announcing;
    if (this.announcing) return;
    this.announcing = true;
    const { availability } = this.options.topics;
    this.wire?.publish({ topic: availability, payload: Buffer.from('online'), qos: 1, retain: true }, (refusal) => {
      this.announcing = false;
      if (refusal !== null) this.alert('mqtt-refused', `${availability}: ${refusal.message}`);
      done();
      if (this.announceAgain && this.stopping === undefined) this.announce();
    });
  }

  private take(message: Incoming): void {
    if (this.dead) return;
    if (message.topic === this.options.topics.availability) {
      if (!this.up || this.stopping !== undefined || message.payload.toString() !== 'offline') return;
      this.reasserted++;
      this.announce();
      return;
    }
    this.tell(() => this.emit('message', message));
  }

  /** Handlers run inside MQTT.js: what they throw must neither be lost there nor leave it half way through a packet. */
  private tell(emit: () => void): void {
    try {
      emit();
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
  }

  /** Once per change. */
  private alert(id: LinkAlert, text: string | null): void {
    if (this.dead || (this.alerts.get(id) ?? null) === text) return;
    this.alerts.set(id, text);
    this.tell(() => this.emit('alert', id, text));
  }

  private async goOffline(budgetMs: number): Promise<void> {
    const end = performance.now() + budgetMs;
    if (this.wire !== undefined) {
      await within(budgetMs, this.outbox.drained());
      this.up = false;
      await this.sayOffline(Math.max(200, end - performance.now()));
    }
    await this.connection.stop();
    this.up = false;
    this.begun?.resolve();
  }

  /** Resolves when the broker has it, the connection is gone (then the will says it), or the time is over. */
  private async sayOffline(withinMs: number): Promise<void> {
    const { wire } = this;
    if (wire === undefined) return;
    const said = new Promise<void>((resolve) => {
      this.connection.once('down', () => resolve());
      wire.publish({ topic: this.options.topics.availability, payload: Buffer.from('offline'), qos: 1, retain: true }, () => resolve());
    });
    await within(withinMs, said);
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    work,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}
