/** Keeps Home Assistant informed: announces devices, takes removed entities and devices back, and answers its birth message. */
import { type DevicePayload, type DiscoveryNode, discoveryPayloads } from './discovery-payload.js';
import type { Outbox } from './outbox.js';
import type { Incoming } from './wire.js';

/** What it needs of a Link. */
export interface DiscoveryLink {
  readonly connected: boolean;
  readonly outbox: Pick<Outbox, 'state' | 'forget'>;
  restate(): void;
}

/** Home Assistant asks everybody to answer its birth at a time of their own. */
const BIRTH_MS = 5000;
/** How long a removal stands before the component is left out altogether. */
const REMOVAL_MS = 10_000;

/** Components by key; naming only their platform removes them. */
type Removed = Record<string, { platform: string }>;

export class Discovery {
  private readonly status: string;
  private announced = new Map<string, DevicePayload>();
  private removed = new Map<string, Removed>(); // since the last announcement without them
  private birth: NodeJS.Timeout | undefined;
  private removal: NodeJS.Timeout | undefined;

  /** `prefix`: first part of Home Assistant's topics, e.g. homeassistant; the link must be subscribed to <prefix>/status. */
  constructor(
    private readonly link: DiscoveryLink,
    prefix: string,
    private readonly random: () => number = Math.random,
  ) {
    this.status = `${prefix}/status`;
  }

  /** Announces the node as it is now; entities and devices announced before and absent now are removed. */
  announce(node: DiscoveryNode): void {
    const payloads = discoveryPayloads(node);
    const removed = new Map<string, Removed>();
    for (const [topic, payload] of payloads) {
      const before = { ...this.removed.get(topic), ...this.announced.get(topic)?.components };
      const gone = Object.entries(before).filter(([key]) => !Object.hasOwn(payload.components, key));
      if (gone.length > 0) removed.set(topic, Object.fromEntries(gone.map(([key, { platform }]) => [key, { platform }])));
      this.link.outbox.state(topic, JSON.stringify({ ...payload, components: { ...removed.get(topic), ...payload.components } }));
    }
    for (const topic of this.announced.keys()) if (!payloads.has(topic)) this.link.outbox.forget(topic);
    this.announced = payloads;
    this.removed = removed;
    if (removed.size > 0) this.finishRemoval();
  }

  /** What an earlier process announced: what of it is absent in the next announcement is removed. */
  remember(node: DiscoveryNode): void {
    this.announced = discoveryPayloads(node);
  }

  /** Handles Home Assistant's birth message; true when the message was its status. */
  handle(message: Incoming): boolean {
    if (message.topic !== this.status) return false;
    if (message.payload.toString() === 'online' && this.birth === undefined) {
      this.birth = setTimeout(() => {
        this.birth = undefined;
        this.link.restate();
      }, this.random() * BIRTH_MS);
    }
    return true;
  }

  /** Leaves no timer behind; announcements stay on the broker. */
  stop(): void {
    clearTimeout(this.birth);
    clearTimeout(this.removal);
    this.birth = undefined;
  }

  /** Later, and only when the removal itself has had a chance to go out: states are latest-wins. */
  private finishRemoval(): void {
    clearTimeout(this.removal);
    this.removal = setTimeout(() => {
      if (!this.link.connected) {
        this.finishRemoval();
        return;
      }
      for (const topic of this.removed.keys()) this.link.outbox.state(topic, JSON.stringify(this.announced.get(topic)));
      this.removed.clear();
    }, REMOVAL_MS);
  }
}
