/** How a watch spares a hot board: while its hottest zone is above a limit, the watch is asked less often. */
import type { WatchSpec } from './spec.js';

/** So much below the limit it is cool again, or a board near it would change its mind with every reading. */
const COOLER_C = 3;

export class Duty {
  private celsius: number | null = null;
  private slowed = false;

  constructor(private spec: Pick<WatchSpec, 'duty'>) {}

  get isSlowed(): boolean {
    return this.slowed;
  }

  /** Milliseconds that must lie between two questions because of the heat; 0: as configured. */
  get restMs(): number {
    return this.slowed ? (this.spec.duty?.interval_ms ?? 0) : 0;
  }

  /** Of the hottest zone; null: this machine does not tell, and nothing is slowed. */
  heat(celsius: number | null): void {
    this.celsius = celsius;
    this.decide();
  }

  change(spec: Pick<WatchSpec, 'duty'>): void {
    if (spec.duty?.above_c !== this.spec.duty?.above_c) this.slowed = false;
    this.spec = spec;
    this.decide();
  }

  private decide(): void {
    const { duty } = this.spec;
    if (duty === undefined || this.celsius === null) this.slowed = false;
    else this.slowed = this.celsius > duty.above_c - (this.slowed ? COOLER_C : 0);
  }
}
