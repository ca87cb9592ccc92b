/**
 * From answers about single frames to a value one can act on: n of the last m, of those since the value last changed, must agree, and a new value
 * must be surer than the present one.
 */
import { confidencesOf, type Value, type WatchSpec } from './spec.js';

export interface AgreementRule {
  n: number;
  of: number;
  minConfidence: number;
  keepConfidence: number;
}

/** For the constructor of an Agreement. */
export function rulesOf(spec: Pick<WatchSpec, 'agreement' | 'min_confidence' | 'keep_confidence' | 'off'>): [AgreementRule, AgreementRule] {
  const { agreement, off } = spec;
  return [
    { ...agreement, ...confidencesOf(spec, true) },
    { ...(off?.agreement ?? agreement), ...confidencesOf(spec, false) },
  ];
}

/** The most answers that an agreement may need. */
export function longestWindow({ agreement, off }: Pick<WatchSpec, 'agreement' | 'off'>): number {
  return Math.max(agreement.of, off?.agreement?.of ?? 0);
}

export interface Verdict {
  value: Value | null;
  previous: Value | null;
  changed: boolean;
  /** This answer speaks for `value`, so it may be relied upon anew. */
  supported: boolean;
}

export class Agreement {
  private agreed: Value | null = null;
  private last: Value | null = null;
  private run = 0;
  /** What the last answers voted for, newest first; null for those that were not sure enough, and those outvoted when the value changed. */
  private votes: (Value | null)[] = [];

  /** `off` is for the value false. */
  constructor(
    private on: AgreementRule,
    private off: AgreementRule = on,
  ) {}

  get value(): Value | null {
    return this.agreed;
  }

  /** How many answers in a row gave the same. */
  get stableCount(): number {
    return this.run;
  }

  /** A `confidence` of null always counts: there is no figure to judge by. */
  observe(observed: Value, confidence: number | null): Verdict {
    this.run = observed === this.last ? this.run + 1 : 1;
    this.last = observed;
    const { n, of, minConfidence, keepConfidence } = observed === false ? this.off : this.on;
    const needed = observed === this.agreed ? keepConfidence : minConfidence;
    const counts = confidence === null || confidence >= needed;
    this.votes = [counts ? observed : null, ...this.votes].slice(0, this.window);
    const previous = this.agreed;
    if (counts && this.votes.slice(0, of).filter((vote) => vote === observed).length >= n) this.agreed = observed;
    if (this.agreed !== previous) this.votes = this.votes.map((vote) => (vote === observed ? vote : null));
    return { value: this.agreed, previous, changed: this.agreed !== previous, supported: counts && observed === this.agreed };
  }

  /** Keeps the value and, as far as the new window reaches, the votes. */
  change(on: AgreementRule, off: AgreementRule = on): void {
    this.on = on;
    this.off = off;
    this.votes = this.votes.slice(0, this.window);
  }

  /** Knows nothing any more. */
  reset(): void {
    this.agreed = null;
    this.last = null;
    this.run = 0;
    this.votes = [];
  }

  private get window(): number {
    return Math.max(this.on.of, this.off.of);
  }
}
