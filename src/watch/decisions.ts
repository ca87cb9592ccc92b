/** What became of each frame for each watch, for whoever keeps a record. */
import type { Comparison, Gate } from './gate.js';
import type { Inspection } from './inspection.js';
import type { SkipReason } from './outcome.js';
import type { Watch } from './watch.js';

/** What became of a frame for one watch, told in the tick in which the frame came or was asked about. */
export interface FrameDecision {
  watch: Pick<Watch, 'id' | 'spec'>;
  /** Of the frame: shared by all watches, so what one works out the others need not. */
  inspection: Inspection;
  atMs: number; // of the clock
  /** Why it is not asked about, so far: it may still be when an interval has passed or the engine is free. Null: it is being asked about. */
  skipped: SkipReason | null;
  compared: Comparison | null;
  /** It is being looked at for the second question alone. */
  confirms: boolean;
}

export class Decisions {
  constructor(private readonly tell: (decision: FrameDecision) => void) {}

  /** As the gate has decided: told once for each frame, and again when it is decided otherwise. */
  decided(watch: Watch, inspection: Inspection, atMs: number): void {
    const decision = `${inspection.frame.id} ${watch.gate.reason}`;
    if (watch.decision === decision) return;
    watch.decision = decision;
    this.tellOf(watch, inspection, atMs, watch.gate, false);
  }

  /** It is being looked at for the second question alone. */
  confirms(watch: Watch, inspection: Inspection, atMs: number): void {
    this.tellOf(watch, inspection, atMs, watch.gate, true);
  }

  /** It is being asked about because others look at it. */
  besides(watch: Watch, inspection: Inspection, atMs: number): void {
    watch.decision = `${inspection.frame.id} null`;
    this.tellOf(watch, inspection, atMs, { reason: null, compared: null }, false);
  }

  private tellOf(watch: Watch, inspection: Inspection, atMs: number, gate: Pick<Gate, 'reason' | 'compared'>, confirms: boolean): void {
    this.tell({ watch, inspection, atMs, skipped: gate.reason, compared: gate.compared, confirms });
  }
}
