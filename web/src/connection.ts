/** The stream of a node, made again and again: whoever looks is told within two seconds that it is gone, and sees it come back by itself. */
import type { Hello, Message, Model } from './model.js';

export type Link = 'connecting' | 'connected' | 'lost' | 'login';

/** The node beats every five seconds. */
const SILENCE_MS = 12_000;
const RETRY_MS = 1000;

export class Connection {
  link: Link = 'connecting';
  /** What the node's clock is ahead of this one, milliseconds. */
  skewMs = 0;
  /** When it was lost, Unix milliseconds. */
  lostAt: number | null = null;
  private source: EventSource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private retried = false;
  private closed = false;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly model: Model,
    private readonly url = 'api/stream',
  ) {}

  open(): void {
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener('hello', ({ data }) => {
      const hello = JSON.parse(data) as Hello;
      this.model.begin(hello);
      this.retried = false;
      this.set('connected');
      this.heard(hello.now);
    });
    source.addEventListener('beat', ({ data }) => this.heard(Number(data)));
    source.onmessage = ({ data }) => {
      this.model.take(JSON.parse(data) as Message);
      this.heard(null);
    };
    source.onerror = () => this.ended();
    this.watch();
  }

  /** For good. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.source?.close();
  }

  /** The node's clock now, Unix milliseconds. */
  now(): number {
    return Date.now() + this.skewMs;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private heard(now: number | null): void {
    if (now !== null) this.skewMs = now - Date.now();
    this.watch();
  }

  /** A node that is there ends streams now and then, to see who looks: that is no loss. */
  private ended(): void {
    if (this.link !== 'connected' || this.retried) void this.fail();
    else {
      this.retried = true;
      this.open();
    }
  }

  /** Silence is a loss too. */
  private watch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.fail(), SILENCE_MS);
  }

  private async fail(): Promise<void> {
    clearTimeout(this.timer);
    this.source?.close();
    if (this.link !== 'login') this.set('lost');
    const needsLogin = await fetch('api/config', { method: 'HEAD' }).then(
      ({ status }) => status === 401,
      () => false,
    );
    if (this.closed) return;
    if (needsLogin) this.set('login');
    else this.timer = setTimeout(() => this.open(), RETRY_MS);
  }

  private set(link: Link): void {
    if (link === this.link) return;
    this.link = link;
    this.lostAt = link === 'lost' ? Date.now() : null;
    for (const listener of this.listeners) listener();
  }
}
