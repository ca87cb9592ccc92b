/** Parts that the outcomes of watches and of queries have in common. */
import type { Crop, Frame } from '../camera/frame.js';
import type { Answer } from '../engine/answer.js';
import type { SeenFrame, Sight, Timing } from './outcome.js';

export function seenFrame({ id, at, monotonicMs, width, height }: Frame, crop: Crop | undefined): SeenFrame {
  return { id, at, monotonicMs, width, height, crop: crop ?? null };
}

/** `totalMs`: from the decision to look until now. */
export function timingOf({ timings: look }: Sight, { queueMs, prefillMs, decodeMs }: Answer['timings'], totalMs: number): Timing {
  return {
    queueMs: look.queueMs + queueMs,
    prepMs: look.preprocessMs,
    visionMs: look.visionMs,
    prefillMs: look.prefillMs + prefillMs,
    decodeMs,
    totalMs,
  };
}
