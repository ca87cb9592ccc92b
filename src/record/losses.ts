/** What was handed over and is not recorded: counted by reason until a line tells of it. */
import type { LossReason } from './lines.js';

export interface Loss {
  frames: number; // pictures
  lines: number;
}

interface Untold extends Loss {
  sinceMs: number;
}

export const TELL_MS = 1000; // at most one line of a reason so often, while pictures go on being dropped

export class Losses {
  readonly total = new Map<LossReason, Loss>();
  private readonly untold = new Map<LossReason, Untold>();
  private toldAt = Number.NEGATIVE_INFINITY;

  /** `now`: milliseconds of the monotonic clock. */
  add(reason: LossReason, { frames = 0, lines = 0 }: Partial<Loss>, now: number): void {
    if (frames + lines === 0) return;
    const all = this.total.get(reason) ?? { frames: 0, lines: 0 };
    this.total.set(reason, { frames: all.frames + frames, lines: all.lines + lines });
    const left = this.untold.get(reason) ?? { frames: 0, lines: 0, sinceMs: now };
    this.untold.set(reason, { ...left, frames: left.frames + frames, lines: left.lines + lines });
  }

  /** What to tell now. `atOnce`: whenever there is something. */
  due(now: number, atOnce: boolean): [LossReason, Untold][] {
    return atOnce || now - this.toldAt >= TELL_MS ? [...this.untold] : [];
  }

  /** What due() gave stands in the log; more may have come since. */
  told(now: number, losses: readonly [LossReason, Untold][]): void {
    for (const [reason, { frames, lines }] of losses) {
      const all = this.untold.get(reason) as Untold;
      if (all.frames === frames && all.lines === lines) this.untold.delete(reason);
      else this.untold.set(reason, { frames: all.frames - frames, lines: all.lines - lines, sinceMs: now });
      this.toldAt = now;
    }
  }

  /** What no line tells of yet. */
  get all(): [LossReason, Loss][] {
    return [...this.untold].map(([reason, { frames, lines }]) => [reason, { frames, lines }]);
  }

  get isTold(): boolean {
    return this.untold.size === 0;
  }
}
