/**
 * What a node publishes, for whoever looks at its page: the topics and payloads of MQTT, the newest of each, also while the broker is away. Whoever reads
 * slowly skips what is no news any more and never holds anything up.
 */

/** Messages of topics that are no states, of each kind, that are kept for whoever comes later. */
const KEPT = 100;
/** That wait for one reader; the oldest goes first. */
const WAITING = 200;

/** Last part of the name of a topic on which things happen once. */
const HAPPENINGS = ['event', 'log'] as const;
type Happening = (typeof HAPPENINGS)[number];

export class Feed {
  private readonly states = new Map<string, string>(); // by topic, in JSON
  private readonly happened: Record<Happening, string[]> = { event: [], log: [] };
  private readonly readers = new Set<Reader>();

  /** `root` is what all topics begin with; readers get them without it. */
  constructor(private readonly root: string) {}

  /** Somebody looks. */
  get isRead(): boolean {
    return this.readers.size > 0;
  }

  /** Null: nothing is known any more, an empty payload as over MQTT. */
  state(topic: string, json: string | null): void {
    const name = this.nameOf(topic);
    const line = lineOf(name, json ?? '""');
    if (json === null) this.states.delete(name);
    else this.states.set(name, line);
    for (const reader of this.readers) reader.state(name, line);
  }

  event(topic: string, json: string): void {
    const name = this.nameOf(topic);
    const line = lineOf(name, json);
    const kept = this.happened[name === 'log' ? 'log' : 'event'];
    kept.push(line);
    if (kept.length > KEPT) kept.shift();
    for (const reader of this.readers) reader.event(line);
  }

  /** Begins with all states, and what happened last. */
  read(): Reader {
    const reader = new Reader(() => this.readers.delete(reader));
    for (const [topic, line] of this.states) reader.state(topic, line);
    for (const kind of HAPPENINGS) for (const line of this.happened[kind]) reader.event(line);
    this.readers.add(reader);
    return reader;
  }

  /** Nobody hears anything any more. */
  close(): void {
    for (const reader of [...this.readers]) reader.close();
  }

  private nameOf(topic: string): string {
    return topic.startsWith(`${this.root}/`) ? topic.slice(this.root.length + 1) : topic;
  }
}

/** One who reads: at most one message of each state waits, and so many others. */
export class Reader {
  private readonly states = new Map<string, string>();
  private events: string[] = [];
  private wake = () => {};
  private closed = false;
  /** What happened and was dropped, for this reader was slow. */
  dropped = 0;

  constructor(private readonly onClose: () => void) {}

  state(topic: string, line: string): void {
    this.states.delete(topic); // in the order of the newest
    this.states.set(topic, line);
    this.wake();
  }

  event(line: string): void {
    this.events.push(line);
    if (this.events.length > 2 * WAITING) {
      this.dropped += this.events.length - WAITING;
      this.events = this.events.slice(-WAITING);
    }
    this.wake();
  }

  /** All that waits, as soon as there is something; empty after `withinMs`, and null after close(). */
  async next(withinMs: number): Promise<string[] | null> {
    if (this.states.size === 0 && this.events.length === 0 && !this.closed) await this.news(withinMs);
    if (this.closed) return null;
    const lines = [...this.states.values(), ...this.events];
    this.states.clear();
    this.events = [];
    return lines;
  }

  close(): void {
    this.closed = true;
    this.onClose();
    this.wake();
  }

  private async news(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
      this.wake = resolve;
    });
    clearTimeout(timer);
    this.wake = () => {};
  }
}

function lineOf(topic: string, json: string): string {
  return `{"topic":${JSON.stringify(topic)},"payload":${json}}`;
}
