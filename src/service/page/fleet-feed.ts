/**
 * The nodes of the broker for whoever looks at the page: read from their retained topics, as `mipha fleet` does, over a connection of its own that is there
 * only while somebody looks.
 */
import type { BrokerOptions } from '../../mqtt/client.js';
import { Feed, type Reader } from '../../page/feed.js';
import { Fleet } from '../../pool/fleet.js';
import { Wiring } from '../../pool/wiring.js';

/** The topic that tells of the connection; nodes are below `node/`. */
const BROKER = 'broker';
const TICK_MS = 1000;
/** Ticks. A page that is loaded again finds the connection still there. */
const LINGER = 10;
const AGAIN = 3;

export class FleetFeed {
  private readonly states = new Feed('');
  private fleet: Fleet;
  /** Nodes that were told of. */
  private readonly told = new Set<string>();
  private wiring: Wiring | null = null;
  private timer: NodeJS.Timeout | undefined;
  private unread = 0; // ticks
  private wait = 0; // ticks, until it is tried again
  private isStopped = false;

  constructor(
    private readonly broker: BrokerOptions,
    private readonly base: string,
  ) {
    this.fleet = new Fleet(base);
  }

  /** As of a Feed. */
  read(): Reader {
    const reader = this.states.read();
    if (this.timer === undefined && !this.isStopped) {
      this.timer = setInterval(() => this.tick(), TICK_MS).unref();
      this.tick();
    }
    return reader;
  }

  /** Nobody hears anything any more. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.states.close();
    await this.rest();
  }

  private tick(): void {
    this.unread = this.states.isRead ? 0 : this.unread + 1;
    this.wait--;
    if (this.unread >= LINGER) void this.rest();
    else if (this.wiring === null && this.wait <= 0) void this.connect();
  }

  /** Comes back by itself once it has been there; the first attempt is ours to repeat. */
  private async connect(): Promise<void> {
    const wiring = new Wiring(this.broker, this.fleet.filters);
    this.wiring = wiring;
    wiring.on('message', (message) => this.changed(this.fleet.take(message)));
    wiring.on('settled', () => {
      for (const node of this.told) if (this.fleet.state(node) === null) this.changed(node); // gone meanwhile
      this.tell(null);
    });
    wiring.on('down', () => {
      this.fleet = new Fleet(this.base); // all of it is told again
      this.tell(wiring.trouble);
    });
    try {
      await wiring.open();
    } catch (error) {
      if (this.wiring !== wiring) return;
      this.wiring = null;
      this.wait = AGAIN;
      this.tell((error as Error).message);
    }
  }

  /** Knows nothing any more. */
  private async rest(): Promise<void> {
    clearInterval(this.timer);
    [this.timer, this.unread, this.wait] = [undefined, 0, 0];
    this.fleet = new Fleet(this.base);
    for (const node of this.told) this.changed(node);
    this.states.state(BROKER, null);
    const { wiring } = this;
    this.wiring = null;
    await wiring?.close();
  }

  private changed(node: string): void {
    const state = this.fleet.state(node);
    if (state === null) this.told.delete(node);
    else this.told.add(node);
    this.states.state(`node/${node}`, state === null ? null : JSON.stringify(state));
  }

  /** `trouble`: why it is not connected; null: it is. */
  private tell(trouble: string | null): void {
    this.states.state(BROKER, JSON.stringify({ trouble }));
  }
}
