/** What gates worked out then holds again for the same two frames; anything else is worked out from the pictures on record. */
import type { Frame } from '../camera/frame.js';
import type { Pair } from '../watch/change.js';
import type { Comparison } from '../watch/gate.js';
import { Inspection } from '../watch/inspection.js';
import type { Part } from '../watch/part.js';
import { hasPixels } from './film.js';

/** Which frame a pair was made from. */
const frames = new WeakMap<Pair, string>();

export class RecordedInspection extends Inspection {
  private readonly mark = noPair(); // of a frame without pixels

  constructor(
    frame: Frame,
    private readonly compared: Comparison | null,
    /** Told when two frames are to be compared of which one has no picture and whose comparison is not on record; they then count as different. */
    private readonly onUnknown: () => void,
  ) {
    super(frame);
  }

  override pair(of?: Part): Pair {
    const pair = hasPixels(this.frame) ? super.pair(of) : this.mark;
    frames.set(pair, this.frame.id);
    return pair;
  }

  override changedSince(before: Pair, of: Part): number {
    const { compared } = this;
    if (compared !== null && compared.against === frames.get(before)) return compared.share;
    if (hasPixels(this.frame) && before.part.count > 0) return super.changedSince(before, of);
    this.onUnknown();
    return 1;
  }
}

function noPair(): Pair {
  const none = { count: 0, channels: 3, samples: new Uint8Array(0), mean: new Float32Array(0), clipped: new Float32Array(0) } as const;
  return { whole: none, part: none };
}
