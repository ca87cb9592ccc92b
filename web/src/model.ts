/** What is known of a node: of each topic the newest payload, and what happened last. It knows neither browser nor network. */
import type { Alert, Health, Info, LogMessage, NodeEvent, Result, WatchEvent } from '../../src/mqtt/messages.js';
import type { Offers } from '../../src/page/node.js';

export interface Message {
  topic: string;
  /** JSON, or a bare word; empty: nothing is known any more. */
  payload: unknown;
}

export interface Hello {
  node: string;
  session: string;
  version: string;
  role: 'viewer' | 'operator';
  /** The node's clock, Unix milliseconds. */
  now: number;
}

export type Happening = { topic: string } & (WatchEvent | NodeEvent);

const MOST_TOPICS = 4096;
const MOST_HAPPENINGS = 100;
const MOST_LATENCIES = 240; // an hour of healths

export class Model {
  readonly topics = new Map<string, unknown>();
  readonly events: Happening[] = []; // the newest first
  readonly log: LogMessage[] = [];
  readonly healths: { at: number; p50: number | null; p95: number | null; busy: number; memory: number; temperature: number | null }[] = [];
  hello: Hello | null = null;
  /** Counts changes, for whoever shows them. */
  version = 0;
  private readonly listeners = new Set<() => void>();

  /** Whatever was known is known no longer, but for the curves of the same session. */
  begin(hello: Hello): void {
    if (this.hello?.session !== hello.session) this.healths.length = 0;
    this.hello = hello;
    this.topics.clear();
    this.events.length = 0;
    this.log.length = 0;
    this.changed();
  }

  take({ topic, payload }: Message): void {
    if (topic === 'log') keep(this.log, payload as LogMessage);
    else if (topic === 'event' || topic.endsWith('/event')) keep(this.events, { topic, ...(payload as WatchEvent) });
    else if (payload === '') this.topics.delete(topic);
    else if (this.topics.has(topic) || this.topics.size < MOST_TOPICS) this.topics.set(topic, payload);
    if (topic === 'health') this.measured(payload as Health);
    this.changed();
  }

  get info(): Info | null {
    return (this.topics.get('info') as Info | undefined) ?? null;
  }

  /** Null: not known yet. */
  get offers(): Offers | null {
    return (this.topics.get('offers') as Offers | undefined) ?? null;
  }

  /** Whoever looks may ask for this verb here. */
  may(verb: string): boolean {
    return this.hello?.role === 'operator' && (this.info?.verbs.includes(verb) ?? false);
  }

  get health(): Health | null {
    return (this.topics.get('health') as Health | undefined) ?? null;
  }

  result(watch: string): Result | null {
    return (this.topics.get(`watch/${watch}/result`) as Result | undefined) ?? null;
  }

  /** `online`, `offline` or `disabled`; null: not known yet. */
  cameraStatus(camera: string): string | null {
    return (this.topics.get(`camera/${camera}/status`) as string | undefined) ?? null;
  }

  moves(camera: string): boolean {
    return this.topics.get(`camera/${camera}/motion`) === 'ON';
  }

  get alerts(): (Alert & { id: string })[] {
    return [...this.topics]
      .filter(([topic]) => topic.startsWith('alert/'))
      .map(([topic, alert]) => ({ id: topic.slice('alert/'.length), ...(alert as Alert) }));
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private measured({ ts, latency_ms, engine, memory, temperature_c }: Health): void {
    const temperatures = Object.values(temperature_c);
    const at = Date.parse(ts) / 1000;
    if (at === this.healths.at(-1)?.at) return;
    this.healths.push({
      at,
      p50: latency_ms?.p50 ?? null,
      p95: latency_ms?.p95 ?? null,
      busy: engine.busy_ratio,
      memory: memory.rss_bytes,
      temperature: temperatures.length === 0 ? null : Math.max(...temperatures),
    });
    if (this.healths.length > MOST_LATENCIES) this.healths.shift();
  }

  private changed(): void {
    this.version++;
    for (const listener of this.listeners) listener();
  }
}

function keep<T>(list: T[], one: T): void {
  list.unshift(one);
  if (list.length > MOST_HAPPENINGS) list.pop();
}
