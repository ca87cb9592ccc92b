/** From answers about single frames to a value one can act on: n of the last m must agree, and a new value must be surer than the present one. */
import type { Value } from './spec.js';

export interface AgreementRule {
  n: number;
  of: number;
  minConfidence: number;
  keepConfidence: number;
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
  /** What the last answers voted for, newest first; null for those that were not sure enough. */
  private votes: (Value | null)[] = [];

  constructor(private rule: AgreementRule) {}

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
    const { n, of, minConfidence, keepConfidence } = this.rule;
    const needed = observed === this.agreed ? keepConfidence : minConfidence;
    const counts = confidence === null || confidence >= needed;
    this.votes = [counts ? observed : null, ...this.votes].slice(0, of);
    const previous = this.agreed;
    if (counts && this.votes.filter((vote) => vote === observed).length >= n) this.agreed = observed;
    return { value: this.agreed, previous, changed: this.agreed !== previous, supported: counts && observed === this.agreed };
  }

  /** Keeps the value and, as far as the new window reaches, the votes. */
  change(rule: AgreementRule): void {
    this.rule = rule;
    this.votes = this.votes.slice(0, rule.of);
  }

  /** Knows nothing any more. */
  reset(): void {
    this.agreed = null;
    this.last = null;
    this.run = 0;
    this.votes = [];
  }
}
