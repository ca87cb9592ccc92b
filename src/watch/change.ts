/**
 * How much of a picture looks different, and not just brighter or noisier. A change of exposure moves all blocks along one line
 * (new = gain · old + offset), so that line is fitted to the whole picture and taken out; what noise does to a block is seen in how far the
 * blocks scatter around it.
 */
import type { Blocks } from './blocks.js';
import { middleOf } from './middle.js';

/** Blocks of the whole picture, and of the part that matters (the same object where that is everything). */
export interface Pair {
  whole: Blocks;
  part: Blocks;
}

const LEAST_STEP = 4; // of 255: what compression and rounding do to the mean of a block
const SIGMAS = 5; // one block in two million is further off by noise alone
const MOST_NOISE = 16; // of 255 per pixel: scatter beyond it is no noise
const ROUNDS = 3; // of the fit: each leaves outliers less weight
const LEAST_SPREAD = 12; // of 255: below it a slope means nothing
const MOST_SHIFT = 0.3; // larger steps are no exposure control but a light that was switched

interface Shift {
  gain: number;
  offset: number;
  sigma: number; // of one sample in the difference of two pictures
}

/** Share of the blocks of the part that differ, 0 to 1. Pictures of different size or format differ in all. */
export function changedShare(before: Pair, now: Pair): number {
  if (!alike(before.whole, now.whole) || !alike(before.part, now.part)) return 1;
  const { count, channels } = now.part;
  const changed = new Uint8Array(count);
  for (let channel = 0; channel < channels; channel++) {
    const quiet = !differs(before.part, now.part, channel, LEAST_STEP);
    if (!quiet) mark(changed, before.part, now.part, channel, shiftOf(before.whole, now.whole, channel));
  }
  return changed.reduce((sum, one) => sum + one, 0) / count;
}

function alike(a: Blocks, b: Blocks): boolean {
  return a.count === b.count && a.channels === b.channels && Buffer.compare(a.samples, b.samples) === 0;
}

function differs(a: Blocks, b: Blocks, channel: number, by: number): boolean {
  for (let index = channel * a.count; index < (channel + 1) * a.count; index++) {
    if (Math.abs((a.mean[index] as number) - (b.mean[index] as number)) > by) return true;
  }
  return false;
}

function mark(changed: Uint8Array, before: Blocks, now: Blocks, channel: number, { gain, offset, sigma }: Shift): void {
  for (let block = 0; block < now.count; block++) {
    const index = channel * now.count + block;
    const old = before.mean[index] as number;
    const expected = Math.min(255, Math.max(0, gain * old + offset));
    // Clipped samples were or would be brighter than the scale shows, by as much as the gain moves its end.
    const hidden = 255 * Math.abs(gain - 1) * ((gain < 1 ? before : now).clipped[index] as number);
    const [low, high] = gain < 1 ? [expected, expected + hidden] : [expected - hidden, expected];
    const value = now.mean[index] as number;
    const noise = Math.max(LEAST_STEP, (SIGMAS * sigma) / Math.sqrt(now.samples[block] as number));
    const slack = noise + 0.1 * Math.abs(expected - old);
    if (value < low - slack || value > high + slack) changed[block] = 1;
  }
}

/**
 * A line through the medians of the darker and the brighter half, refined on its own residuals: a third of the picture may change without moving it.
 * Blocks that are black in both, as a privacy mask makes them, tell nothing about exposure or noise and have no say.
 */
function shiftOf(before: Blocks, now: Blocks, channel: number): Shift {
  const [old, values] = told(before, now, channel);
  const middle = median(old);
  const dark = where(old, (value) => value <= middle);
  const bright = where(old, (value) => value > middle);
  const [low, high] = [medianAt(old, dark), medianAt(old, bright)];
  const spread = high - low;
  let gain = 1;
  let offset = 0;
  const residuals = new Float32Array(old.length);
  const measure = () => {
    for (let i = 0; i < old.length; i++) residuals[i] = (values[i] as number) - gain * (old[i] as number) - offset;
  };
  for (let round = 0; round < ROUNDS; round++) {
    measure();
    if (spread >= LEAST_SPREAD) {
      gain += (medianAt(residuals, bright) - medianAt(residuals, dark)) / spread;
      measure();
    }
    offset += median(residuals);
  }
  const small = (level: number) => Math.abs((gain - 1) * level + offset) <= MOST_SHIFT * level + LEAST_STEP;
  if (!(small(low) && small(spread >= LEAST_SPREAD ? high : low))) {
    gain = 1;
    offset = 0;
  }
  measure();
  for (let i = 0; i < residuals.length; i++) residuals[i] = Math.abs(residuals[i] as number);
  const scatter = 1.4826 * middleOf(residuals) * Math.sqrt(before.samples[0] ?? 1); // of a whole picture: the same everywhere
  return { gain, offset, sigma: Math.min(scatter, MOST_NOISE * Math.SQRT2) };
}

/** The means of a channel, before and now, of all blocks but those that are black in both. */
function told(before: Blocks, now: Blocks, channel: number): [old: Float32Array, values: Float32Array] {
  const { count } = before;
  const [old, values] = [new Float32Array(count), new Float32Array(count)];
  let found = 0;
  for (let index = channel * count; index < (channel + 1) * count; index++) {
    const [was, is] = [before.mean[index] as number, now.mean[index] as number];
    if (was === 0 && is === 0) continue;
    old[found] = was;
    values[found++] = is;
  }
  return [old.subarray(0, found), values.subarray(0, found)];
}

function where(values: Float32Array, test: (value: number) => boolean): Int32Array {
  const found = new Int32Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (test(values[i] as number)) found[count++] = i;
  return found.subarray(0, count);
}

function medianAt(values: Float32Array, indices: Int32Array): number {
  const picked = new Float32Array(indices.length);
  for (let i = 0; i < picked.length; i++) picked[i] = values[indices[i] as number] as number;
  return middleOf(picked);
}

function median(values: Float32Array): number {
  return middleOf(values.slice());
}
