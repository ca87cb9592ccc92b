/** Magnitudes of the values that enter a product, counted by column, and the scale that quantizes them best. Bins are those of native/model/observe.h. */
import { toFloat16, toFloat32 } from '../floats.js';

const BINS_PER_OCTAVE = 16;
const FIRST_OCTAVE = -14;
export const BINS = 28 * BINS_PER_OCTAVE;
const OCTAVES_BESIDE = 32; // on either side, for what smoothing moves
const TOTAL = BINS + 2 * OCTAVES_BESIDE * BINS_PER_OCTAVE;
const SMALLEST_SCALE = 2 ** -14; // below it FP16 loses bits
const LARGEST_HALF = 65504;
const INT8 = 127;

export interface Range {
  inputScale: number; // exact in FP16
  smoothedLargest: number;
  percentiles: { p99: number; p999: number; p9999: number };
  clipped: number; // share of values beyond 127 · inputScale
}

/** `counts` [columns, BINS] of the unsmoothed input, `largest` [columns], `factors` [columns] powers of two. */
export function rangeOf(counts: Uint32Array, largest: Float32Array, factors: Float32Array): Range {
  const bins = smoothedBins(counts, factors);
  const smoothedLargest = largest.reduce((most, value, column) => Math.max(most, value * (factors[column] as number)), 0);
  const inputScale = bestScale(bins, smoothedLargest);
  const total = bins.reduce((sum, count) => sum + count, 0);
  const beyond = bins.reduce((sum, count, bin) => (centre(bin) > (INT8 + 0.5) * inputScale ? sum + count : sum), 0);
  const percentile = (share: number) => Math.min(smoothedLargest, percentileOf(bins, total * share));
  return {
    inputScale,
    smoothedLargest,
    percentiles: { p99: percentile(0.99), p999: percentile(0.999), p9999: percentile(0.9999) },
    clipped: total === 0 ? 0 : beyond / total,
  };
}

function smoothedBins(counts: Uint32Array, factors: Float32Array): Float64Array {
  const bins = new Float64Array(TOTAL);
  for (const [column, factor] of factors.entries()) {
    const moved = (OCTAVES_BESIDE + Math.log2(factor)) * BINS_PER_OCTAVE;
    for (let bin = 0; bin < BINS; bin++) bins[moved + bin] = (bins[moved + bin] as number) + (counts[column * BINS + bin] as number);
  }
  return bins;
}

/** The value in the middle of a bin. */
function centre(bin: number): number {
  return edge(bin) * (1 + 0.5 / (BINS_PER_OCTAVE + (bin % BINS_PER_OCTAVE)));
}

/** Its lower end: octaves are cut evenly, not by powers. */
function edge(bin: number): number {
  return 2 ** (FIRST_OCTAVE - OCTAVES_BESIDE + Math.floor(bin / BINS_PER_OCTAVE)) * (1 + (bin % BINS_PER_OCTAVE) / BINS_PER_OCTAVE);
}

function percentileOf(bins: Float64Array, wanted: number): number {
  let seen = 0;
  for (const [bin, count] of bins.entries()) {
    seen += count;
    if (seen >= wanted) return edge(bin + 1);
  }
  return edge(TOTAL);
}

/** The FP16 scale with the least expected squared error: rounding within ±127 steps, clipping beyond. The larger one among equals. */
function bestScale(bins: Float64Array, largest: number): number {
  let best = half(Math.max(SMALLEST_SCALE, largest / INT8));
  let least = Number.POSITIVE_INFINITY;
  for (let share = 64; share >= 8; share--) {
    const scale = half(Math.max(SMALLEST_SCALE, (largest / INT8) * (share / 64)));
    const error = expectedError(bins, scale);
    if (error < least) [best, least] = [scale, error];
  }
  return best;
}

function expectedError(bins: Float64Array, scale: number): number {
  const top = INT8 * scale;
  let error = 0;
  for (const [bin, count] of bins.entries()) {
    if (count === 0) continue;
    const value = centre(bin);
    // Below half a step a value becomes zero; above the top it is cut; between it is off by up to half a step, evenly.
    error += count * (value > top ? (value - top) ** 2 + scale ** 2 / 12 : value < scale / 2 ? value ** 2 : scale ** 2 / 12);
  }
  return error;
}

/** The nearest FP16 value. */
export function half(value: number): number {
  const rounded = toFloat32(new Uint8Array(toFloat16(Float32Array.of(Math.min(value, LARGEST_HALF))).buffer), 'F16');
  return rounded[0] as number;
}
