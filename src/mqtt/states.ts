/**
 * Everything this node retains on the broker. One record per topic says what ought to stand there, whether it must go out and whether it is on
 * its way, so that no two lists can disagree about it.
 */

export interface State {
  readonly topic: string;
  /** What ought to stand there; empty: nothing, and the record is gone once the broker has heard that. */
  payload: Buffer;
  /** Milliseconds of the monotonic clock; null: never. */
  expiresAt: number | null;
  /** Its place among those that must go out, the lowest first; null: it need not. */
  due: number | null;
  /** Something on this topic is unacknowledged: `payload`, or an older one when it is due too. */
  inFlight: boolean;
  /** The broker has acknowledged `payload`. */
  held: boolean;
  /** The connection is not complete before the broker has answered to something on this topic. */
  awaited: boolean;
  /** How often a connection broke right after something on this topic, and nothing else explains it. */
  suspicion: number;
  /** When it was last suspected; monotonic ms. */
  suspectedAt: number;
  /** Size of the smallest payload that was barred. */
  barredBytes: number;
  /** Size of what was last sent. */
  sentBytes: number;
  /** How long the broker keeps what was last sent, counted from its arrival; ms. */
  lifeMs: number;
  /** Something of this process may stand there until then; monotonic ms. */
  standsUntil: number;
}

const NOTHING = Buffer.alloc(0);

export class States {
  private readonly known = new Map<string, State>();
  private turns = 0;

  /** `suspicions`: as many broken connections bar a topic, for `barredMs` or until there is something smaller to say. */
  constructor(private readonly limits: { count: number; suspicions: number; barredMs: number }) {}

  /** That must go out. */
  get due(): number {
    return this.count(({ due }) => due !== null);
  }

  /** Some of restore() were not answered yet. */
  get awaited(): boolean {
    return this.some(({ awaited }) => awaited);
  }

  /** Some that must go out were there when a connection broke. */
  get suspects(): boolean {
    return this.some(({ due, suspicion }) => due !== null && suspicion > 0);
  }

  /** `full`: there is no room for a new topic. `barred`: it is kept, and goes out when the topic is tried again. */
  set(topic: string, payload: Buffer, expiresAt: number | null): 'kept' | 'full' | 'barred' {
    const state = this.known.get(topic) ?? this.add(topic);
    if (state === undefined) return 'full';
    const settled = state.held || state.due !== null || state.inFlight;
    // With a life of its own the same payload is news: it lives longer.
    if (settled && expiresAt === null && state.expiresAt === null && state.payload.equals(payload)) return 'kept';
    state.payload = payload;
    state.expiresAt = expiresAt;
    state.held = false;
    this.parole(state);
    if (this.barred(state)) return 'barred';
    this.queue(state);
    return 'kept';
  }

  /** Nothing ought to stand there, not even what an earlier process left. */
  forget(topic: string): 'kept' | 'full' | 'barred' {
    return this.set(topic, NOTHING, null);
  }

  /** What stands there goes out once more, for somebody who has lost it: one topic, or all. */
  restate(topic?: string): void {
    for (const state of topic === undefined ? this.known.values() : [this.known.get(topic)]) {
      if (state !== undefined && state.payload.length > 0 && !this.barred(state)) this.queue(state);
    }
  }

  /** A new connection: everything has to go out, in the order in which it became known. Returns the topics that are barred. */
  restore(): string[] {
    const barred: string[] = [];
    for (const state of this.known.values()) {
      this.parole(state);
      state.held = false;
      state.due = null;
      if (this.barred(state)) {
        barred.push(state.topic);
        continue;
      }
      state.awaited = true;
      this.queue(state);
    }
    return barred;
  }

  /** The connection that restore() was for is gone. */
  abandon(): void {
    for (const state of this.known.values()) state.awaited = false;
  }

  /** The one that has waited longest. Newest wins: while something of its topic is unacknowledged, a topic waits. */
  next(): State | undefined {
    let first: State | undefined;
    for (const state of this.known.values()) {
      if (state.due !== null && !state.inFlight && (first === undefined || state.due < (first.due as number))) first = state;
    }
    return first;
  }

  /** Its time has passed before it went out. What stands there from before is taken away; `doubt`: also what others may have left. */
  expire(state: State, doubt: boolean): void {
    state.expiresAt = null;
    state.payload = NOTHING;
    if (!doubt && state.standsUntil <= performance.now()) this.known.delete(state.topic);
  }

  /** It is on its way; the broker will keep it for `lifeMs`. */
  sent(state: State, lifeMs: number): void {
    state.due = null;
    state.inFlight = true;
    state.sentBytes = state.payload.length;
    state.lifeMs = lifeMs;
  }

  acknowledged(state: State): void {
    this.landed(state);
    state.suspicion = 0;
    state.awaited = false;
    state.held = state.due === null;
    if (state.held && state.payload.length === 0) this.known.delete(state.topic);
  }

  /** The broker does not take it, or it cannot be sent. It is tried again on the next connection. */
  refused(state: State): void {
    if (!state.inFlight) state.due = null;
    state.inFlight = false;
    state.awaited = false;
  }

  /** The connection broke before an answer. True when that bars the topic. */
  lost(state: State, suspicious: boolean): boolean {
    this.landed(state);
    if (suspicious) {
      state.suspicion++;
      state.suspectedAt = performance.now();
    }
    const guilty = this.barred(state);
    if (guilty) {
      state.barredBytes = Math.min(state.barredBytes, state.sentBytes);
      state.due = null;
      this.parole(state); // what is newer may be smaller
    }
    if (!this.barred(state)) this.queue(state);
    return guilty;
  }

  private add(topic: string): State | undefined {
    if (this.known.size >= this.limits.count) {
      // Nothing is lost with one that is only kept because the broker refused to forget it.
      const idle = [...this.known.values()].find(({ payload, due, inFlight }) => payload.length === 0 && due === null && !inFlight);
      if (idle === undefined) return undefined;
      this.known.delete(idle.topic);
    }
    const state: State = {
      topic,
      payload: NOTHING,
      expiresAt: null,
      due: null,
      inFlight: false,
      held: false,
      awaited: false,
      suspicion: 0,
      suspectedAt: 0,
      barredBytes: Number.POSITIVE_INFINITY,
      sentBytes: 0,
      lifeMs: 0,
      standsUntil: Number.NEGATIVE_INFINITY,
    };
    this.known.set(topic, state);
    return state;
  }

  private queue(state: State): void {
    state.due ??= this.turns++;
  }

  private barred({ suspicion }: State): boolean {
    return suspicion >= this.limits.suspicions;
  }

  /** It may have been the network, or the size: one more chance, after a while or for something smaller. */
  private parole(state: State): void {
    if (!this.barred(state)) return;
    const waited = performance.now() - state.suspectedAt >= this.limits.barredMs;
    if (waited || state.payload.length < state.barredBytes) state.suspicion = this.limits.suspicions - 1;
  }

  /** It is not in flight any more, and may have reached the broker until now. */
  private landed(state: State): void {
    state.inFlight = false;
    state.standsUntil = Math.max(state.standsUntil, performance.now() + state.lifeMs);
  }

  private some(test: (state: State) => boolean): boolean {
    for (const state of this.known.values()) if (test(state)) return true;
    return false;
  }

  private count(test: (state: State) => boolean): number {
    let found = 0;
    for (const state of this.known.values()) if (test(state)) found++;
    return found;
  }
}
