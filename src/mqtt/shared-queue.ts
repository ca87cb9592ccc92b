/**
 * A node's part in a queue that several nodes share, for clients that only publish. A connection of its own: what the broker makes of it holds up no cancel.
 *
 * `$share` of MQTT 5 is dealt out in turn, so messages are taken at once, and the node's own queue answers those that it cannot serve in time. A queue of the
 * broker's own kind, which looks at what its members have in flight, gets its acknowledgement with the answer, and one message at a time. With `$share` that
 * would be worse than useless: mosquitto 2.0.11 never gives back the place of a message that expires while it waits for one, and nothing more would come.
 */
import { EventEmitter } from 'node:events';
import type { BrokerOptions } from './client.js';
import { Connection, type ConnectionTiming } from './connection.js';
import { BrokerLacks } from './needs.js';
import type { Incoming, Wire } from './wire.js';

export interface SharedQueueOptions extends BrokerOptions {
  /** `$share/GROUP/TOPIC`, or a queue of the broker's own kind. */
  filter: string;
  /** The next one comes when the one before was acknowledged. */
  holds: boolean;
  timing?: Partial<ConnectionTiming>;
}

const AT_ONCE = 1;
const SHARED = '$share/';
const LACKS = 'the broker offers no shared subscriptions (MQTT 5, CONNACK)';

/** `message`: a request that is this node's; call `acknowledge`, where it has one, when it is over. `alert`: why none can come, null once they can. Handlers must not throw. */
export class SharedQueue extends EventEmitter<{ message: [Incoming]; alert: [string | null] }> {
  private readonly connection: Connection;
  private readonly filter: string;
  private wire: Wire | undefined;
  private isOpen = false;
  private told: string | null = null;
  /** Attempts in a row that failed. */
  private failures = 0;
  /** Subscribing and unsubscribing, one after the other. */
  private turn: Promise<void> = Promise.resolve();

  constructor({ filter, holds, ...broker }: SharedQueueOptions) {
    super();
    this.filter = filter;
    this.connection = new Connection({ ...broker, clean: true, ...(holds ? { heldAtOnce: AT_ONCE } : {}) });
    this.connection.on('message', (message) => this.emit('message', message));
    this.connection.on('up', (wire) => {
      this.wire = wire;
      if (wire.offersShared || !filter.startsWith(SHARED)) this.follow();
      else {
        this.tell(LACKS);
        wire.breakOff(LACKS, true);
      }
    });
    this.connection.on('down', () => {
      this.wire = undefined;
    });
    this.connection.on('alert', (text) => {
      if (text !== null && ++this.failures > 1 && this.told === null) this.tell(text); // once is a broker that is restarted; it is over when the subscription stands
    });
  }

  /** Takes nothing before open(true). */
  start(): void {
    this.connection.start();
  }

  /** Whether this node takes anything now; what it has already it keeps. */
  open(isOpen: boolean): void {
    if (isOpen === this.isOpen) return;
    this.isOpen = isOpen;
    this.follow();
  }

  /** What is not acknowledged by then the broker keeps, drops or gives to another member, as it is made. */
  async stop(): Promise<void> {
    this.removeAllListeners();
    await this.connection.stop();
  }

  private follow(): void {
    this.turn = this.turn.then(async () => {
      const { wire } = this;
      if (wire === undefined) return;
      try {
        if (this.isOpen) await wire.subscribe([this.filter]);
        else await wire.unsubscribe([this.filter]);
        if (this.wire !== wire) return;
        this.failures = 0;
        this.tell(null);
      } catch (error) {
        if (this.wire !== wire) return;
        const text = `${this.filter}: ${(error as Error).message}`;
        this.tell(text);
        wire.breakOff(text, error instanceof BrokerLacks);
      }
    });
  }

  /** Once per change. */
  private tell(text: string | null): void {
    if (text === this.told) return;
    this.told = text;
    this.emit('alert', text);
  }
}
