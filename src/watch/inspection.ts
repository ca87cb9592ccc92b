/** A frame and what gates have worked out about it: watches that look at the same part share the work. */
import type { Frame } from '../camera/frame.js';
import { blocksOf } from './blocks.js';
import { changedShare, type Pair } from './change.js';
import { rectOf } from './crop.js';
import { type Part, partKey, stencilOf, WHOLE } from './part.js';

export class Inspection {
  private readonly pairs = new Map<string, Pair>();
  private readonly shares = new Map<Pair, number>();

  constructor(readonly frame: Frame) {}

  /** What is left to compare later frames with; holds no pixels. */
  pair(of: Part = WHOLE): Pair {
    const key = partKey(of);
    const known = this.pairs.get(key);
    if (known !== undefined) return known;
    const { bounds, counted } = stencilOf(of, this.frame);
    const part = blocksOf(this.frame, bounds ?? rectOf(this.frame, of.crop), counted);
    const pair = { whole: key === partKey(WHOLE) ? part : this.pair().whole, part };
    this.pairs.set(key, pair);
    return pair;
  }

  /** Share of the part, 0 to 1, that differs from `before`, the pair of the same part of an earlier frame. */
  changedSince(before: Pair, of: Part): number {
    const known = this.shares.get(before);
    if (known !== undefined) return known;
    const share = changedShare(before, this.pair(of));
    this.shares.set(before, share);
    return share;
  }
}
