/** Everything this node has retained on the broker: the newest payload per topic, and which of them the broker does not have yet. */

export interface State {
  readonly payload: Buffer;
  /** Milliseconds of the monotonic clock; null: never. */
  readonly expiresAt: number | null;
  /** How often a connection broke right after this payload was sent, and nothing else explains it. */
  suspicion: number;
  /** When it was last suspected; monotonic ms. */
  suspectedAt: number;
}

const FORGOTTEN = Buffer.alloc(0);

export class States {
  private readonly known = new Map<string, State>();
  private readonly waiting = new Set<string>();

  constructor(private readonly limit: number) {}

  get size(): number {
    return this.known.size;
  }

  /** Topics that must still go out. */
  get dirty(): ReadonlySet<string> {
    return this.waiting;
  }

  topics(): string[] {
    return [...this.known.keys()];
  }

  get(topic: string): State | undefined {
    return this.known.get(topic);
  }

  /** False when there is no room for a new topic. */
  set(topic: string, payload: Buffer, expiresAt: number | null): boolean {
    if (!this.known.has(topic) && this.known.size >= this.limit) return false;
    this.known.set(topic, { payload, expiresAt, suspicion: 0, suspectedAt: 0 });
    this.waiting.add(topic);
    return true;
  }

  /** An empty retained payload goes out, then the topic is unknown again. What an earlier process left on the broker goes the same way. */
  forget(topic: string): boolean {
    return this.set(topic, FORGOTTEN, null);
  }

  /** Everything has to go out (again), in the order in which it became known. */
  touchAll(): void {
    this.waiting.clear();
    for (const topic of this.known.keys()) this.waiting.add(topic);
  }

  /** States last suspected before this time get one more chance. */
  forgive(before: number, suspicion: number): void {
    for (const state of this.known.values()) if (state.suspectedAt < before) state.suspicion = Math.min(state.suspicion, suspicion);
  }

  touch(topic: string): void {
    if (this.known.has(topic)) this.waiting.add(topic);
  }

  /** It is on its way, or need not go out after all. */
  clean(topic: string): void {
    this.waiting.delete(topic);
  }

  /** The broker has `state`. */
  settled(topic: string, state: State): void {
    if (this.known.get(topic) !== state) return;
    state.suspicion = 0;
    if (state.payload === FORGOTTEN) this.known.delete(topic);
  }

  /** No broker shall have it from us again. */
  drop(topic: string): void {
    this.known.delete(topic);
    this.waiting.delete(topic);
  }
}
