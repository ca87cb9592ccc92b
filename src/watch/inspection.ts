/** A frame and what gates have worked out about it: watches that look at the same part share the work. */
import type { Crop, Frame } from '../camera/frame.js';
import { blocksOf } from './blocks.js';
import { changedShare, type Pair } from './change.js';
import { cropKey, rectOf } from './crop.js';

export class Inspection {
  private readonly pairs = new Map<string, Pair>();
  private readonly shares = new Map<Pair, number>();

  constructor(readonly frame: Frame) {}

  /** What is left to compare later frames with; holds no pixels. */
  pair(crop: Crop | undefined): Pair {
    const key = cropKey(crop);
    const known = this.pairs.get(key);
    if (known !== undefined) return known;
    const part = blocksOf(this.frame, rectOf(this.frame, crop));
    const pair = { whole: crop === undefined ? part : this.pair(undefined).whole, part };
    this.pairs.set(key, pair);
    return pair;
  }

  /** Share of the crop, 0 to 1, that differs from `before`, the pair of the same crop of an earlier frame. */
  changedSince(before: Pair, crop: Crop | undefined): number {
    const known = this.shares.get(before);
    if (known !== undefined) return known;
    const share = changedShare(before, this.pair(crop));
    this.shares.set(before, share);
    return share;
  }
}
