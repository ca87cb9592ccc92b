/** A connection that reads what is retained and knows when it has all of it; comes back by itself, and then reads again. */
import { EventEmitter } from 'node:events';
import { MiphaError } from '../errors.js';
import type { BrokerOptions } from '../mqtt/client.js';
import { Connection } from '../mqtt/connection.js';
import { BrokerLacks } from '../mqtt/needs.js';
import type { Incoming, Publish, Wire } from '../mqtt/wire.js';

/** Unacknowledged at a time; brokers name less. */
const WINDOW = 16;
/** Rounds to the broker and back without anything new; one is not enough, for ejabberd sends what is retained one by one, each with an acknowledgement. */
const QUIET_ROUNDS = 3;
/** A broker that never stops sending is no reason to wait. */
const SETTLE_MS = 10_000;
/** Nothing is subscribed to it: to end that changes nothing, and brokers answer. */
const NOBODYS_TOPIC = 'mipha/v1/_nothing';

/** `settled`: all that was retained has come. `down`: not connected any more. Handlers must not throw. */
export class Wiring extends EventEmitter<{ settled: []; down: []; message: [Incoming] }> {
  private readonly connection: Connection;
  private wire: Wire | undefined;
  private isUp = false;
  /** Messages that were retained before we subscribed. */
  private past = 0;
  private inFlight = 0;
  private readonly outgoing: Publish[] = [];
  /** Why there is no connection; null: there is one. */
  trouble: string | null = 'not connected yet';

  constructor(
    broker: BrokerOptions,
    private readonly filters: readonly string[],
  ) {
    super();
    this.connection = new Connection({ ...broker, clean: true, small: true });
    this.connection.on('message', (message) => {
      if (message.retained) this.past++;
      this.emit('message', message);
    });
    this.connection.on('up', (wire) => void this.comeUp(wire));
    this.connection.on('down', (reason) => this.goDown(reason));
    this.connection.on('alert', (text) => {
      if (text !== null) this.trouble = text;
    });
  }

  /** Subscribed, and all that was retained has come. */
  get connected(): boolean {
    return this.isUp;
  }

  /** Rejects with ERR_MQTT when the first attempt fails; nothing is tried again then. */
  async open(): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        const refuse = (text: string | null) => {
          if (text !== null) reject(new MiphaError('ERR_MQTT', text));
        };
        this.connection.on('alert', refuse);
        this.once('settled', () => {
          this.connection.off('alert', refuse);
          resolve();
        });
        this.connection.start();
      });
    } catch (error) {
      await this.connection.stop();
      throw error;
    }
  }

  /** Goes out when the broker has room for it; lost when the connection is. */
  send(message: Publish): void {
    this.outgoing.push(message);
    this.flush();
  }

  async close(): Promise<void> {
    this.removeAllListeners();
    await this.connection.stop();
    this.goDown('closed');
  }

  private async comeUp(wire: Wire): Promise<void> {
    this.wire = wire;
    try {
      await wire.subscribe(this.filters, { past: true });
      const endMs = performance.now() + SETTLE_MS;
      for (let quiet = 0; quiet < QUIET_ROUNDS && performance.now() < endMs; ) {
        const before = this.past;
        await wire.unsubscribe([NOBODYS_TOPIC]);
        quiet = before === this.past ? quiet + 1 : 0;
      }
    } catch (error) {
      // A cluster without a leader refuses too, for a moment: no reason to stay away for long.
      if (this.wire === wire) wire.breakOff(`subscription refused: ${(error as Error).message}`, error instanceof BrokerLacks);
      return;
    }
    if (this.wire !== wire) return;
    this.isUp = true;
    this.trouble = null;
    this.emit('settled');
    this.flush();
  }

  private goDown(reason: string): void {
    const { isUp } = this;
    this.wire = undefined;
    this.isUp = false;
    this.trouble = reason;
    this.inFlight = 0;
    this.outgoing.length = 0;
    if (isUp) this.emit('down');
  }

  private flush(): void {
    const { wire } = this;
    if (wire === undefined || !this.isUp) return;
    const window = Math.min(WINDOW, wire.receiveMaximum);
    for (let next = this.room(window); next !== undefined; next = this.room(window)) {
      this.inFlight++;
      wire.publish(next, () => {
        if (this.wire !== wire) return;
        this.inFlight--;
        this.flush();
      });
    }
  }

  private room(window: number): Publish | undefined {
    return this.inFlight < window ? this.outgoing.shift() : undefined;
  }
}
