/** An outbox, and a broker for it that acknowledges when told to. */
import { Outbox } from '../../src/mqtt/outbox.js';
import type { Publish, Wire } from '../../src/mqtt/wire.js';

/** A broker that acknowledges when told to. */
export class FakeWire implements Wire {
  maxPacketBytes = Number.POSITIVE_INFINITY;
  receiveMaximum = 65_535;
  backlogBytes = 0;
  readonly sent: Publish[] = [];
  private readonly open: { message: Publish; done: (refusal: Error | null) => void }[] = [];
  constructor(
    private readonly auto = false,
    readonly protocol: '5' | '3.1.1' = '5',
  ) {}
  publish(message: Publish, done: (refusal: Error | null) => void) {
    this.sent.push(message);
    if (this.auto || message.qos === 0) queueMicrotask(() => done(null));
    else this.open.push({ message, done });
  }
  async subscribe() {}
  async unsubscribe() {}
  readonly offersShared = true;
  breakOff() {}
  /** Acknowledges the oldest, or refuses it. */
  ack(refusal: Error | null = null) {
    this.open.shift()?.done(refusal);
  }
  get unacknowledged() {
    return this.open.length;
  }
  bodies() {
    return this.sent.map(({ payload }) => JSON.parse(payload.toString()));
  }
  topics() {
    return this.sent.map(({ topic, payload }) => `${topic}=${payload}`);
  }
}

export function outbox(maxPacketBytes = 1_000_000) {
  const refused: string[] = [];
  const box = new Outbox({ maxPacketBytes, onRefused: (topic, reason) => refused.push(`${topic}: ${reason}`) });
  return { box, refused };
}
export const event = (id: string) => ({ id, replayed: false });
export const flush = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
