/** Time as watches see it: that of the process, or that of a recorded day. */

export interface Clock {
  /** Milliseconds that only grow; frames carry the same (`monotonicMs`). */
  now(): number;
  /** The same moment on the wall clock, which may jump. */
  date(): Date;
  /** Has `work` run once, so many milliseconds from now. Returns what prevents it. */
  after(ms: number, work: () => void): () => void;
}

/** performance.now(), Date and setTimeout. */
export const processClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
};
