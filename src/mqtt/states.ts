/**
 * Everything this node retains on the broker. One record per topic says what ought to stand there, whether it must go out and whether it is on
 * its way. What is counted or kept in order beside the records is written in one place each, with the record: see the end of the class.
 */

export interface State {
  readonly topic: string;
  /** What ought to stand there. */
  payload: Buffer;
  /** Nothing ought to, and the record is gone once the broker has heard that. */
  forgotten: boolean;
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
  /** Those that are due, by their place, the lowest first. */
  private readonly queue = new Map<number, State>();
  private turns = 0;
  private expected = 0; // are awaited
  private suspected = 0; // have some suspicion

  /** `suspicions`: as many broken connections bar a topic, for `barredMs` or until there is something smaller to say. */
  constructor(private readonly limits: { count: number; suspicions: number; barredMs: number }) {}

  /** That must go out. */
  get due(): number {
    return this.queue.size;
  }

  /** Some of restore() were not answered yet. */
  get awaited(): boolean {
    return this.expected > 0;
  }

  /** Some that must go out were there when a connection broke. */
  get suspects(): boolean {
    if (this.suspected === 0) return false;
    for (const { suspicion } of this.queue.values()) if (suspicion > 0) return true;
    return false;
  }

  /** `full`: there is no room for a new topic. `barred`: it is kept, and goes out when the topic is tried again. */
  set(topic: string, payload: Buffer, expiresAt: number | null, forgotten = false): 'kept' | 'full' | 'barred' {
    const state = this.known.get(topic) ?? this.add(topic);
    if (state === undefined) return 'full';
    const settled = state.held || state.due !== null || state.inFlight;
    // With a life of its own the same payload is news: it lives longer.
    const same = forgotten === state.forgotten && state.payload.equals(payload);
    if (settled && same && expiresAt === null && state.expiresAt === null) return 'kept';
    state.payload = payload;
    state.forgotten = forgotten;
    state.expiresAt = expiresAt;
    state.held = false;
    this.parole(state);
    if (this.barred(state)) return 'barred';
    this.setDue(state, true);
    return 'kept';
  }

  /** Nothing ought to stand there, not even what an earlier process left. */
  forget(topic: string): 'kept' | 'full' | 'barred' {
    return this.set(topic, NOTHING, null, true);
  }

  /** What stands there goes out once more, for somebody who has lost it: one topic, or all. */
  restate(topic?: string): void {
    for (const state of topic === undefined ? this.known.values() : [this.known.get(topic)]) {
      if (state !== undefined && !state.forgotten && !this.barred(state)) this.setDue(state, true);
    }
  }

  /** A new connection: everything has to go out, in the order in which it became known. Returns the topics that are barred. */
  restore(): string[] {
    const barred: string[] = [];
    for (const state of this.known.values()) {
      this.parole(state);
      state.held = false;
      this.setDue(state, false);
      if (this.barred(state)) {
        barred.push(state.topic);
        continue;
      }
      this.setAwaited(state, true);
      this.setDue(state, true);
    }
    return barred;
  }

  /** The connection that restore() was for is gone. */
  abandon(): void {
    for (const state of this.known.values()) this.setAwaited(state, false);
  }

  /** The one that has waited longest. Newest wins: while something of its topic is unacknowledged, a topic waits. */
  next(): State | undefined {
    for (const state of this.queue.values()) if (!state.inFlight) return state;
    return undefined;
  }

  /** Its time has passed before it went out. What stands there from before is taken away; `doubt`: also what others may have left. */
  expire(state: State, doubt: boolean): void {
    state.expiresAt = null;
    state.payload = NOTHING;
    state.forgotten = true;
    if (!doubt && state.standsUntil <= performance.now()) this.remove(state);
  }

  /** It is on its way; the broker will keep it for `lifeMs`. */
  sent(state: State, lifeMs: number): void {
    this.setDue(state, false);
    state.inFlight = true;
    state.sentBytes = state.payload.length;
    state.lifeMs = lifeMs;
  }

  acknowledged(state: State): void {
    this.landed(state);
    this.setSuspicion(state, 0);
    this.setAwaited(state, false);
    state.held = state.due === null;
    if (state.held && state.forgotten) this.remove(state);
  }

  /** The broker does not take it, or it cannot be sent. It is tried again on the next connection. */
  refused(state: State): void {
    if (!state.inFlight) this.setDue(state, false);
    state.inFlight = false;
    this.setAwaited(state, false);
  }

  /** The connection broke before an answer. True when that bars the topic. */
  lost(state: State, suspicious: boolean): boolean {
    this.landed(state);
    if (suspicious) {
      this.setSuspicion(state, state.suspicion + 1);
      state.suspectedAt = performance.now();
    }
    const guilty = this.barred(state);
    if (guilty) {
      state.barredBytes = Math.min(state.barredBytes, state.sentBytes);
      this.setDue(state, false);
      this.parole(state); // what is newer may be smaller
    }
    if (!this.barred(state)) this.setDue(state, true);
    return guilty;
  }

  private add(topic: string): State | undefined {
    if (this.known.size >= this.limits.count) {
      // Nothing is lost with one that is only kept because the broker refused to forget it.
      const idle = [...this.known.values()].find(({ forgotten, due, inFlight }) => forgotten && due === null && !inFlight);
      if (idle === undefined) return undefined;
      this.remove(idle);
    }
    const state: State = {
      topic,
      payload: NOTHING,
      forgotten: false,
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

  private barred({ suspicion }: State): boolean {
    return suspicion >= this.limits.suspicions;
  }

  /** It may have been the network, or the size: one more chance, after a while or for something smaller. */
  private parole(state: State): void {
    if (!this.barred(state)) return;
    const waited = performance.now() - state.suspectedAt >= this.limits.barredMs;
    if (waited || state.payload.length < state.barredBytes) this.setSuspicion(state, this.limits.suspicions - 1);
  }

  /** It is not in flight any more, and may have reached the broker until now. */
  private landed(state: State): void {
    state.inFlight = false;
    state.standsUntil = Math.max(state.standsUntil, performance.now() + state.lifeMs);
  }

  private setDue(state: State, due: boolean): void {
    if (due === (state.due !== null)) return; // it keeps its place
    if (state.due !== null) this.queue.delete(state.due);
    state.due = due ? this.turns++ : null;
    if (state.due !== null) this.queue.set(state.due, state);
  }

  private setAwaited(state: State, awaited: boolean): void {
    this.expected += Number(awaited) - Number(state.awaited);
    state.awaited = awaited;
  }

  private setSuspicion(state: State, suspicion: number): void {
    this.suspected += Number(suspicion > 0) - Number(state.suspicion > 0);
    state.suspicion = suspicion;
  }

  private remove(state: State): void {
    this.setDue(state, false);
    this.setAwaited(state, false);
    this.setSuspicion(state, 0);
    this.known.delete(state.topic);
  }
}
