/** Whether anything moves before a camera: for those who want to know it without asking a question. */
import type { Frame } from '../camera/frame.js';
import { changedShare, type Pair } from './change.js';
import { Inspection } from './inspection.js';

const EVERY_MS = 200; // pictures in between are not compared
const LEAST_SHARE = 0.005; // of the picture
const OFF_MS = 5000; // of stillness, before it is said

export class Motion {
  private before: Pair | null = null;
  private comparedMs = Number.NEGATIVE_INFINITY;
  private off: NodeJS.Timeout | undefined;

  constructor(private readonly onChange: (moving: boolean) => void) {}

  get moving(): boolean {
    return this.off !== undefined;
  }

  see(frame: Frame): void {
    if (frame.monotonicMs - this.comparedMs < EVERY_MS) return;
    this.comparedMs = frame.monotonicMs;
    const pair = new Inspection(frame).pair();
    const moved = this.before !== null && changedShare(this.before, pair) >= LEAST_SHARE;
    this.before = pair;
    if (!moved) return;
    if (this.off === undefined) this.onChange(true);
    clearTimeout(this.off);
    this.off = setTimeout(() => {
      this.off = undefined;
      this.onChange(false);
    }, OFF_MS);
  }

  /** Nobody looks any more, so nothing moves any more. Leaves no timer behind. */
  stop(): void {
    clearTimeout(this.off);
    const { moving } = this;
    this.off = undefined;
    if (moving) this.onChange(false);
  }
}
